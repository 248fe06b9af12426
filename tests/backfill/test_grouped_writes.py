"""Batches that wait are written in one transaction: each job under its own lease, each row as if it were written alone."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import mutants
import numpy as np
import pytest
from pgvector import HalfVector
from photostore import X, Y, embedded, lease_job, make_photos
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.backfill.batch.writer import Finished, WriteSize, together, write_finished
from imgvec_pg.database.binary_arrays import (
    bigint_array,
    bytea_array,
    halfvec_array,
)
from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.store.collection import KEYS_PER_JOB, Collection
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome
from imgvec_pg.store.queue.jobs import Claim, Job
from imgvec_pg.store.transactions import read_like_triggers

ROWS = 4


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    return make_photos(scratch, rows=ROWS)


def leased(
    connection: Connection, collection: Collection, keys: Sequence[int]
) -> tuple[EmbeddingStore, Finished]:
    """File a job and return it as claimed and embedded."""
    job = lease_job(connection, collection, keys, 1)
    rows = [EmbeddedKey({"id": key}, 1, np.float32(X), b"\1" * 32, b"\2" * 32) for key in keys]
    claim = Claim(job.token, (Job(job.id, 1, [{"id": key} for key in keys], 1, 0),))
    return job.store, (claim, [Outcome(job.id, embedded=rows)])


def transactions(connection: Connection) -> int:
    row = connection.execute("SELECT count(DISTINCT xmin::text) FROM imgvec.photo_test_embedding").fetchone()
    assert row is not None
    return int(row[0])


def test_claims_that_wait_are_written_in_one_transaction(scratch: Connection, photos: Collection) -> None:
    store, first = leased(scratch, photos, [1, 2])
    _, second = leased(scratch, photos, [3])
    size = WriteSize(photos.dimensions)
    written = write_finished(store, [first, second], "fp32", size)
    assert (written.embedded, written.finished, written.lost_jobs) == (3, 3, 0)
    assert (embedded(scratch, photos), transactions(scratch)) == ([1, 2, 3], 1)
    assert scratch.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)


def write_beside_a_lost_lease(scratch: Connection, photos: Collection) -> None:
    """Two claims; the job of one has meanwhile been leased again, under the very token of the other."""
    store, first = leased(scratch, photos, [1])
    _, second = leased(scratch, photos, [2])
    scratch.execute("UPDATE imgvec.job SET token = %s WHERE id = %s", [first[0].token, second[0].jobs[0].id])
    written = write_finished(store, [first, second], "fp32", WriteSize(photos.dimensions))
    assert (written.embedded, written.lost_jobs) == (1, 1)
    assert embedded(scratch, photos) == [1]
    assert scratch.execute("SELECT count(*) FROM imgvec.job").fetchone() == (1,)


def test_a_job_counts_under_its_own_token_alone(scratch: Connection, photos: Collection) -> None:
    write_beside_a_lost_lease(scratch, photos)


def test_without_the_lease_check_that_would_be_seen(
    scratch: Connection, photos: Collection, tmp_path: Path
) -> None:
    with mutants.without_guard(mutants.NO_LEASE_CHECK, tmp_path), pytest.raises(AssertionError):
        write_beside_a_lost_lease(scratch, photos)


def test_a_row_that_the_application_holds_delays_itself_alone(connection: Connection) -> None:
    with connection.transaction():
        photos = make_photos(connection, rows=ROWS)
    store, first = leased(connection, photos, [1, 2])
    _, second = leased(connection, photos, [3, 4])
    size = WriteSize(photos.dimensions)
    size.took(1000, 0.001)
    assert size.keys > KEYS_PER_JOB
    with connect(connection.info.dsn) as application, application.transaction():
        application.execute("SELECT FROM shop.photo WHERE id = 3 FOR UPDATE")
        written = write_finished(store, [first, second], "fp32", size)
    assert (written.embedded, written.delayed, written.lost_jobs) == (3, 1, 0)
    assert (embedded(connection, photos), size.keys) == ([1, 2, 4], KEYS_PER_JOB)


def test_the_newest_result_of_a_group_counts(scratch: Connection, photos: Collection) -> None:
    store, older = leased(scratch, photos, [1])
    newer = lease_job(scratch, photos, [1], 7)
    row = EmbeddedKey({"id": 1}, 7, np.float32(Y), b"\1" * 32)
    claim = Claim(newer.token, (Job(newer.id, 7, [{"id": 1}], 1, 0),))
    finished: list[Finished] = [(claim, [Outcome(newer.id, embedded=[row])]), older]
    write_finished(store, finished, "fp32", WriteSize(photos.dimensions))
    stored = scratch.execute("SELECT version, embedding::text FROM imgvec.photo_test_embedding").fetchall()
    assert stored == [(7, "[0,1,0]")]


def finished_keys(*sizes: int) -> list[Finished]:
    rows = [EmbeddedKey({"id": 0}, 0, np.float32(X), b"")] * max(sizes)
    return [(Claim(uuid.uuid4(), ()), [Outcome(0, embedded=rows[:size])]) for size in sizes]


def test_transactions_take_as_many_keys_as_they_may_and_a_job_stays_whole() -> None:
    parts = list(together(finished_keys(64, 64, 64, 300, 1), 128))
    assert [[len(outcomes[0].embedded) for _, outcomes in part] for part in parts] == [
        [64, 64],
        [64],
        [300],
        [1],
    ]


def test_a_transaction_is_as_large_as_its_time_allows() -> None:
    size = WriteSize(512)
    assert size.keys == KEYS_PER_JOB
    for _ in range(9):
        size.took(size.keys, 20e-6 * size.keys)
    assert size.keys == 1024
    # A live HNSW index: 1 ms a row.
    size.took(1024, 1.024)
    assert size.keys == 100
    size.took(64, 60.0)
    assert size.keys == KEYS_PER_JOB
    wide = WriteSize(4000)
    for _ in range(9):
        wide.took(wide.keys, 0.001)
    assert wide.keys == (2 << 20) // 8000


def test_arrays_arrive_as_they_were(scratch: Connection, photos: Collection) -> None:
    EmbeddingStore(scratch, photos, vector_schema(scratch))  # which makes the connection know the types
    for values in ([b"a" * 32, b"b" * 32], [b"", None, b"\0x"], [None], [b""]):
        assert scratch.execute("SELECT %b::bytea[]", [bytea_array(values)]).fetchone() == (values,)
    numbers = [0, -1, 2**63 - 1, -(2**63)]
    assert scratch.execute("SELECT %b::bigint[]", [bigint_array(numbers)]).fetchone() == (numbers,)
    drawn = np.random.default_rng(5).normal(size=(50, 37)).astype(np.float32)
    given, theirs = halfvec_array(scratch, list(drawn)), [HalfVector(row) for row in drawn]
    assert scratch.execute("SELECT %b::halfvec[] = %b::halfvec[]", [given, theirs]).fetchone() == (True,)


def plan_of_reading(connection: Connection, collection: Collection, *, by_key: bool) -> str:
    """Return how a worker's statement reads the rows of a batch."""
    parts = bindable(collection.parts(vector_schema(connection)))
    read = sql.SQL("EXPLAIN ") + render("collection/read_images.sql", **parts)
    # Rolled back: within the test's own transaction the settings would stay.
    with connection.transaction(force_rollback=True):
        read_like_triggers(connection, collection, by_key=by_key)
        keys = Jsonb([{"id": key} for key in range(1, KEYS_PER_JOB + 1)])
        return "\n".join(line for (line,) in connection.execute(read, {"keys": keys}))


def test_a_batch_is_looked_up_in_the_index_of_its_source(scratch: Connection, photos: Collection) -> None:
    scratch.execute("INSERT INTO shop.photo (id) SELECT generate_series(100, 3000); ANALYZE shop.photo")
    assert "Seq Scan" in plan_of_reading(scratch, photos, by_key=False)
    assert "Seq Scan" not in plan_of_reading(scratch, photos, by_key=True)


def test_a_key_without_an_index_is_joined(scratch: Connection, photos: Collection) -> None:
    scratch.execute("INSERT INTO shop.photo (id) SELECT generate_series(100, 3000); ANALYZE shop.photo")
    scratch.execute("ALTER TABLE shop.photo DROP CONSTRAINT photo_pkey CASCADE")
    assert "Hash Join" in plan_of_reading(scratch, photos, by_key=True)


def read_of(connection: Connection, table: str) -> int:
    """Return how many rows of a table this transaction has read so far, by whatever scan."""
    row = connection.execute(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relid = %s::regclass",
        [table],
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_batch_is_looked_up_among_notes_that_were_not_analyzed_yet(
    scratch: Connection, photos: Collection
) -> None:
    scratch.execute(
        "INSERT INTO shop.photo (id, file) SELECT i, i || '.jpg' FROM generate_series(100, 5100) AS i;"
        "DELETE FROM imgvec.job; ALTER TABLE imgvec.failure SET (autovacuum_enabled = off)"
    )
    scratch.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
        " SELECT %s, jsonb_build_object('id', i), 1, 'noted', 'a profile', 0 FROM generate_series(200, 5100) AS i",
        [photos.id],
    )
    keys = list(range(100, 100 + KEYS_PER_JOB))
    store, finished = leased(scratch, photos, keys)
    before = read_of(scratch, "imgvec.failure")
    assert write_finished(store, [finished], "fp32", WriteSize(photos.dimensions)).embedded == len(keys)
    assert read_of(scratch, "imgvec.failure") - before < 1000
