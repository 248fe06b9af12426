"""A similarity matrix as one HTML file that needs no other, and no script."""

from functools import cache
from html import escape
from pathlib import Path
from string import Template

from imgvec_pg.search.contact_sheet import data_uri
from imgvec_pg.search.similarity_scale import STEPS, PictureMatrix, colour_of, ink_on, shown_similarity

NUMBERS_ALWAYS = 30
"""Up to so many pictures cells have their number on any screen; beyond, on one that is wide enough, else as their title."""
SMALLEST_CELL = {True: 36, False: 22}
"""CSS pixels of a cell with a number, and of one without."""


def similarity_page(matrix: PictureMatrix) -> str:
    """Return the page."""
    count = len(matrix.names)
    is_roomy = count <= NUMBERS_ALWAYS
    head = "".join(f'<th scope="col">{_picture(matrix, place)}</th>' for place in range(count))
    return _template().substitute(
        title=escape(matrix.title),
        facts=" · ".join(map(escape, matrix.facts)),
        count=count,
        density="roomy" if is_roomy else "dense",
        smallest=SMALLEST_CELL[is_roomy],
        wide=count * SMALLEST_CELL[True] + 290,
        colours=_colours(),
        lowest=shown_similarity(matrix.lowest),
        gradient=", ".join(f"rgb{colour_of(step)}" for step in range(0, STEPS, 7)),
        head=head,
        rows="\n".join(_rows(matrix)),
    )


def _rows(matrix: PictureMatrix) -> list[str]:
    steps = matrix.steps().tolist()
    values = matrix.similarities.tolist()
    lines = []
    for place, name in enumerate(matrix.names):
        cells = "".join(
            f'<td class="c{step}" title="{escape(f"{name} – {other}: {value:.3f}")}">{shown_similarity(value)}</td>'
            for step, other, value in zip(steps[place], matrix.names, values[place], strict=True)
        )
        label = f'<span class="name" aria-hidden="true">{escape(name)}</span>'
        lines.append(f'<tr><th scope="row">{label}{_picture(matrix, place)}</th>{cells}</tr>')
    return lines


def _picture(matrix: PictureMatrix, place: int) -> str:
    """Return an <img>, or a box that says what is missing."""
    name, picture = escape(matrix.names[place]), matrix.thumbnails[place]
    if isinstance(picture, bytes):
        return f'<img src="{data_uri(picture)}" alt="{name}" title="{name}">'
    text = f"{name}: {escape(picture)}"
    return f'<span class="missing" role="img" aria-label="{text}" title="{text}">?</span>'


@cache
def _colours() -> str:
    """Return the style of each step's cells."""
    inks = {(0, 0, 0): "#000", (255, 255, 255): "#fff"}
    colours = [colour_of(step) for step in range(STEPS)]
    return "\n".join(
        f".c{step} {{ background: rgb{colour}; color: {inks[ink_on(colour)]}; }}"
        for step, colour in enumerate(colours)
    )


@cache
def _template() -> Template:
    return Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
