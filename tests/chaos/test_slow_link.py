"""A worker far from its database: pictures in the table that come slowly, and what is not the pictures' doing."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from imgvec_test_embedder import ColorGrid
from photostore import make_collection
from PIL import Image
from proxy import Proxy
from psycopg.conninfo import make_conninfo

from imgvec_pg.backfill import connections
from imgvec_pg.backfill.batch import retry
from imgvec_pg.backfill.batch.reading import ImageReader
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.store import transactions
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.registry import get_collection

LIMIT_SECONDS = 1.5
BYTES_PER_SECOND = 1_000_000


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a statement's limit for 1.5 s instead of 10, and the link for as much slower."""
    monkeypatch.setattr(transactions, "STATEMENT_MS", int(LIMIT_SECONDS * 1000))
    monkeypatch.setattr(connections, "STATEMENT_MS", int(LIMIT_SECONDS * 1000))
    monkeypatch.setattr(retry, "FIRST_DELAY_SECONDS", 0.05)


def picture(size: int) -> bytes:
    """Return a picture of this many bytes; what follows the end of a PNG is not read."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue().ljust(size, b"\0")


def fill(connection: Connection, sizes: list[int]) -> Collection:
    connection.execute("CREATE SCHEMA IF NOT EXISTS shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, content bytea)")
    collection = make_collection(connection, image=["content"], model="color-grid", dimensions=12, root=None)
    for key, size in enumerate(sizes, 1):
        connection.execute("INSERT INTO shop.photo VALUES (%s, %s)", [key, picture(size)])
    return collection


@pytest.fixture
def far(connection: Connection, database: str) -> Iterator[str]:
    """Connection string of the database behind a slow link."""
    info = connection.info
    target = f"{info.host}/.s.PGSQL.{info.port}" if info.host.startswith("/") else info.port
    with Proxy(target, BYTES_PER_SECOND) as proxy:
        yield make_conninfo(database, host="127.0.0.1", port=proxy.port, sslmode="disable")


def embedded(connection: Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM imgvec.photo_test_embedding ORDER BY id")]


def failures(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT (key->>'id')::int, code, message, attempts FROM imgvec.failure"
        " WHERE code NOT IN ('blank', 'noted') ORDER BY 1"
    ).fetchall()


@pytest.mark.parametrize(
    ("sizes", "too_slow"),
    [
        ([500_000] * 8, []),
        ([500_000, 100, 500_000, 100, 500_000, 100, 1_000_000], []),
        ([100, 100, 3_000_000, 100, 300_000, 300_000, 100, 100, 100], [3]),
        ([3_000_000, 100], [1]),
    ],
    ids=["too many at once", "large and small", "one too large", "the first too large"],
)
def test_pictures_come_fewer_at_a_time_and_one_that_is_too_slow_fails_alone(
    connection: Connection,
    far: str,
    caplog: pytest.LogCaptureFixture,
    sizes: list[int],
    too_slow: list[int],
) -> None:
    fill(connection, sizes)
    caplog.set_level(logging.INFO, logger="imgvec_pg")
    Worker(far, "photo_test", ColorGrid(), PipelineOptions()).run()
    assert embedded(connection) == [key for key in range(1, len(sizes) + 1) if key not in too_slow]
    assert [(key, code, attempts) for key, code, _, attempts in failures(connection)] == [
        (key, "fetch_limit", 3) for key in too_slow
    ]
    for _, _, message, _ in failures(connection):
        assert message.startswith("its 3.0 MB did not come from the database within 1.5 s: ")
    assert connection.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)
    assert "rows did not come within 1.5 s; reading" in caplog.text
    assert "cancelled a statement" not in caplog.text


def reader_of(connection: Connection, database: str) -> tuple[EmbeddingStore, Connection]:
    (name,) = connection.execute("SELECT name FROM imgvec.collection").fetchone() or ("",)
    watched = connect_worker(database, "test", Silence())
    return EmbeddingStore(watched, get_collection(connection, name), "public"), watched


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_database_that_is_slow_itself_fails_no_row(
    connection: Connection, database: str, size: int
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.stored (id bigint PRIMARY KEY, bytes bytea)")
    connection.execute("INSERT INTO shop.stored VALUES (1, %s), (2, %s)", [picture(size)] * 2)
    # Whatever is asked of it, its length too.
    connection.execute(
        "CREATE VIEW shop.photo AS SELECT s.id, s.bytes AS content FROM shop.stored AS s CROSS JOIN LATERAL"
        " (SELECT pg_sleep(2 + 0 * s.id)) AS slow OFFSET 0"
    )
    make_collection(
        connection, image=["content"], model="color-grid", dimensions=12, root=None, key=["id"], foreign_key=False,
    )  # fmt: skip
    store, watched = reader_of(connection, database)
    with watched, pytest.raises(psycopg.errors.QueryCanceled):
        ImageReader(store, 8).read([{"id": 1}, {"id": 2}], lambda: None)
    assert failures(connection) == []


def test_a_read_that_somebody_else_cancels_is_not_taken_for_slow_bytes(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.stored (id bigint PRIMARY KEY, bytes bytea)")
    connection.execute("INSERT INTO shop.stored VALUES (1, %s), (2, %s)", [picture(200_000)] * 2)
    connection.execute(
        "CREATE VIEW shop.photo AS SELECT s.id, s.bytes AS content FROM shop.stored AS s CROSS JOIN LATERAL"
        " (SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1 + 0 * s.id)) AS cancelled OFFSET 0"
    )
    make_collection(
        connection, image=["content"], model="color-grid", dimensions=12, root=None, key=["id"], foreign_key=False,
    )  # fmt: skip
    store, watched = reader_of(connection, database)
    statements: list[int] = []
    read = store.read_images
    monkeypatch.setattr(store, "read_images", lambda keys: (statements.append(len(keys)), read(keys))[1])
    with watched, pytest.raises(psycopg.errors.QueryCanceled, match="user request"):
        ImageReader(store, 8).read([{"id": 1}, {"id": 2}], lambda: None)
    assert statements == [2]


def test_a_worker_that_is_asked_to_stop_does_not_read_on(
    connection: Connection, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connection, [1_000_000] * 8)
    store, watched = reader_of(connection, far)

    class StoppedError(Exception):
        pass

    def go_on() -> None:
        raise StoppedError

    statements: list[int] = []
    read = store.read_images
    monkeypatch.setattr(store, "read_images", lambda keys: (statements.append(len(keys)), read(keys))[1])
    with watched, pytest.raises(StoppedError):
        ImageReader(store, 8).read([{"id": key} for key in range(1, 9)], go_on)
    assert statements == [8]
