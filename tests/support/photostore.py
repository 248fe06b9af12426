"""A table of photos with vectors of three dimensions, and what the tests of the schema ask of it."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import escape_percent
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, FailedKey, Outcome, Written
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.spec import CollectionSpec

Vector = Sequence[float]
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
"""At distance 1 from each other, 2 from their opposites."""


def make_collection(
    connection: Connection, relation: str = "shop.photo", name: str = "photo_test", **changes: Any
) -> Collection:
    values: dict[str, Any] = {
        "image": ["file"],
        "model": f"test/{changes.get('dimensions', 3)}",
        "dimensions": 3,
        "has_text": True,
        "root": "/srv/photos",
        **changes,
    }
    collection = create_collection(connection, CollectionSpec(name=name, source=relation, **values))
    # Left behind where the test is one transaction.
    connection.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL lock_timeout TO DEFAULT")
    return collection


def make_photos(connection: Connection, rows: int = 0, **changes: Any) -> Collection:
    """Make shop.photo(id, file, price) with rows 1, 2, … whose price is their id, and a collection over it."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric)")
    connection.execute(
        "INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, %s) AS i", [rows]
    )
    return make_collection(connection, **changes)


def enqueued(connection: Connection, collection: Collection | None = None) -> list[Any]:
    """Return the queued keys, each as its value or a tuple of them, in order."""
    rows = connection.execute(
        "SELECT keys FROM imgvec.job WHERE %(id)s::integer IS NULL OR collection_id = %(id)s",
        {"id": collection and collection.id},
    )
    keys = [tuple(key.values()) for (batch,) in rows for key in batch]
    return sorted(key[0] if len(key) == 1 else key for key in keys)


def take_enqueued(connection: Connection) -> list[Any]:
    """Return the queued keys and empty the queue."""
    found = enqueued(connection)
    connection.execute("DELETE FROM imgvec.job")
    return found


def embed(
    connection: Connection, collection: Collection, vectors: dict[Any, Vector], version: int = 1
) -> None:
    """Insert embeddings; a composite key is a tuple."""
    statement = sql.SQL(
        "INSERT INTO {} ({}, embedding, version, content_hash, precision) VALUES ({}, %s, %s, '', 'fp32')"
    ).format(
        sql.Identifier("imgvec", collection.embedding_table),
        escape_percent(sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))),
        sql.SQL(", ").join(sql.Placeholder() * len(collection.key_columns)),
    )
    for key, vector in vectors.items():
        values = key if isinstance(key, tuple) else (key,)
        connection.execute(statement, [*values, str(list(vector)), version])


def embedded(connection: Connection, collection: Collection) -> list[Any]:
    """Return the embedded keys in order."""
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            keys := sql.SQL(", ").join(map(sql.Identifier, collection.key_columns)),
            sql.Identifier("imgvec", collection.embedding_table),
            keys,
        )
    ).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


def fail(connection: Connection, collection: Collection, key: Key, version: int = 1) -> None:
    connection.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
        " VALUES (%s, %s, %s, 'truncated', '', 1)",
        [collection.id, Jsonb(key), version],
    )


def failed(connection: Connection) -> list[Key]:
    return [key for (key,) in connection.execute("SELECT key FROM imgvec.failure ORDER BY key")]


@contextmanager
def as_role(connection: Connection, role: str) -> Iterator[None]:
    """Act as a role; a role name is one of the tests' own."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    try:
        yield
    finally:
        connection.execute("RESET ROLE")


@contextmanager
def new_role(connection: Connection, *grants: str) -> Iterator[str]:
    """Make a role with these grants ("SELECT ON shop.photo"), and drop it; roles outlive a test's database."""
    name = f"imgvec_test_{uuid.uuid4().hex[:12]}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        for grant in grants:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), role))  # type: ignore[arg-type]
        yield name
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def as_key(collection: Collection, key: Any) -> Key:
    """Return a key by its columns; that of several is a tuple."""
    return dict(zip(collection.key_columns, key if isinstance(key, tuple) else (key,), strict=True))


@dataclass(frozen=True)
class LeasedJob:
    """A job under lease, and the store that may write it."""

    store: EmbeddingStore
    id: int
    token: uuid.UUID
    version: int

    def write(self, *vectors: tuple[Any, Vector], **outcome: Any) -> Written:
        """Write vectors of keys, and the outcome's other lists."""
        collection = self.store.collection
        rows = [
            EmbeddedKey(
                as_key(collection, key), self.version, np.float32(vector), hashlib.sha256(b"").digest()
            )
            for key, vector in vectors
        ]
        return self.store.write(self.token, [Outcome(self.id, embedded=rows, **outcome)], "fp32")

    def write_failure(
        self, key: Any, message: str = "cut short", reference_hash: bytes | None = None
    ) -> Written:
        column = self.store.collection.key_columns[0]
        failed = FailedKey({column: key}, self.version, "truncated", message, 1, reference_hash)
        return self.write(failed=[failed])


def lease_job(
    connection: Connection, collection: Collection, keys: Sequence[Any], version: int = 1
) -> LeasedJob:
    """File a job of keys that this connection holds the lease of."""
    token = uuid.uuid4()
    row = connection.execute(
        "INSERT INTO imgvec.job (collection_id, version, keys, attempts, token, lease_until)"
        " VALUES (%s, %s, %s, 1, %s, now() + interval '1 minute') RETURNING id",
        [collection.id, version, Jsonb([as_key(collection, key) for key in keys]), token],
    ).fetchone()
    assert row is not None
    store = EmbeddingStore(connection, collection, vector_schema(connection))
    return LeasedJob(store, row[0], token, version)
