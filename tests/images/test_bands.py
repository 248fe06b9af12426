"""Which bands of a TIFF of many are shown: those that a collection chose, in their order, and of no other picture."""

import io

import numpy as np
import pytest
from PIL import Image
from trade_files import CAT, DEEP, GREY, TradeFile, all_files, bands, blue_first, tiff

from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.images.decoding.codecs import codec_registry
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.decoding.sandbox import compare_sandboxed, decode_sandboxed
from imgvec_pg.images.rendering.bands import check_bands

MANY = bands(13)
PIXELS = np.moveaxis(MANY, 0, 2)
EIGHT = np.dstack([CAT, GREY[::-1]])
FILES = {
    "13 bands in planes": tiff(MANY, photometric="minisblack", planarconfig="separate"),
    "13 bands in pixels": tiff(PIXELS, photometric="minisblack", planarconfig="contig", tile=(64, 64)),
    "13 bands, the first three of them colours": tiff(PIXELS, photometric="rgb", compression="lerc"),
    "4 bands that say which are colours": blue_first(),
    "8 bits, red, green, blue and infrared": tiff(EIGHT, photometric="rgb", extrasamples=["unspecified"]),
    "3 bands that are not said to be colours": tiff(
        bands(3), photometric="minisblack", planarconfig="separate"
    ),
    "5 bands and alpha": tiff(
        np.dstack([PIXELS[..., :5], np.full_like(GREY, 65535, np.uint16)]),
        photometric="rgb",
        extrasamples=["unspecified", "unspecified", "unassalpha"],
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("decode", [decode_image, decode_sandboxed])
def test_the_chosen_bands_are_shown_in_their_order(name: str, decode: object) -> None:
    # Blue, green and red for red, green and blue; where a file has blue first, it is upright so.
    right = CAT if name.startswith("4 bands") else CAT[:, :, ::-1]
    pixels = np.asarray(decode(FILES[name], bands=(3, 2, 1))).astype(float)  # type: ignore[operator]
    assert np.abs(pixels - right).mean() <= 0.6


@pytest.mark.parametrize("name", ["13 bands in planes", "13 bands in pixels"])
def test_a_band_beyond_the_first_three_is_what_the_file_has_there(name: str) -> None:
    pixels = np.asarray(decode_image(FILES[name], bands=(13, 1, 4))).astype(float)
    # One scale for all three: 12 bits that hold the highest sample.
    right = np.stack([MANY[12], MANY[0], MANY[3]], axis=-1) * (255 / 4095)
    assert np.abs(pixels - right).mean() <= 0.6


def unchosen() -> list[TradeFile]:
    """Return pictures that show all that they have, whatever a collection chooses."""
    buffer = io.BytesIO()
    Image.fromarray(CAT).save(buffer, "PNG")
    half = np.full_like(GREY, 128).astype(np.uint16) * 257
    return [
        *(file for file in all_files() if not file.name.startswith("TIFF")),
        *(TradeFile(f"TIFF {name}", data, CAT) for name, data in three_colours().items()),
        TradeFile("PNG", buffer.getvalue(), CAT),
        TradeFile(
            "TIFF alpha",
            tiff(np.dstack([DEEP, half]), photometric="rgb", extrasamples=["unassalpha"]),
            CAT / 2 + 127,
        ),
        TradeFile("TIFF of one band", tiff(GREY), GREY),
        TradeFile(
            "TIFF of ink",
            tiff(np.dstack([255 - CAT, np.zeros_like(GREY)]), photometric="separated"),
            CAT,
        ),
    ]


def three_colours() -> dict[str, bytes]:
    return {
        "8 bits": tiff(CAT, photometric="rgb"),
        "16 bits": tiff(DEEP, photometric="rgb"),
        "floats": tiff((CAT / 255).astype("<f4"), photometric="rgb"),
    }


@pytest.mark.parametrize("file", unchosen(), ids=lambda file: file.name)
def test_pictures_that_have_no_choice_are_shown_as_they_are(file: TradeFile) -> None:
    plain, chosen = (decode_image(file.data, bands=bands) for bands in ((), (8, 4, 3)))
    assert chosen.tobytes() == plain.tobytes()


@pytest.mark.parametrize("name", FILES)
def test_a_band_that_a_file_lacks_is_told_with_both_numbers(name: str) -> None:
    count = {"1": 13, "4": 4, "8": 4, "3": 3, "5": 6}[name[0]]
    with pytest.raises(ImageError) as caught:
        decode_sandboxed(FILES[name], bands=(count + 1, 2, 1))
    assert caught.value.code == "format_denied" and not caught.value.transient
    assert f"has {count} bands, its collection shows bands {count + 1}, 2, 1: " in str(caught.value)
    assert describe_image(FILES[name]).width == CAT.shape[1]


def test_without_its_library_a_choice_of_bands_is_refused_and_not_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec_registry, "_is_there", lambda library: False)
    monkeypatch.setenv("IMGVEC_FORMATS", "tiff")
    data = FILES["8 bits, red, green, blue and infrared"]
    assert decode_image(data).size == CAT.shape[1::-1]
    with pytest.raises(ImageError, match=r"multi-band TIFF file; .*imgvec-pg\[tiff\]") as caught:
        decode_image(data, bands=(4, 3, 2))
    assert caught.value.code == "format_denied"


def test_versions_of_rendering_are_compared_by_the_chosen_bands() -> None:
    data = FILES["8 bits, red, green, blue and infrared"]
    assert compare_sandboxed(data, 1, 2, (4, 3, 2)) == 0.0
    with pytest.raises(ImageError, match="has 4 bands"):
        compare_sandboxed(data, 1, 2, (9, 3, 2))


@pytest.mark.parametrize("bands", [(), (1, 2, 3), (65_535, 1, 2), [8, 4, 3]])
def test_a_choice_is_three_bands_or_none(bands: tuple[int, ...]) -> None:
    check_bands(bands)


@pytest.mark.parametrize(
    "bands", [(1,), (1, 2), (1, 2, 3, 4), (1, 1, 2), (0, 1, 2), (-1, 2, 3), (1, 2, 65_536)]
)
def test_another_choice_is_one_line(bands: tuple[int, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        check_bands(bands)
    assert ",".join(map(str, bands)) in str(caught.value) and "\n" not in str(caught.value)
