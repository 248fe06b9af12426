"""EmbeddingStore.write: one effective write, whatever else writes meanwhile."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
from photostore import (
    X,
    Y,
    as_role,
    embed,
    embedded,
    enqueued,
    fail,
    failed,
    lease_job,
    make_photos,
    new_role,
    take_enqueued,
)

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import RETRIED_ERRORS, EmbeddedKey, Outcome
from imgvec_pg.store.queue.jobs import DelayedKey
from imgvec_pg.store.transactions import LOCK_TIMEOUT_MS

OLDER, VERSION, NEWER = 4, 5, 6


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    return make_photos(scratch, rows=3)


def stored(connection: Connection) -> list[tuple[int, int, str]]:
    return connection.execute(
        "SELECT id, version, embedding::text FROM imgvec.photo_test_embedding ORDER BY id"
    ).fetchall()


@pytest.mark.parametrize(
    ("there", "expected"),
    [(OLDER, (VERSION, "[0,1,0]")), (NEWER, (NEWER, "[1,0,0]")), (VERSION, (VERSION, "[1,0,0]"))],
)
def test_write_covers_older_embeddings_and_no_other(
    scratch: Connection, photos: Collection, there: int, expected: tuple[int, str]
) -> None:
    embed(scratch, photos, {1: X}, version=there)
    written = lease_job(scratch, photos, [1], VERSION).write((1, Y))
    assert stored(scratch) == [(1, *expected)]
    assert written.embedded == (1 if there < VERSION else 0)


def test_write_keeps_the_newest_of_two_results_for_one_key(scratch: Connection, photos: Collection) -> None:
    first, second = (lease_job(scratch, photos, [1], version) for version in (NEWER, OLDER))
    scratch.execute("UPDATE imgvec.job SET token = %s WHERE id = %s", [first.token, second.id])
    outcomes = [
        Outcome(job.id, embedded=[EmbeddedKey({"id": 1}, job.version, np.float32(vector), b"")])
        for job, vector in ((first, X), (second, Y))
    ]
    assert first.store.write(first.token, outcomes, "fp32").embedded == 1
    assert stored(scratch) == [(1, NEWER, "[1,0,0]")]


def test_write_drops_the_results_of_a_lost_lease(scratch: Connection, photos: Collection) -> None:
    job = lease_job(scratch, photos, [1, 2])
    scratch.execute("UPDATE imgvec.job SET token = gen_random_uuid()")
    written = job.write((1, X), delayed=[DelayedKey({"id": 2}, 1, 1, 0)])
    assert (written.embedded, written.finished, written.lost_jobs) == (0, 0, 1)
    assert embedded(scratch, photos) == []
    assert enqueued(scratch) == [1, 2]


def test_write_takes_its_job_off_the_queue_whatever_became_of_the_keys(
    scratch: Connection, photos: Collection
) -> None:
    assert lease_job(scratch, photos, [1, 99]).write((1, X)).lost_jobs == 0
    assert enqueued(scratch) == []


@pytest.mark.parametrize(("there", "wins"), [(OLDER, True), (VERSION, True), (NEWER, False)])
def test_an_embedding_clears_a_failure_that_is_not_newer(
    scratch: Connection, photos: Collection, there: int, wins: bool
) -> None:
    fail(scratch, photos, {"id": 1}, version=there)
    lease_job(scratch, photos, [1], VERSION).write((1, X))
    assert (embedded(scratch, photos), failed(scratch)) == (([1], []) if wins else ([], [{"id": 1}]))


@pytest.mark.parametrize(("there", "wins"), [(OLDER, True), (VERSION, False), (NEWER, False)])
def test_a_failure_takes_away_an_older_embedding_and_yields_to_others(
    scratch: Connection, photos: Collection, there: int, wins: bool
) -> None:
    embed(scratch, photos, {1: X}, version=there)
    written = lease_job(scratch, photos, [1], VERSION).write_failure(1)
    assert (embedded(scratch, photos), failed(scratch)) == (([], [{"id": 1}]) if wins else ([1], []))
    assert written.failed == wins


@pytest.mark.parametrize(("there", "expected"), [(OLDER, VERSION), (VERSION, VERSION), (NEWER, NEWER)])
def test_a_failure_is_not_covered_by_an_older_one(
    scratch: Connection, photos: Collection, there: int, expected: int
) -> None:
    fail(scratch, photos, {"id": 1}, version=there)
    lease_job(scratch, photos, [1], VERSION).write_failure(1)
    assert scratch.execute("SELECT version FROM imgvec.failure").fetchall() == [(expected,)]


def test_delaying_enqueues_each_key_alone_with_its_version_and_a_delay(
    scratch: Connection, photos: Collection
) -> None:
    job = lease_job(scratch, photos, [1, 2], VERSION)
    job.write(delayed=[DelayedKey({"id": key}, VERSION, 2, 60.0) for key in (1, 2)])
    jobs = scratch.execute(
        "SELECT version, keys, attempts, extract(epoch FROM run_after - now())::integer, token FROM imgvec.job"
        " ORDER BY id"
    ).fetchall()
    assert jobs == [(VERSION, [{"id": key}], 2, 60, None) for key in (1, 2)]


@pytest.mark.parametrize(
    "change", ["DELETE FROM shop.photo WHERE id = 1", "UPDATE shop.photo SET file = NULL"]
)
def test_write_keeps_out_the_vector_of_a_row_without_an_image(
    scratch: Connection, photos: Collection, change: str
) -> None:
    job = lease_job(scratch, photos, [1], VERSION)
    scratch.execute(change)  # type: ignore[arg-type]
    assert job.write((1, X)).embedded == 0
    assert embedded(scratch, photos) == []


def test_write_records_no_failure_of_a_row_that_is_gone(scratch: Connection, photos: Collection) -> None:
    assert lease_job(scratch, photos, [99]).write_failure(99).failed == 0
    assert failed(scratch) == []


def test_a_failures_message_is_stored_without_what_text_cannot_hold(
    scratch: Connection, photos: Collection
) -> None:
    lease_job(scratch, photos, [1]).write_failure(1, message="cut \0 \udc80 short " + 2000 * "x")
    row = scratch.execute("SELECT message FROM imgvec.failure").fetchone()
    assert row is not None and row[0].startswith("cut \\0 ? short") and len(row[0]) <= 1001


def test_row_security_refuses_a_worker_rather_than_let_hidden_rows_look_deleted(
    scratch: Connection, photos: Collection
) -> None:
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    embed(scratch, photos, {2: Y})
    with (
        new_role(scratch, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as role,
        as_role(scratch, role),
    ):
        job = lease_job(scratch, photos, [1])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            job.store.read_images([{"id": 1}])
        for write in (lambda: job.write((1, X)), lambda: job.write_failure(1)):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                write()
    assert enqueued(scratch) == [1]
    assert embedded(scratch, photos) == [2]


@pytest.fixture
def shared(connection: Connection) -> Collection:
    """A collection that other sessions see."""
    return make_photos(connection, rows=3)


@pytest.fixture
def application(database: str) -> Iterator[Connection]:
    with connect(database) as opened:
        yield opened


@pytest.mark.parametrize(
    "held",
    [
        "SELECT FROM shop.photo WHERE id = 1 FOR UPDATE",
        "DELETE FROM shop.photo WHERE id = 1",
        "UPDATE shop.photo SET id = 9 WHERE id = 1",
        "LOCK TABLE shop.photo",
    ],
)
def test_write_steps_back_from_an_application_within_a_second(
    connection: Connection, shared: Collection, application: Connection, held: str
) -> None:
    job = lease_job(connection, shared, [1, 2])
    with application.transaction(force_rollback=True):
        application.execute(held)  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            job.write((1, X), (2, Y))
    assert LOCK_TIMEOUT_MS < 1000
    assert enqueued(connection) == [1, 2]
    assert job.write((1, X), (2, Y)).embedded == 2


@pytest.mark.parametrize(
    "held",
    [
        "UPDATE shop.photo SET price = 0",
        "UPDATE shop.photo SET file = 'new.jpg' WHERE id = 1",
        "SELECT FROM shop.photo FOR NO KEY UPDATE",
        "INSERT INTO shop.photo VALUES (4, '4.jpg')",
    ],
)
def test_write_does_not_wait_for_other_changes_of_the_row(
    connection: Connection, shared: Collection, application: Connection, held: str
) -> None:
    job = lease_job(connection, shared, [1])
    with application.transaction():
        application.execute(held)  # type: ignore[arg-type]
        assert job.write((1, X)).embedded == 1


def test_a_row_deleted_while_its_vector_is_written_is_refused_by_the_foreign_key(
    connection: Connection, shared: Collection, application: Connection
) -> None:
    job = lease_job(connection, shared, [1])
    outcome = Outcome(job.id, embedded=[EmbeddedKey({"id": 1}, 1, np.float32(X), b"")])
    with ThreadPoolExecutor() as pool, application.transaction():
        application.execute("DELETE FROM shop.photo WHERE id = 1")
        writing = pool.submit(job.store.write, job.token, [outcome], "fp32", lock_timeout_ms=20_000)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not writing.done() and application.execute(waiting).fetchone() == (0,):
            time.sleep(0.01)
        application.execute("COMMIT; BEGIN")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            writing.result()
    assert psycopg.errors.ForeignKeyViolation in RETRIED_ERRORS
    assert job.write((1, X)).embedded == 0
    assert (enqueued(connection), embedded(connection, shared)) == ([], [])


def test_an_application_waits_for_no_lease(
    connection: Connection, shared: Collection, application: Connection
) -> None:
    lease_job(connection, shared, [1, 2, 3])
    application.execute("SET lock_timeout = '100ms'")
    with connection.transaction():
        connection.execute("SELECT FROM imgvec.job FOR UPDATE")
        application.execute("UPDATE shop.photo SET file = 'new.jpg'")
        application.execute("DELETE FROM shop.photo WHERE id = 1")
        application.execute("INSERT INTO shop.photo VALUES (4, '4.jpg')")
    assert enqueued(connection) == [1, 1, 2, 2, 3, 3, 4]


def test_two_stores_write_one_key_in_the_order_of_its_changes(
    connection: Connection, shared: Collection, application: Connection
) -> None:
    take_enqueued(connection)
    application.execute("UPDATE shop.photo SET file = 'a.jpg' WHERE id = 1")
    with application.transaction():
        application.execute("UPDATE shop.photo SET file = 'b.jpg' WHERE id = 1")
    versions = [row[0] for row in connection.execute("SELECT version FROM imgvec.job ORDER BY id")]
    assert versions == sorted(set(versions)) and len(versions) == 2
    later, earlier = (lease_job(connection, shared, [1], version) for version in reversed(versions))
    assert later.write((1, Y)).embedded == 1
    assert earlier.write((1, X)).embedded == 0
    assert stored(connection) == [(1, versions[1], "[0,1,0]")]


@pytest.mark.parametrize("schema", ["Ext Schema", "public"])
def test_a_store_finds_the_vector_types_in_any_schema(connection: Connection, schema: str) -> None:
    if schema != "public":
        connection.execute(f'CREATE SCHEMA "{schema}"')
        connection.execute(f'ALTER EXTENSION vector SET SCHEMA "{schema}"')
    collection = make_photos(connection, rows=1)
    assert lease_job(connection, collection, [1]).write((1, X)).embedded == 1
    found = connection.execute("SELECT id FROM imgvec.search_photo_test('[1,0,0]')").fetchall()
    assert found == [(1,)]
