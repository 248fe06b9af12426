"""NULL and '' both say that a row has no picture: it is not enqueued, found missing, listed or counted, whatever the type."""

from typing import Any

import pytest
from photostore import X, embed, enqueued, make_collection, take_enqueued

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import verify_collection

KINDS: dict[str, tuple[str, list[str], str]] = {
    "text": ("file text", ["file"], "'a.jpg'"),
    "varchar": ("file varchar(100) NOT NULL DEFAULT ''", ["file"], "'a.jpg'"),
    "char": ("file char(20)", ["file"], "'a.jpg'"),
    "bytes": ("file bytea", ["file"], "'\\x01'::bytea"),
    "both": ("file text, data bytea", ["file", "data"], "'a.jpg'"),
}


def make(connection: Connection, columns: str, image: list[str], **options: Any) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(f"CREATE TABLE shop.photo (id int PRIMARY KEY, {columns})")  # type: ignore[arg-type]
    return make_collection(connection, image=image, **options)


@pytest.mark.parametrize(("columns", "image", "some"), KINDS.values(), ids=KINDS)
def test_a_row_without_a_picture_is_none_of_a_collections(
    scratch: Connection, columns: str, image: list[str], some: str
) -> None:
    collection = make(scratch, columns, image, foreign_key=False)
    scratch.execute(f"INSERT INTO shop.photo (id, file) VALUES (1, {some}), (2, ''), (3, DEFAULT)")  # type: ignore[arg-type]
    assert take_enqueued(scratch) == [1]
    list_source(scratch, collection)
    assert take_enqueued(scratch) == [1]
    embed(scratch, collection, {1: X})
    assert verify_collection(scratch, collection).is_in_step
    scratch.execute("UPDATE shop.photo SET file = '' WHERE id = 1")
    assert take_enqueued(scratch) == [1]
    assert verify_collection(scratch, collection).differences.keys() == {"orphan"}
    found = reconcile(scratch, collection)
    assert (found.enqueued, found.orphans_deleted) == (0, 1)
    assert enqueued(scratch) == []


def test_an_empty_path_leaves_the_bytes_to_be_the_picture(scratch: Connection) -> None:
    collection = make(scratch, *KINDS["both"][:2])
    scratch.execute(
        "INSERT INTO shop.photo VALUES (1, '', '\\x01'), (2, 'a.jpg', ''), (3, '', ''), (4, '', NULL)"
    )
    assert take_enqueued(scratch) == [1, 2]
    assert collection.path_column == "file"
