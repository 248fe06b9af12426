"""Which jobs a worker takes, in which order."""

from itertools import islice

import psycopg
import pytest
from photostore import make_photos
from worker_context import context_of

from imgvec_pg.backfill.claiming import QUARANTINED_IN_A_ROW, JobClaimer
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
