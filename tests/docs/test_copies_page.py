"""docs/howto/copies.md: each query runs, and gives what the page says of it."""

from collections.abc import Iterator

import pytest
from pageblocks import DOCS, read_blocks
from photostore import make_collection

from imgvec_pg.database.connect import Connection, connect

BLOCKS = [block for block in read_blocks(DOCS / "howto" / "copies.md") if block.language == "sql"]


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    """60 products; those from 40 on share the picture of 42."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE TABLE shop.product (id bigint PRIMARY KEY, photo text)")
        connection.execute("INSERT INTO shop.product SELECT i, i || '.jpg' FROM generate_series(1, 60) AS i")
        make_collection(connection, "shop.product", "product_clip", image=["photo"])
        connection.execute(
            "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT id, l2_normalize(ARRAY[least(id, 40), 20, 3]::real[]::vector)::halfvec, 1,"
            " sha256(least(id, 40)::text::bytea), 'fp32' FROM shop.product"
        )
        yield connection


def test_the_queries_give_what_is_said(shop: Connection) -> None:
    most, same, different, exact = [shop.execute(block.text.encode()).fetchall() for block in BLOCKS]
    assert [copies for _, copies in most] == [21]
    assert [key for (key,) in same] == list(range(40, 61))
    assert [(key, copies) for key, _, copies in different] == [(40, 21)] + [
        (key, 1) for key in range(39, 30, -1)
    ]
    # Row 42 itself is left out; 40 has its picture.
    assert [key for key, _ in exact] == list(range(40, 30, -1))
