"""A column of the source is renamed or dropped: the application writes on, and what it wrote is found once that is mended."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from photostore import X, embed, embedded, enqueued, fail, failed, make_collection, make_photos, take_enqueued

from imgvec_pg.database.connect import Connection
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import reconcile

both_ways = pytest.mark.parametrize("with_foreign_key", [True, False], ids=["fk", "no-fk"])


@contextmanager
def warnings_of(connection: Connection) -> Iterator[list[str]]:
    """Collect what the server warns of."""
    met: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        met.append(f"{diagnostic.severity}: {diagnostic.message_primary}")

    connection.add_notice_handler(note)
    try:
        yield met
    finally:
        connection.remove_notice_handler(note)


@pytest.fixture
def photos(scratch: Connection, with_foreign_key: bool) -> Collection:
    """Photos 1 to 3, of which 1 and 2 are embedded and 3 failed; a session that has the triggers' plans in its cache."""
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    scratch.execute("UPDATE shop.photo SET file = file || '?', price = 1")
    scratch.execute("INSERT INTO shop.photo VALUES (9, '9.jpg')")
    scratch.execute("DELETE FROM shop.photo WHERE id = 9")
    take_enqueued(scratch)
    embed(scratch, collection, {1: X, 2: X})
    fail(scratch, collection, {"id": 3})
    return collection


@both_ways
@pytest.mark.parametrize(
    ("damage", "column"),
    [
        ("RENAME COLUMN file TO photo", "file"),
        ("DROP COLUMN file", "file"),
        ("RENAME COLUMN id TO number", "id"),
    ],
)
def test_the_application_writes_on_and_is_warned(
    scratch: Connection, photos: Collection, damage: str, column: str
) -> None:
    scratch.execute(f"ALTER TABLE shop.photo {damage}")  # type: ignore[arg-type]
    key = "number" if column == "id" else "id"
    with warnings_of(scratch) as met:
        scratch.execute(f"INSERT INTO shop.photo ({key}, price) VALUES (4, 4)")  # type: ignore[arg-type]
        scratch.execute("UPDATE shop.photo SET price = 0")
        scratch.execute(f"UPDATE shop.photo SET {key} = 5 WHERE {key} = 4")  # type: ignore[arg-type]
    assert [line.replace(f" o.{column} ", f" n.{column} ") for line in met] == [
        "WARNING: imgvec: collection photo_test does not see this change of shop.photo"
        f" (column n.{column} does not exist); run: imgvec doctor"
    ] * 3
    scratch.execute(f"DELETE FROM shop.photo WHERE {key} = 5")  # type: ignore[arg-type]
    assert scratch.execute("SELECT price FROM shop.photo").fetchall() == [(0,)] * 3
    assert enqueued(scratch) == []
    [finding] = [f for f in diagnose(scratch) if "any more: its changes are not seen" in f.met]
    assert finding.level == "error" and "imgvec collection reconcile photo_test" in str(finding.next_step)
    with pytest.raises(
        CollectionError, match=rf'no column "{column}"; .* rename it back, or drop collection photo_test'
    ):
        reconcile(scratch, photos)


@both_ways
def test_renaming_back_and_reconcile_catch_up(scratch: Connection, photos: Collection) -> None:
    scratch.execute(
        "UPDATE imgvec.photo_test_embedding AS e SET reference_hash = sha256(convert_to(ROW(p.file)::text, 'UTF8'))"
        " FROM shop.photo AS p WHERE p.id = e.id"
    )
    scratch.execute("ALTER TABLE shop.photo RENAME file TO photo; ALTER TABLE shop.photo RENAME id TO number")
    scratch.execute("INSERT INTO shop.photo VALUES (4, '4.jpg')")
    scratch.execute("UPDATE shop.photo SET photo = 'new.jpg' WHERE number = 2")
    scratch.execute("DELETE FROM shop.photo WHERE number IN (1, 3)")
    scratch.execute("ALTER TABLE shop.photo RENAME photo TO file; ALTER TABLE shop.photo RENAME number TO id")
    assert enqueued(scratch) == []
    found = reconcile(scratch, photos)
    assert (found.enqueued, found.changed, found.failures_deleted) == (2, 1, 1)
    assert enqueued(scratch) == [2, 4]
    assert (embedded(scratch, photos), failed(scratch)) == ([2], [])
    scratch.execute("UPDATE shop.photo SET file = 'newer.jpg' WHERE id = 4")
    assert enqueued(scratch) == [2, 4, 4]


def test_truncate_of_a_partition_goes_through_when_a_key_was_renamed(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text) PARTITION BY RANGE (id)")
    scratch.execute("CREATE TABLE shop.photo_1 PARTITION OF shop.photo FOR VALUES FROM (0) TO (10)")
    make_collection(scratch, foreign_key=False)
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg')")
    scratch.execute("ALTER TABLE shop.photo RENAME id TO number")
    scratch.execute("TRUNCATE shop.photo_1")
    assert scratch.execute("SELECT FROM shop.photo").rowcount == 0


def test_a_write_of_the_application_takes_no_transaction_id_of_its_own(scratch: Connection) -> None:
    make_photos(scratch, rows=2)
    scratch.execute("INSERT INTO shop.photo VALUES (3, 'x.jpg', 1)")
    scratch.execute("UPDATE shop.photo SET file = 'y.jpg' WHERE id = 3")
    # A row written in a subtransaction carries that one's id.
    writers = scratch.execute("SELECT DISTINCT xmin::text FROM imgvec.job").fetchall()
    sources = scratch.execute("SELECT DISTINCT xmin::text FROM shop.photo WHERE id = 3").fetchall()
    assert writers == sources and len(writers) == 1
