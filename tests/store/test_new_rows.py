"""Rows that are new are written by COPY: what is there then is what the upsert would have written."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from photostore import (
    X,
    Y,
    Z,
    as_key,
    as_role,
    embed,
    fail,
    failed,
    lease_job,
    make_collection,
    make_photos,
    new_role,
)
from psycopg import sql

from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome
from imgvec_pg.store.index.radius_index import create_radius_index
from imgvec_pg.store.pictures.picture_table import prepare_pictures
from imgvec_pg.store.queue.written import Written
from imgvec_pg.store.writing import new_rows
from imgvec_pg.store.writing.key_formats import KEY_FORMATS
from imgvec_pg.store.writing.new_rows import NewRowWriter

ALL, NONE = 1, 10**9
VERSION, NEWER = 5, 6


class Watched:
    """Whether the last write was a COPY."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.copied = False
        monkeypatch.setattr(NewRowWriter, "write", self._noting(NewRowWriter.write))
        self.fewest(ALL)

    def fewest(self, rows: int) -> None:
        self.monkeypatch.setattr(new_rows, "FEWEST_ROWS", rows)

    def _noting(self, write: Any) -> Any:
        def noting(writer: NewRowWriter, rows: Sequence[EmbeddedKey], precision: str) -> bool:
            self.copied = write(writer, rows, precision)
            return self.copied

        return noting


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def write(
    connection: Connection,
    collection: Collection,
    keys: Sequence[Any],
    version: int = VERSION,
    vectors: Sequence[Sequence[float]] = (X, Y, Z),
) -> Written:
    """Write keys as a worker does; each has the vector of its place, and hashes of its own."""
    job = lease_job(connection, collection, keys, version)
    rows = [
        EmbeddedKey(
            as_key(collection, key),
            version,
            np.float32(vectors[place % len(vectors)]),
            bytes([place + 1]) * 32,
            bytes([place + 9]) * 32,
        )
        for place, key in enumerate(keys)
    ]
    return job.store.write(job.token, [Outcome(job.id, embedded=rows)], "fp32")


def stored(connection: Connection, collection: Collection) -> list[tuple[Any, ...]]:
    query = sql.SQL(
        "SELECT {keys}, embedding::text, version, content_hash, precision, reference_hash, embedded_at = now() FROM {table}"
        " ORDER BY content_hash"
    ).format(
        keys=sql.SQL(", ").join(map(sql.Identifier, collection.key_columns)),
        table=sql.Identifier("imgvec", collection.embedding_table),
    )
    return connection.execute(query).fetchall()


UUIDS = [str(uuid.UUID(int=number << 120 | number)) for number in (200, 3, 90)]
KINDS: dict[str, tuple[str, list[Any], bool, dict[str, Any]]] = {
    "bigint": ("id bigint PRIMARY KEY", [-(2**63), 2**63 - 1, 0], True, {}),
    "integer": ("id integer PRIMARY KEY", [-1, 2**31 - 1, 5], True, {}),
    "smallint": ("id smallint PRIMARY KEY", [-(2**15), 7, 300], True, {}),
    "uuid": ("id uuid PRIMARY KEY", UUIDS, True, {}),
    "several columns": (
        'tenant uuid, "discount %" integer, PRIMARY KEY (tenant, "discount %")',
        [(UUIDS[0], 2), (UUIDS[0], 1), (UUIDS[1], 2)],
        True,
        {},
    ),
    "no foreign key": ("id bigint PRIMARY KEY", [3, 1, 2], True, {"foreign_key": False}),
    "text": ("id text PRIMARY KEY", ["b", "a", "ä"], False, {}),
    "numeric": ("id numeric PRIMARY KEY", ["1", "2.50", "3"], False, {}),
    "date": ("id date PRIMARY KEY", ["2026-01-03", "2026-01-01", "2026-01-02"], False, {}),
    "hash partitions": ("id bigint PRIMARY KEY", [1, 2, 3], False, {"partitions": 2}),
    "by tenant": (
        "tenant bigint, id bigint, PRIMARY KEY (tenant, id)",
        [(1, 2), (1, 1), (2, 1)],
        False,
        {"partition_by": "tenant"},
    ),
}


@pytest.mark.parametrize(("columns", "keys", "is_copied", "options"), KINDS.values(), ids=KINDS)
def test_both_ways_write_the_same(
    scratch: Connection,
    watched: Watched,
    columns: str,
    keys: list[Any],
    is_copied: bool,
    options: dict[str, Any],
) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(f"CREATE TABLE shop.photo ({columns}, file text DEFAULT 'a.jpg')")  # type: ignore[arg-type]
    collection = make_collection(scratch, **options)
    insert = sql.SQL("INSERT INTO shop.photo VALUES ({})").format(
        sql.SQL(", ").join(sql.Placeholder() * len(collection.key_columns))
    )
    for key in keys:
        scratch.execute(insert, key if isinstance(key, tuple) else (key,))
    found = []
    for fewest in (NONE, ALL):
        watched.fewest(fewest)
        watched.copied = False
        assert write(scratch, collection, keys).embedded == len(keys)
        assert watched.copied == (is_copied and fewest == ALL)
        found.append(stored(scratch, collection))
        scratch.execute(
            sql.SQL("DELETE FROM {}").format(sql.Identifier("imgvec", collection.embedding_table))
        )
    assert found[0] == found[1]
    assert len(found[0]) == len(keys)
    assert {row[-1] for row in found[0]} == {True}


def test_the_rows_of_a_view_are_copied_and_those_of_a_partitioned_table(
    scratch: Connection, watched: Watched
) -> None:
    make_photos(scratch, rows=3)
    scratch.execute("CREATE VIEW shop.cheap AS SELECT * FROM shop.photo WHERE price < 3")
    cheap = make_collection(scratch, "shop.cheap", "cheap", key={"id": "bigint"}, foreign_key=False)
    assert (write(scratch, cheap, [1, 2]).embedded, watched.copied) == (2, True)
    assert (write(scratch, cheap, [3]).embedded, watched.copied) == (0, False)
    scratch.execute("CREATE TABLE shop.part (id bigint PRIMARY KEY, file text) PARTITION BY RANGE (id)")
    scratch.execute("CREATE TABLE shop.part_low PARTITION OF shop.part FOR VALUES FROM (0) TO (2)")
    scratch.execute("CREATE TABLE shop.part_high PARTITION OF shop.part DEFAULT")
    scratch.execute("INSERT INTO shop.part SELECT i, 'a.jpg' FROM generate_series(1, 3) AS i")
    parts = make_collection(scratch, "shop.part", "parts")
    assert (write(scratch, parts, [1, 2, 3]).embedded, watched.copied) == (3, True)


def test_triggers_see_what_is_copied(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=4)
    embed(scratch, photos, {4: X})
    prepare_pictures(scratch, replace(photos, by_picture=True))
    photos = create_radius_index(scratch, photos)
    assert write(scratch, photos, [1, 2, 3]).embedded == 3
    assert watched.copied
    pictures = scratch.execute("SELECT content_hash FROM imgvec.photo_test_picture").fetchall()
    assert {bytes([place]) * 32 for place in (1, 2, 3)} <= {row[0] for row in pictures}
    within = scratch.execute("SELECT id FROM imgvec.within_photo_test('[0,1,0]', 0.1)").fetchall()
    assert [row[0] for row in within] == [2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE shop.photo SET file = NULL WHERE id = 2", [1, 3]),
        ("UPDATE shop.photo SET file = '' WHERE id = 2", [1, 3]),
        ("DELETE FROM shop.photo WHERE id = 2", [1, 3]),
    ],
)
def test_a_row_without_a_picture_gets_no_vector(
    scratch: Connection, watched: Watched, change: str, expected: list[int]
) -> None:
    photos = make_photos(scratch, rows=3)
    scratch.execute(change)  # type: ignore[arg-type]
    assert (write(scratch, photos, [1, 2, 3]).embedded, watched.copied) == (2, False)
    assert [row[0] for row in stored(scratch, photos)] == expected


@pytest.mark.parametrize("there", [VERSION - 1, VERSION, NEWER])
def test_a_failure_is_cleared_or_keeps_its_row_out(scratch: Connection, watched: Watched, there: int) -> None:
    photos = make_photos(scratch, rows=4)
    fail(scratch, photos, {"id": 2}, version=there)
    fail(scratch, photos, {"id": 4})
    write(scratch, photos, [1, 2, 3])
    wins = there <= VERSION
    assert not watched.copied
    assert [row[0] for row in stored(scratch, photos)] == ([1, 2, 3] if wins else [1, 3])
    assert failed(scratch) == ([] if wins else [{"id": 2}]) + [{"id": 4}]
    scratch.execute("DELETE FROM imgvec.photo_test_embedding")
    # Those of other keys are in nobody's way.
    assert (write(scratch, photos, [1, 3]).embedded, watched.copied) == (2, True)


@pytest.mark.parametrize(("there", "expected"), [(VERSION - 1, VERSION), (NEWER, NEWER)])
def test_a_vector_that_is_there_is_covered_by_a_newer_one_alone(
    scratch: Connection, watched: Watched, caplog: pytest.LogCaptureFixture, there: int, expected: int
) -> None:
    photos = make_photos(scratch, rows=3)
    embed(scratch, photos, {3: X}, version=there)
    # A command before it in this process may have set the level of our own log.
    caplog.set_level(logging.INFO, logger="imgvec_pg")
    write(scratch, photos, [1, 2, 3])
    found = scratch.execute("SELECT version FROM imgvec.photo_test_embedding WHERE id = 3").fetchall()
    assert (found, watched.copied) == ([(expected,)], False)
    # It is looked for: a COPY that fails leaves rows behind for VACUUM, and an error in the server's log.
    assert "already" not in caplog.text


@pytest.mark.parametrize(("version", "expected"), [(VERSION - 1, VERSION), (NEWER, NEWER)])
def test_a_writer_that_comes_between_look_and_copy_is_met(
    connection: Connection,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: int,
    expected: int,
) -> None:
    photos = make_photos(connection, rows=3)
    copy_in = NewRowWriter._copy_in
    # A command before it in this process may have set the level of our own log.
    caplog.set_level(logging.INFO, logger="imgvec_pg")

    def after_another(writer: NewRowWriter, *arguments: Any) -> None:
        with connect(connection.info.dsn) as other:
            embed(other, photos, {2: Z}, version=version)
        copy_in(writer, *arguments)

    monkeypatch.setattr(NewRowWriter, "_copy_in", after_another)
    write(connection, photos, [1, 2, 3])
    assert "there already" in caplog.text
    found = connection.execute("SELECT id, version FROM imgvec.photo_test_embedding ORDER BY id").fetchall()
    assert found == [(1, VERSION), (2, expected), (3, VERSION)]
    assert connection.execute("SELECT count(*) FROM imgvec.job WHERE token IS NOT NULL").fetchone() == (0,)


def test_one_key_twice_is_written_once(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=2)
    job = lease_job(scratch, photos, [1, 2, 1], VERSION)
    rows = [
        EmbeddedKey({"id": key}, version, np.float32(X), bytes(32), bytes(32))
        for key, version in ((1, VERSION), (2, VERSION), (1, NEWER))
    ]
    job.store.write(job.token, [Outcome(job.id, embedded=rows)], "fp32")
    assert not watched.copied
    found = scratch.execute("SELECT id, version FROM imgvec.photo_test_embedding ORDER BY id").fetchall()
    assert found == [(1, NEWER), (2, VERSION)]


def test_rows_are_copied_in_key_order(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=200)
    keys = [*range(200, 0, -7), *(key for key in range(1, 201) if (200 - key) % 7)]
    assert (write(scratch, photos, keys).embedded, watched.copied) == (200, True)
    there = scratch.execute("SELECT id FROM imgvec.photo_test_embedding ORDER BY ctid").fetchall()
    assert [row[0] for row in there] == list(range(1, 201))
    # More than one piece of the COPY; each key still has what it was given.
    found = scratch.execute(
        "SELECT id, get_byte(content_hash, 0) - 1 FROM imgvec.photo_test_embedding"
    ).fetchall()
    assert {place: key for key, place in found} == dict(enumerate(keys))


def test_a_role_held_by_row_security_upserts(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=3)
    with (
        new_role(scratch, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as role,
        as_role(scratch, role),
    ):
        assert write(scratch, photos, [1, 2, 3]).embedded == 3
    assert not watched.copied
    assert len(stored(scratch, photos)) == 3


def test_rows_without_a_hash_or_with_a_bad_key_are_upserted(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=1)
    job = lease_job(scratch, photos, [1])
    row = EmbeddedKey({"id": 1}, 1, np.float32(X), bytes(32))
    assert job.store.write(job.token, [Outcome(job.id, embedded=[row])], "fp32").embedded == 1
    assert not watched.copied
    with pytest.raises(psycopg.DataError):
        write(scratch, photos, [2**63])


def test_a_vector_that_is_none_is_refused_as_before(scratch: Connection, watched: Watched) -> None:
    photos = make_photos(scratch, rows=2)
    with pytest.raises(psycopg.errors.CheckViolation), scratch.transaction():
        write(scratch, photos, [1, 2], vectors=[X, (0.5, 0.0, 0.0)])
    with pytest.raises(psycopg.DataError), scratch.transaction():
        write(scratch, photos, [1, 2], vectors=[(1.0, 0.0)])
    assert stored(scratch, photos) == []


@pytest.mark.parametrize(
    ("type_name", "values"),
    [
        ("smallint", [-(2**15), -1, 0, 2**15 - 1]),
        ("integer", [-(2**31), -1, 0, 2**31 - 1]),
        ("bigint", [-(2**63), -1, 0, 2**63 - 1]),
        ("uuid", [*UUIDS, str(uuid.UUID(int=2**128 - 1))]),
    ],
)
def test_keys_arrive_as_they_were_and_in_their_order(
    scratch: Connection, type_name: str, values: list[Any]
) -> None:
    EmbeddingStore(
        scratch, make_photos(scratch), vector_schema(scratch)
    )  # which makes the connection know the types
    form = KEY_FORMATS[type_name]
    query = sql.SQL("SELECT to_jsonb(k) FROM unnest(%b::{}[]) AS k ORDER BY k").format(sql.SQL(type_name))
    rows = scratch.execute(query, [form.array([form.encode(value) for value in values])]).fetchall()
    assert [row[0] for row in rows] == sorted(values)
