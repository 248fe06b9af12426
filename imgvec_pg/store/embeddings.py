"""Read the source's images and write what became of them: embeddings, failures, keys to try again."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sqlfiles import load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.jobs import Key, PutOffKey, finish_jobs, put_off

LOCK_TIMEOUT_MS = 250
"""Well below PostgreSQL's deadlock_timeout (1 s): a worker that waits for an application steps back before the
server has to choose a victim."""


@dataclass(frozen=True)
class StoredImage:
    """What a row holds now: its key's position in the request (from 0), a path or bytes, or neither."""

    position: int
    path: str | None
    content: bytes | None


@dataclass(frozen=True)
class EmbeddedKey:
    """A key with its embedding: shape (dimensions,), float32, L2 norm 1."""

    key: Key
    version: int
    embedding: npt.NDArray[np.float32]
    content_hash: bytes


@dataclass(frozen=True)
class FailedKey:
    """A key that cannot be embedded, and why."""

    key: Key
    version: int
    code: str
    message: str
    attempts: int


KeyResult = TypeVar("KeyResult", EmbeddedKey, FailedKey)


@dataclass
class Outcome:
    """What became of one job's keys. Keys in none of the lists are gone from the source."""

    job_id: int
    embedded: list[EmbeddedKey] = field(default_factory=list)
    failed: list[FailedKey] = field(default_factory=list)
    put_off: list[PutOffKey] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """Rows written, failures recorded, and jobs whose lease had been lost."""

    embedded: int
    failed: int
    lost_jobs: int


class EmbeddingStore:
    """Reads and writes one collection over one connection."""

    def __init__(self, connection: Connection, collection: Collection, vector_schema: str) -> None:
        self.connection = connection
        self.collection = collection
        # The vector types are looked up by name, wherever the extension lives.
        connection.execute(
            "SELECT set_config('search_path', current_setting('search_path') || ',' || %s, false)",
            [vector_schema],
        )
        register_vector(connection)
        parts = collection.parts(vector_schema)
        self._read = render("collection/read_images.sql", **parts)
        self._write = render("collection/write_embeddings.sql", **parts)
        self._fail = render("collection/write_failures.sql", **parts)

    def read_images(self, keys: Sequence[Key]) -> list[StoredImage]:
        """Read the rows of these keys as they are now; rows that are gone are absent.

        Raises:
            psycopg.errors.InsufficientPrivilege: The role may not read the source, or row-level security would hide
                rows from it.
        """
        with self.connection.transaction():
            # A row hidden by a policy would look deleted: let PostgreSQL refuse instead.
            self.connection.execute("SET LOCAL row_security = off")
            rows = self.connection.execute(self._read, {"keys": Jsonb(list(keys))}, binary=True)
            return [StoredImage(position - 1, path, content) for position, path, content in rows]

    def write(self, token: uuid.UUID, outcomes: Sequence[Outcome], precision: str) -> Written:
        """Write the outcomes of jobs leased under `token`, in one short transaction.

        Jobs whose lease was lost are dropped: another worker has them.

        Raises:
            psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure, psycopg.errors.ForeignKeyViolation: Nothing was written; try smaller.
        """
        connection = self.connection
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
            any_failed = any(outcome.failed for outcome in outcomes)
            lock = "exclusive" if any_failed else "shared"
            connection.execute(
                load_sql(f"queries/lock_collection_{lock}.sql"), {"collection_id": self.collection.id}
            )
            ours = finish_jobs(connection, token, [outcome.job_id for outcome in outcomes])
            kept = [outcome for outcome in outcomes if outcome.job_id in ours]
            embedded = self._write_embedded([key for o in kept for key in o.embedded], precision)
            failed = self._write_failed([key for o in kept for key in o.failed])
            put_off(connection, self.collection.id, [key for o in kept for key in o.put_off])
        return Written(embedded, failed, len(outcomes) - len(kept))

    def _write_embedded(self, rows: Sequence[EmbeddedKey], precision: str) -> int:
        newest = newest_by_key(rows)
        if not newest:
            return 0
        row = self.connection.execute(
            self._write,
            {
                "collection_id": self.collection.id,
                "keys": Jsonb([item.key for item in newest]),
                "embeddings": [HalfVector(item.embedding) for item in newest],
                "versions": [item.version for item in newest],
                "content_hashes": [item.content_hash for item in newest],
                "precision": precision,
            },
        ).fetchone()
        return int(row[0]) if row else 0

    def _write_failed(self, rows: Sequence[FailedKey]) -> int:
        newest = newest_by_key(rows)
        if not newest:
            return 0
        row = self.connection.execute(
            self._fail,
            {
                "collection_id": self.collection.id,
                "keys": Jsonb([item.key for item in newest]),
                "versions": [item.version for item in newest],
                "codes": [item.code for item in newest],
                "messages": [item.message.replace("\0", "\\0")[:1000] for item in newest],
                "attempts": [item.attempts for item in newest],
            },
        ).fetchone()
        return int(row[0]) if row else 0


def newest_by_key(rows: Sequence[KeyResult]) -> list[KeyResult]:
    """Keep one row a key, that of the highest version: one statement cannot write a row twice."""
    newest: dict[tuple[str, ...], KeyResult] = {}
    for row in sorted(rows, key=lambda row: row.version):
        newest[tuple(map(repr, row.key.values()))] = row
    return list(newest.values())


RETRIED_ERRORS = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ForeignKeyViolation,
)
"""Conflicts with the application: the write is rolled back and tried again key by key."""
