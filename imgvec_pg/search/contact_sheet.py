"""An answer as one HTML file that needs no other: thumbnails, distances, keys and columns."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from imgvec_pg.errors import ImageError
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.search.formatting import show_value, times
from imgvec_pg.search.images import thumbnail
from imgvec_pg.search.nearest import Neighbour, Neighbours
from imgvec_pg.search.query_types import SearchQuery, show_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.text import counted, is_path, shorten_path

KINDS = {"words": "Nearest to the words", "image": "Nearest to the picture", "row": "Nearest to the row"}
PATH_CHARACTERS = 30
"""What fits into the two lines of a narrow card."""
# The codes of ImageError as a visitor may read them; its message may name folders of the server.
MISSING = {
    "not_found": "file not found",
    "empty": "no picture",
    "address_denied": "not fetched from there",
    "fetch_limit": "took too long",
    "fetch_later": "host is busy",
    "path_denied": "outside the picture folder",
    "scheme_denied": "not on this machine",
    "fetch_failed": "cannot be read",
    "not_regular_file": "not a file",
}


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet says beside its pictures.

    Attributes:
        where: The condition of the search.
        is_rows: Whether each row stands by itself; else different pictures.
        empty: Why there is no row, where there is none.
    """

    query: SearchQuery
    collection: Collection
    found: Neighbours
    where: str | None = None
    empty: str | None = None
    is_rows: bool = True

    def html(self, pictures: Iterable[bytes | ImageError]) -> str:
        """Return the page.

        Args:
            pictures: The encoded picture of each row found, in order, or why there is none.
        """
        cards = [
            card(row, picture, self.collection.bands)
            for row, picture in zip(self.found.rows, pictures, strict=True)
        ]
        picture = self.query.picture
        content = (
            "<ol>\n" + "\n".join(cards) + "\n</ol>"
            if cards
            else f'<p class="empty">{escape(self.empty or "")}</p>'
        )
        return fill_page(
            title=f"{self.query.shown} · {self.collection.name}",
            picture=""
            if picture is None
            else _image(picture, "the picture asked with", self.collection.bands),
            kind=KINDS[self.query.kind],
            question=self.query.shown,
            facts=self._facts(),
            content=content,
        )

    def _facts(self) -> str:
        count = len(self.found.rows)
        facts = [
            f"{counted(count, 'row' if self.is_rows else 'picture')} of {escape(self.collection.shown_source)}",
            f"model {escape(self.collection.model_name)}",
        ]
        if count:
            facts.append("by the index" if self.found.strategy == "index" else "exact search")
        if self.where is not None:
            facts.insert(1, f"where <code>{escape(self.where)}</code>")
        return " · ".join(facts)


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as a URI that needs no file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _image(picture: bytes | ImageError, label: str, bands: Bands) -> str:
    """Return an <img>, or a box that says what is missing."""
    try:
        if isinstance(picture, ImageError):
            raise picture
        return f'<img src="{data_uri(thumbnail(picture, bands=bands))}" alt="{escape(label)}">'
    except ImageError as error:
        return f'<div class="missing">{MISSING.get(error.code, "not a readable image")}</div>'


def fill_page(*, title: str, kind: str, question: str, facts: str, content: str, picture: str = "") -> str:
    """Return a page of its own.

    Args:
        title, question: Text.
        facts, content, picture: HTML.
    """
    return _template().substitute(
        title=escape(title),
        picture=picture,
        kind=kind,
        question=escape(question),
        facts=facts,
        content=content,
    )


def card(row: Neighbour, picture: bytes | ImageError, bands: Bands) -> str:
    """Return the card of a row, with its picture or why there is none."""
    key = show_key(row.key)
    label = f"<small>{escape(next(iter(row.key)))}</small> " if len(row.key) == 1 else ""
    # A bar is full at distance 0 and empty at 1, where nothing is alike any more.
    width = max(0.0, min(1.0, row.similarity)) * 100
    copies = ""
    if row.copies > 1:
        copies = (
            f'<span class="copies" title="{row.copies:,} rows have this picture">{times(row.copies)}</span>'
        )
    return (
        f"<li><figure>{_image(picture, key, bands)}{copies}</figure>"
        f'<div class="text"><div class="line"><span class="key">{label}{escape(key)}</span>'
        f'<span class="distance" title="cosine distance">{row.distance:.4f}</span></div>'
        f'<div class="bar"><i style="width:{width:.0f}%"></i></div>'
        f"{_columns(row.columns)}</div></li>"
    )


def _columns(columns: dict[str, object]) -> str:
    entries: Sequence[str] = [
        f'<dt title="{escape(name)}">{escape(name)}</dt>{_value(show_value(value))}'
        for name, value in columns.items()
    ]
    return f"<dl>{''.join(entries)}</dl>" if entries else ""


def _value(text: str) -> str:
    """Return a column's value; the page cuts a long one at its end, where paths differ."""
    if len(text) <= PATH_CHARACTERS or not is_path(text):
        return f"<dd>{escape(text) or '–'}</dd>"
    return f'<dd title="{escape(text)}">{escape(shorten_path(text, PATH_CHARACTERS))}</dd>'


@cache
def _template() -> Template:
    return Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
