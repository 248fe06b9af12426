"""Two writers of the same rows in opposite orders, and an application that updates and deletes against both."""

import threading
import time
import uuid
from contextlib import suppress

import psycopg
from imgvec_test_embedder import ColorGrid
from PIL import Image
from psycopg.types.json import Jsonb
from workers import NAME

from imgvec_pg.backfill.batch.writer import write_outcomes
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.database.connect import connect, vector_schema
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome
from imgvec_pg.store.queue.jobs import Claim, Job
from imgvec_pg.store.registry import get_collection

KEYS = 64


def write_in_opposite_orders(dsn: str, seconds: float) -> tuple[int, int]:
    """Write for so long; return the writes done and the deadlocks that the server saw meanwhile, whoever lost."""
    stop = threading.Event()
    done: list[int] = []
    (vector,) = ColorGrid().embed_images([Image.new("RGB", (2, 2), "red")])

    def write(backwards: bool) -> None:
        with connect_worker(dsn, "test") as connection:
            collection = get_collection(connection, NAME)
            store = EmbeddingStore(connection, collection, vector_schema(connection))
            numbers = sorted(range(1, KEYS + 1), reverse=backwards)
            while not stop.is_set():
                token, keys = uuid.uuid4(), [{"id": number} for number in numbers]
                row = connection.execute(
                    "INSERT INTO imgvec.job (collection_id, version, keys, attempts, token, lease_until) VALUES"
                    " (%s, nextval('imgvec.version_seq'), %s, 1, %s, now() + interval '1 minute') RETURNING id, version",
                    [collection.id, Jsonb(keys), token],
                ).fetchone()
                assert row is not None
                embedded = [EmbeddedKey(key, row[1], vector, b"hash") for key in keys]
                claim = Claim(token, (Job(row[0], row[1], keys, 1, 0),))
                write_outcomes(store, claim, [Outcome(row[0], embedded=embedded)], "fp32")
                done.append(1)

    def change() -> None:
        with connect(dsn) as application:
            while not stop.is_set():
                with suppress(psycopg.errors.DeadlockDetected), application.transaction():
                    for number in (KEYS, KEYS // 2, 1):
                        application.execute("UPDATE photo SET price = price + 1 WHERE id = %s", [number])
                        application.execute("DELETE FROM photo WHERE id = %s AND id %% 2 = 0", [number])
                    raise psycopg.Rollback
                time.sleep(0.02)

    threads = [threading.Thread(target=write, args=(backwards,)) for backwards in (False, True)]
    threads.append(threading.Thread(target=change))
    with connect(dsn) as connection:
        before = deadlocks(connection)
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
        time.sleep(1.2)  # a session tells its figures once a second
        return len(done), deadlocks(connection) - before


def deadlocks(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    """Return how many the server has ended in this database."""
    row = connection.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(str(row[0]))
