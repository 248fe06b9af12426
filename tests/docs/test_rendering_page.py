"""docs/howto/rendering.md: its numbers are the code's and the corpus table's, its codes those that decoding notes."""

import re

from pageblocks import DOCS, ROOT

from imgvec_pg.images.rendering import alpha, animation, colour, hdr, notes, samples

PAGE = (DOCS / "howto" / "rendering.md").read_text()


def test_every_note_is_told() -> None:
    assert {code for code in notes.NOTES if f"`{code}`" not in PAGE} == set()


def test_the_numbers_are_those_of_the_code() -> None:
    low, high = samples.PERCENTILES
    for words in (
        f"beyond {colour.MAX_PROFILE_BYTES // 1024**2} MiB",
        f"more than {colour.SRGB_LEVELS} levels of 255",
        f"percentiles {low} and {high}",
        f"smallest of {', '.join(map(str, samples.BIT_DEPTHS[:-1]))} and {samples.BIT_DEPTHS[-1]} bits",
        f"give or take {samples.OVERSHOOT}",
        f"none reaches {samples.FAINTEST}",
        f"neutral grey, {alpha.NEUTRAL_GREY[0]}",
        f"levels differ by {alpha.FAINT_LEVELS} of",
        f"the next {animation.MAX_FRAMES_TRIED} that",
        f"{hdr.WHITE:.0f} cd/m²",
        f"a peak of {hdr.USUAL_PEAK:,.0f} cd/m²",
        f"percentile {hdr.PEAK_PERCENTILE}",
        f"up to {hdr.MOST_LIGHT:,.0f}",
    ):
        assert words in " ".join(PAGE.split()), words


def test_the_cosines_are_those_of_the_table() -> None:
    table = (ROOT / "benchmarks" / "results" / "pictures.txt").read_text()
    row = re.search(r"^all +(\d+) +([\d.]+) ([\d.]+), \d+ refused +([\d.]+) ([\d.]+)", table, re.MULTILINE)
    assert row is not None
    files, mean_at_first, least_at_first, mean, least = row.groups()
    assert int(files) > 200
    told = f"is {float(mean):.4f} in the mean and {float(least):.3f} at the least by rendering 2"
    at_first = f"it was {float(mean_at_first):.2f} in the mean and {float(least_at_first):.2f} at the least"
    page = " ".join(PAGE.split())
    assert told in page, told
    assert at_first in page, at_first
    assert "pictures: right" in table
