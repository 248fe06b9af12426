"""A source whose key became wider is followed in place; until then only keys that do not fit fail."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from photostore import X, Y, Z, as_role, embed, embedded, lease_job, make_collection, new_role, take_enqueued

from imgvec_pg.backfill.batch.writer import write_outcomes
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.embeddings import EmbeddedKey, Outcome
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.renewal import has_outdated_triggers
from imgvec_pg.store.integrity.verify import drop_empty_jobs, verify_collection
from imgvec_pg.store.key_change import follow_key, may_change_key
from imgvec_pg.store.queue.jobs import Claim, Job
from imgvec_pg.store.registry import get_collection

WIDENINGS = {
    "integer": ("bigint", [1, 2], 3_000_000_000),
    "smallint": ("integer", [1, 2], 70_000),
    "varchar(3)": ("text", ["a", "b"], "longer"),
    "varchar(4)": ("varchar(9)", ["a", "b"], "longer"),
    "numeric(4,1)": ("numeric(12,3)", [1, 2], 1234567.125),
    "real": ("double precision", [1, 2], 0.1),
}


@pytest.mark.parametrize(
    "options",
    [
        {"foreign_key": True},
        {"foreign_key": False},
        {"partitions": 3},
        {"partitions": 2, "foreign_key": False},
    ],
    ids=["fk", "no-fk", "partitions", "partitions no-fk"],
)
@pytest.mark.parametrize("composite", [False, True], ids=["one column", "composite"])
@pytest.mark.parametrize("narrow", WIDENINGS)
def test_a_wider_key_is_followed_without_embedding_anew(
    scratch: Connection, narrow: str, composite: bool, options: dict[str, Any]
) -> None:
    wide, keys, beyond = WIDENINGS[narrow]
    scratch.execute("CREATE SCHEMA shop")
    more = "tenant int DEFAULT 7, " if composite else ""
    primary = "tenant, id" if composite else "id"
    scratch.execute(f"CREATE TABLE shop.photo ({more}id {narrow}, file text, PRIMARY KEY ({primary}))")  # type: ignore[arg-type]
    collection = make_collection(scratch, **options)
    create_alias(scratch, "photos", "photo_test")
    for key in keys:
        scratch.execute("INSERT INTO shop.photo (id, file) VALUES (%s, 'x.jpg')", [key])
    embed(scratch, collection, {((7, key) if composite else key): X for key in keys})
    take_enqueued(scratch)
    scratch.execute(f"ALTER TABLE shop.photo ALTER id TYPE {wide}")  # type: ignore[arg-type]
    scratch.execute("INSERT INTO shop.photo (id, file) VALUES (%s, 'y.jpg')", [beyond])

    before = get_collection(scratch, "photo_test")
    assert before.has_other_key_types
    # Nothing that walks rows, jobs and failures stops at the key that does not fit.
    assert list_source(scratch, before) == 0
    assert verify_collection(scratch, before).queued == 1
    reconcile(scratch, before)
    assert drop_empty_jobs(scratch, before) == 0

    after = follow_key(scratch, before)
    scratch.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL row_security TO DEFAULT")
    assert not after.has_other_key_types and not has_outdated_triggers(scratch, after)
    assert len(embedded(scratch, after)) == 2
    embed(scratch, after, {((7, beyond) if composite else beyond): Y})
    arguments = "7, p.id" if composite else "p.id"
    for name in ("photo_test", "photos"):
        found = scratch.execute(
            "SELECT count(*) FROM shop.photo AS p, LATERAL"  # type: ignore[arg-type]
            f" (SELECT FROM imgvec.near_{name}_row({arguments}) LIMIT 2) AS n"
        ).fetchone()
        assert found == (6,)
    among = "ARRAY[ROW(7, %s)::imgvec.photo_test_key]" if composite else f"ARRAY[%s::{wide}]"
    search = f"SELECT id FROM imgvec.search_photo_test('[0,1,0]', 5, among => {among})"
    assert len(scratch.execute(search, [beyond]).fetchall()) == 1  # type: ignore[arg-type]
    assert verify_collection(scratch, after).is_in_step
    scratch.execute("DELETE FROM shop.photo")
    assert embedded(scratch, after) == []


@pytest.mark.parametrize("partitions", [0, 2])
@pytest.mark.parametrize("method", ["hnsw", "ivfflat"])
def test_an_index_of_any_method_goes_rather_than_be_built_under_the_lock(
    connection: Connection, method: str, partitions: int
) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    collection = make_collection(connection, partitions=partitions)
    build_index(
        connection, replace(collection, index_method=method, lists=1 if method == "ivfflat" else None)
    )
    assert all(state.is_valid for state in index_states(connection, collection))
    connection.execute("ALTER TABLE shop.photo ALTER id TYPE bigint")
    after = follow_key(connection, get_collection(connection, "photo_test"))
    assert [state.index_name for state in index_states(connection, after)] == [None] * (1 + partitions)


def test_a_key_that_does_not_fit_fails_alone(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    make_collection(connection)
    connection.execute("ALTER TABLE shop.photo ALTER id TYPE bigint")
    connection.execute("INSERT INTO shop.photo VALUES (1, 'a'), (3000000000, 'b'), (2, 'c')")
    take_enqueued(connection)
    collection = get_collection(connection, "photo_test")
    with new_role(connection, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as worker:
        with as_role(connection, worker):
            assert not may_change_key(connection, collection)
            job = lease_job(connection, collection, [1, 3_000_000_000, 2])
            keys = [{"id": key} for key in (1, 3_000_000_000, 2)]
            done = [
                EmbeddedKey(key, 1, np.float32(vector), b"")
                for key, vector in zip(keys, (X, Y, Z), strict=True)
            ]
            claim = Claim(job.token, (Job(job.id, 1, keys, 1, 0),))
            written = write_outcomes(job.store, claim, [Outcome(job.id, embedded=done)], "fp32")
        assert (written.embedded, written.failure_codes) == (2, ("key_does_not_fit",))
    assert embedded(connection, collection) == [1, 2]
    verified = verify_collection(connection, collection)
    assert verified.is_in_step and verified.failed == 1


def test_a_view_that_needs_the_functions_is_named(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    make_collection(scratch)
    scratch.execute("CREATE VIEW shop.like_one AS SELECT * FROM imgvec.near_photo_test_row(1)")
    scratch.execute("ALTER TABLE shop.photo ALTER id TYPE bigint")
    with (
        pytest.raises(CollectionError, match=r"view shop.like_one depends.*Nothing was changed"),
        scratch.transaction(),
    ):
        follow_key(scratch, get_collection(scratch, "photo_test"))


def test_another_kind_of_type_is_not_followed(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    collection = make_collection(scratch, foreign_key=False)
    scratch.execute("ALTER TABLE shop.photo ALTER id TYPE text")
    found: Any = get_collection(scratch, "photo_test")
    assert not found.has_other_key_types and follow_key(scratch, found) is found
    with pytest.raises(CollectionError, match="is text now; expected integer"), scratch.transaction():
        reconcile(scratch, collection)


def test_grants_on_a_partitioned_embedding_table_stay(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    make_collection(scratch, partitions=3)
    with new_role(scratch, "imgvec_reader") as analyst:
        scratch.execute(
            f"GRANT SELECT, REFERENCES ON imgvec.photo_test_embedding TO {analyst} WITH GRANT OPTION"
        )  # type: ignore[arg-type]
        acl = "SELECT relacl::text[] FROM pg_class WHERE oid = 'imgvec.photo_test_embedding'::regclass"
        before = scratch.execute(acl).fetchone()
        scratch.execute("ALTER TABLE shop.photo ALTER id TYPE bigint")
        follow_key(scratch, get_collection(scratch, "photo_test"))
        after = scratch.execute(acl).fetchone()
        assert before is not None and after is not None and sorted(before[0]) == sorted(after[0])


@pytest.mark.parametrize(
    ("narrow", "wide", "key"),
    [
        ("integer", "numeric", 1),
        ("date", "timestamp", "2026-01-01"),
        ("timestamp", "timestamptz", "2026-01-02"),
    ],
)
def test_partitions_that_would_part_rows_otherwise_are_refused(
    scratch: Connection, narrow: str, wide: str, key: Any
) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(f"CREATE TABLE shop.photo (id {narrow} PRIMARY KEY, file text)")  # type: ignore[arg-type]
    collection = make_collection(scratch, partitions=16)
    scratch.execute("INSERT INTO shop.photo VALUES (%s, 'a')", [key])
    embed(scratch, collection, {key: X})
    scratch.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
    scratch.execute(f"ALTER TABLE shop.photo ALTER id TYPE {wide}")  # type: ignore[arg-type]
    with (
        pytest.raises(CollectionError, match=r"drop it and create it again\. Nothing was changed"),
        scratch.transaction(),
    ):
        follow_key(scratch, get_collection(scratch, "photo_test"))
