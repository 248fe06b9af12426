"""Deletions that no foreign key sees: over partitions the triggers and the worker forget, whatever runs at once."""

import threading
import time
from dataclasses import replace

import psycopg
import pytest
from photostore import X, Y, embed, embedded, enqueued, lease_job, make_collection, make_photos

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import trigger_functions
from imgvec_pg.store.integrity.partitions import forget_gone_page
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.renewal import has_outdated_triggers
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.setup.grants import grant_rights

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
FOREIGN_KEYS = "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conname = 'photo_test_embedding_source_fkey'"


def make_partitioned(connection: Connection) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text) PARTITION BY RANGE (id)")
    connection.execute("CREATE TABLE shop.photo_1 PARTITION OF shop.photo FOR VALUES FROM (0) TO (100)")
    connection.execute("CREATE TABLE shop.photo_2 PARTITION OF shop.photo FOR VALUES FROM (100) TO (200)")
    connection.execute("INSERT INTO shop.photo VALUES (1, 'a.jpg'), (2, 'b.jpg'), (101, 'c.jpg')")
    return make_collection(connection)


def lease_next(connection: Connection, collection: Collection) -> None:
    """Work the oldest job off as a worker that finds no row of its keys."""
    row = connection.execute("DELETE FROM imgvec.job RETURNING keys, version").fetchone()
    assert row is not None
    job = lease_job(connection, collection, [key["id"] for key in row[0]], row[1])
    assert job.write().finished == len(row[0])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "change", ["DELETE FROM shop.photo WHERE id = 2", "UPDATE shop.photo SET id = 3 WHERE id = 2"]
)
def test_a_vector_written_while_its_row_is_deleted_goes_with_the_next_job(
    connection: Connection, database: str, level: str, change: str
) -> None:
    collection = make_partitioned(connection)
    job = lease_job(connection, collection, [2])
    with connect(database) as application:
        with application.transaction():
            application.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")  # type: ignore[arg-type]
            application.execute(change)  # type: ignore[arg-type]
            job.write((2, X))
        assert embedded(connection, collection) == [2]
    connection.execute("DELETE FROM imgvec.job WHERE keys @> '[{\"id\": 3}]'")
    assert enqueued(connection) == [2]
    lease_next(connection, collection)
    assert embedded(connection, collection) == []


def test_a_row_that_came_back_keeps_its_vector(connection: Connection) -> None:
    collection = make_partitioned(connection)
    embed(connection, collection, {1: X, 2: Y})
    connection.execute("DELETE FROM shop.photo WHERE id = 2")
    connection.execute("INSERT INTO shop.photo VALUES (2, 'again.jpg')")
    embed(connection, collection, {2: Y})
    connection.execute("DELETE FROM imgvec.job WHERE id = (SELECT max(id) FROM imgvec.job)")
    lease_next(connection, collection)
    assert embedded(connection, collection) == [1, 2]


def test_rows_attached_again_while_their_embeddings_are_forgotten_are_embedded_anew(
    connection: Connection, database: str
) -> None:
    collection = make_partitioned(connection)
    embed(connection, collection, {1: X, 101: Y})
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("ALTER TABLE shop.photo DETACH PARTITION shop.photo_2")
    with connect(database) as worker, connect(database) as reconciling:
        thread = threading.Thread(target=reconcile, args=(reconciling, collection))
        with worker.transaction():
            assert forget_gone_page(worker, collection, None).deleted == 1
            connection.execute(
                "ALTER TABLE shop.photo ATTACH PARTITION shop.photo_2 FOR VALUES FROM (100) TO (200)"
            )
            thread.start()
            blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            while thread.is_alive() and connection.execute(
                blocked, [reconciling.info.backend_pid]
            ).fetchone() != (True,):
                time.sleep(0.01)
        thread.join()
    assert embedded(connection, collection) == [1]
    assert sorted(enqueued(connection)) == [2, 101]


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
def test_a_truncated_partition_not_yet_committed_beside_one_attached_and_a_reconcile(
    connection: Connection, database: str, ends: str
) -> None:
    collection = make_partitioned(connection)
    embed(connection, collection, {1: X, 2: Y, 101: Y})
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("CREATE TABLE shop.photo_3 (id bigint PRIMARY KEY, file text)")
    connection.execute("INSERT INTO shop.photo_3 VALUES (201, 'd.jpg')")
    failed: list[psycopg.Error] = []

    def reconcile_once(reconciling: Connection) -> None:
        try:
            reconcile(reconciling, collection)
        except psycopg.errors.LockNotAvailable as error:  # it steps back from the application, as it says
            failed.append(error)

    with connect(database) as application, connect(database) as reconciling:
        application.execute("BEGIN")
        application.execute("TRUNCATE shop.photo_1")
        connection.execute(
            "ALTER TABLE shop.photo ATTACH PARTITION shop.photo_3 FOR VALUES FROM (200) TO (300)"
        )
        thread = threading.Thread(target=reconcile_once, args=(reconciling,))
        thread.start()
        blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        while thread.is_alive() and connection.execute(
            blocked, [reconciling.info.backend_pid]
        ).fetchone() != (True,):
            time.sleep(0.01)
        application.execute(ends)
        thread.join()
    if failed:
        reconcile(connection, collection)
    assert embedded(connection, collection) == ([101] if ends == "COMMIT" else [1, 2, 101])
    assert 201 in enqueued(connection)
    assert verify_collection(connection, collection).differences.keys() <= {"missing"}
    # The triggers came with the reconcile: what happens to the new partition is seen.
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("UPDATE shop.photo SET file = 'e.jpg' WHERE id = 201")
    assert enqueued(connection) == [201]


def test_a_foreign_key_that_was_dropped_is_put_back(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=3)
    embed(scratch, collection, {1: X, 2: Y})
    scratch.execute("ALTER TABLE shop.photo DROP CONSTRAINT photo_pkey CASCADE")
    scratch.execute("ALTER TABLE shop.photo ADD PRIMARY KEY (id)")
    scratch.execute("DELETE FROM shop.photo WHERE id = 1")
    assert embedded(scratch, collection) == [1, 2]
    assert "without_foreign_key" in verify_collection(scratch, collection).differences
    assert reconcile(scratch, collection).orphans_deleted == 1
    assert scratch.execute(FOREIGN_KEYS).fetchall() == [(True,)]
    assert verify_collection(scratch, collection).differences.keys() <= {"missing"}
    scratch.execute("DELETE FROM shop.photo WHERE id = 2")
    assert embedded(scratch, collection) == []


@pytest.mark.parametrize("heal", ["migrate", "reconcile"])
def test_what_an_earlier_release_made_over_partitions_loses_its_foreign_key(
    scratch: Connection, heal: str
) -> None:
    collection = make_partitioned(scratch)
    earlier = replace(collection, is_partitioned=False)
    scratch.execute(trigger_functions(earlier, "public"))
    scratch.execute(
        render("collection/foreign_key.sql", **earlier.parts("public"), validity=psycopg.sql.SQL(""))
    )
    assert has_outdated_triggers(scratch, collection)
    if heal == "migrate":
        grant_rights(scratch)
    else:
        reconcile(scratch, collection)
    assert not has_outdated_triggers(scratch, collection)
    embed(scratch, collection, {1: X, 101: Y})
    scratch.execute("SET search_path TO DEFAULT")
    scratch.execute("ALTER TABLE shop.photo DETACH PARTITION shop.photo_2")
    scratch.execute("DELETE FROM shop.photo")
    assert embedded(scratch, collection) == [101]
    assert scratch.execute(FOREIGN_KEYS).fetchall() == []
