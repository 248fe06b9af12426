import base64
import io
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgvec_pg.errors import ImageError
from imgvec_pg.search.contact_sheet import Sheet
from imgvec_pg.search.images import THUMBNAIL_PIXELS
from imgvec_pg.search.nearest import Neighbour, Neighbours
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.store.collection import Collection

EVIL = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Collects what a browser would see, and refuses tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def encoded(width: int, height: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def collection(**changes: Any) -> Collection:
    values: dict[str, Any] = dict.fromkeys(Collection.__dataclass_fields__, "")
    return Collection(
        **{
            **values,
            "name": "product_clip",
            "model_name": "m",
            "source_schema": "shop",
            "source_name": "product",
            "shown_source": "shop.product",
            **changes,
        }
    )


def sheet(
    rows: list[Neighbour], shown: str = "red shoes", picture: bytes | None = None, **more: Any
) -> Sheet:
    kind = "words" if picture is None else "image"
    question = SearchQuery(kind, shown, np.ones(1, dtype=np.float32), picture)
    return Sheet(question, collection(), Neighbours(rows, "index"), **more)


def row(number: object, distance: float, **columns: object) -> Neighbour:
    return Neighbour({"id": number}, distance, columns)


def test_sheet_says_how_many_rows_have_a_picture() -> None:
    rows = [Neighbour({"id": 7}, 0.25, {}, 1200), Neighbour({"id": 8}, 0.5, {})]
    page = Page(sheet(rows, is_rows=False).html([encoded(90, 30), encoded(30, 60)]))
    assert [text for text in page.texts if "×" in text] == ["× 1,200"]
    assert "2 pictures of shop.product · model m · by the index" in page.texts


def test_sheet_shows_question_pictures_distances_keys_and_columns() -> None:
    rows = [row(7, 0.25, name="Runner", price=Decimal("49.90")), row(8, 1.5, name=None, price=Decimal(3))]
    page = Page(sheet(rows).html([encoded(900, 300), encoded(30, 60, "RGBA")]))
    assert page.texts[:1] == ["red shoes · product_clip"]
    for text in ("red shoes", "0.2500", "1.5000", "7", "8", "Runner", "49.90", "–"):
        assert text in page.texts
    assert "2 rows of shop.product · model m · by the index" in page.texts
    sizes = []
    for image in page.images():
        head, data = str(image["src"]).split(",")
        assert head == "data:image/jpeg;base64"
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    assert sizes == [(THUMBNAIL_PIXELS, 80), (30, 60)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ann/Pictures/2019/holiday/IMG_100001.jpg", "…s/2019/holiday/IMG_100001.jpg"),
        ("https://cdn.example.com/products/large/IMG_100002.jpg", "…products/large/IMG_100002.jpg"),
        ("2019/a.jpg", "2019/a.jpg"),
        ("a description of a shoe that is long, with and/or in it", None),
    ],
)
def test_of_a_long_path_the_sheet_shows_the_end(value: str, shown: str | None) -> None:
    page = Page(sheet([row(7, 0.25, uri=value)]).html([encoded(9, 9)]))
    assert (shown or value) in page.texts
    assert (("dd", {"title": value}) in page.tags) == (shown is not None and shown.startswith("…"))


def test_everything_from_the_table_is_escaped() -> None:
    rows = [row(EVIL, 0.5, **{EVIL: EVIL})]
    html = sheet(rows, shown=EVIL, where=EVIL, picture=encoded(5, 5)).html([encoded(5, 5)])
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert(1)</script>" not in html
    assert [image["alt"] for image in page.images()] == ["the picture asked with", EVIL]
    assert "default-src 'none'" in html


def test_sheet_needs_no_other_file() -> None:
    html = sheet([row(1, 0.1)]).html([encoded(9, 9)])
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import|https?:", html)


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        (ImageError("not_found", "'/srv/secret/a.jpg' does not exist below /srv/secret"), "file not found"),
        (ImageError("empty", "NULL"), "no picture"),
        (ImageError("some_new_code", "?"), "not a readable image"),
        (b"nonsense", "not a readable image"),
    ],
)
def test_missing_picture_is_a_labelled_box(picture: bytes | ImageError, label: str) -> None:
    html = sheet([row(1, 0.1)]).html([picture])
    assert label in Page(html).texts
    assert "secret" not in html


def test_empty_answer_says_why() -> None:
    page = Page(sheet([], empty="no row is <that> near").html([]))
    assert "no row is <that> near" in page.texts
    assert "0 rows of shop.product · model m" in page.texts
