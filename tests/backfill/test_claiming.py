"""Which jobs a worker takes, in which order."""

from itertools import islice

import psycopg
import pytest
from photostore import make_photos
from worker_context import context_of

from imgvec_pg.backfill.claiming import AHEAD_SECONDS, QUARANTINED_IN_A_ROW, JobClaimer
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.leases import QueueCursor
from imgvec_pg.database.connect import Connection
from imgvec_pg.store import transactions
from imgvec_pg.store.collection import Collection


def claims_of(
    connection: Connection, collection: Collection, cursor: QueueCursor | None = None
) -> JobClaimer:
    return JobClaimer(context_of(collection, PipelineOptions(batch_size=3), cursor), connection)


def test_quarantined_jobs_are_taken_alone_and_other_work_gets_its_turn(connection: Connection) -> None:
    collection = make_photos(connection)
    connection.execute(
        "INSERT INTO imgvec.job (collection_id, version, keys, deaths)"
        " SELECT %s, nextval('imgvec.version_seq'), jsonb_build_array(jsonb_build_object('id', i)),"
        " (i <= 10)::integer FROM generate_series(1, 16) AS i",
        [collection.id],
    )
    taken = [
        (claim.is_quarantined, claim.key_count()) for claim in islice(claims_of(connection, collection), 12)
    ]
    alone = [(True, 1)] * QUARANTINED_IN_A_ROW
    assert taken == [*alone, (False, 3), *alone, (False, 3), *alone[:2]]


FILE = (
    "INSERT INTO imgvec.job (collection_id, version, keys)"
    """ SELECT %s, 1, '[{"id": 1}]' FROM generate_series(1, %s)"""
)


def test_a_queue_that_takes_too_long_to_look_through_is_worked_on_from_where_a_session_had_come_to(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_photos(connection)
    connection.execute(FILE, [collection.id, 1])
    place = QueueCursor()
    with (
        connect_worker(database, "read") as before,
        connect_worker(database, "read") as reading,
        psycopg.connect(database) as old,
    ):
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM imgvec.job")
        connection.execute(FILE, [collection.id, 800_000])
        connection.execute("DELETE FROM imgvec.job WHERE id < (SELECT max(id) FROM imgvec.job)")
        assert next(iter(claims_of(before, collection, place))).key_count() == 1
        connection.execute(FILE, [collection.id, 1])
        place._looking_back._next_at = 0.0  # due again
        monkeypatch.setattr(transactions, "STATEMENT_MS", 30)
        with pytest.raises(psycopg.errors.QueryCanceled):
            next(iter(claims_of(reading, collection)))
        assert next(iter(claims_of(reading, collection, place))).key_count() == 1


def test_a_fast_worker_claims_several_batches_with_one_statement_each_under_a_token_of_its_own(
    connection: Connection,
) -> None:
    collection = make_photos(connection)
    connection.execute(FILE, [collection.id, 40])
    claimer = claims_of(connection, collection)
    steady = claimer.context.stats.steady
    steady.images, steady.seconds = (
        1000,
        1000 * AHEAD_SECONDS / 12,
    )  # four batches of three keys in the time for one claim
    claims = iter(claimer)
    first = next(claims)
    held = connection.execute(
        "SELECT count(*), count(DISTINCT token) FROM imgvec.job WHERE token IS NOT NULL"
    )
    assert held.fetchone() == (12, 4)
    taken = [first, *islice(claims, 3)]
    assert [claim.key_count() for claim in taken] == [3] * 4
    assert {claim.token for claim in taken} == set(claimer.leases.held())
    ids = [job.id for claim in taken for job in claim.jobs]
    assert ids == sorted(ids)
    # At the end of the queue: the rest, and no lease on nothing.
    rest = [next(claims) for _ in range(10)]
    assert sum(claim.key_count() for claim in rest) == 28
    assert len(claimer.leases.held()) == 14


def test_a_limit_is_claimed_a_batch_at_a_time(connection: Connection) -> None:
    collection = make_photos(connection)
    connection.execute(FILE, [collection.id, 40])
    claimer = JobClaimer(context_of(collection, PipelineOptions(batch_size=3, limit=7), None), connection)
    claimer.context.stats.steady.images, claimer.context.stats.steady.seconds = 10**6, 1.0
    assert [claim.key_count() for claim in claimer] == [3, 3, 1]
