"""Held back, stopped, or beside others: what a worker and a refill leave to the application."""

import uuid

import numpy as np
import psycopg
import pytest
from photostore import X, Y, make_collection, make_photos

from imgvec_pg.backfill.batch.writer import WriteSize, write_finished
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome
from imgvec_pg.store.index import refill
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.index.refill import plan_refill
from imgvec_pg.store.queue.jobs import claim_batches


def test_keys_that_are_one_by_their_type_are_written_once(connection: Connection) -> None:
    if connection.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'").rowcount == 0:
        pytest.skip("this server does not offer citext")
    connection.execute(
        "CREATE EXTENSION citext; CREATE SCHEMA shop; CREATE TABLE shop.photo (id citext PRIMARY KEY, file text)"
    )
    connection.execute("INSERT INTO shop.photo VALUES ('a', 'a.jpg')")
    photos = make_collection(connection)
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("UPDATE shop.photo SET file = 'b.jpg'")
    connection.execute("UPDATE shop.photo SET id = 'A'")
    (claim,) = claim_batches(connection, photos.id, [uuid.uuid4()], 64, lease_seconds=60)
    outcomes = [
        Outcome(job.id, embedded=[EmbeddedKey(key, job.version, np.float32(v), b"\1" * 32)])
        for job, v in zip(claim.jobs, (X, Y), strict=True)
        for key in job.keys
    ]
    write_finished(EmbeddingStore(connection, photos, "public"), [(claim, outcomes)], "fp32", WriteSize(3))
    assert connection.execute(
        "SELECT id::text, embedding::text FROM imgvec.photo_test_embedding"
    ).fetchall() == [("A", "[0,1,0]")]
    assert connection.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)


@pytest.mark.parametrize("partitions", [None, 2])
def test_an_index_whose_table_is_in_use_stays_valid(
    connection: Connection, database: str, partitions: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(connection, 3, **({} if partitions is None else {"partitions": partitions}))
    build_index(connection, photos, lambda *_: None)
    monkeypatch.setattr(refill, "DROP_SECONDS", 1)
    with psycopg.connect(database) as dump:
        dump.execute("SELECT count(*) FROM imgvec.photo_test_embedding")
        assert not refill.drop_for_refill(connection, photos)
        assert has_valid_index(connection, photos)
    assert refill.drop_for_refill(connection, photos)


def test_an_index_stays_where_the_model_is_what_is_waited_for(connection: Connection) -> None:
    photos = make_photos(connection)
    build_index(connection, photos, lambda *_: None)
    connection.execute(
        "UPDATE pg_class SET reltuples = 200000 WHERE oid = 'imgvec.photo_test_embedding'::regclass"
    )
    connection.execute("UPDATE imgvec.model SET images_per_second = 1000")
    assert plan_refill(connection, photos, 120_000).after
    connection.execute("UPDATE imgvec.model SET images_per_second = 20")
    stays = plan_refill(connection, photos, 120_000)
    assert not stays.after and stays.line is not None and "1:40:00" in stays.line


def test_a_worker_that_is_held_back_writes_as_few_rows_as_it_claims() -> None:
    size = WriteSize(3)
    assert size.keys == 64
    size.bound = lambda: 8
    assert size.keys == 8
