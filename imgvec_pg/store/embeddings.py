"""Read source images; write embeddings, failures and delayed keys."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from imgvec_pg.database.binary_arrays import bigint_array, bytea_array, halfvec_array, register_binary_arrays
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.encodings import as_held
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionChangedError, ImageError
from imgvec_pg.images.rendering.picture_note import PictureNote
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.known_pictures import Donor, KnownPictures, part_unconfirmed
from imgvec_pg.store.pictures.siblings import donor_parts
from imgvec_pg.store.queue.jobs import DelayedKey, Key, Lease, delay_keys, finish_jobs, lease_values
from imgvec_pg.store.queue.written import Written
from imgvec_pg.store.transactions import LOCK_TIMEOUT_MS, ROW_ERRORS, read_like_triggers, short_transaction
from imgvec_pg.store.writing.new_rows import new_row_writer


@dataclass(frozen=True)
class StoredImage:
    """Image reference of a row: the key's position in the request (from 0), a path or bytes, or neither; and its hash.

    Attributes:
        failure: Why it cannot be read, as where its bytes come too slowly or a view's expression fails for it.
    """

    position: int
    path: str | None
    content: bytes | None
    reference_hash: bytes
    failure: ImageError | None = None


@dataclass(frozen=True)
class EmbeddedKey:
    """A key with its embedding: shape (dimensions,), float32, L2 norm 1.

    Attributes:
        note: What to note of its picture; None for most.
        donor: The row whose vector it is, where it was not computed; and `attempts` made for this one, should that not hold.
    """

    key: Key
    version: int
    embedding: npt.NDArray[np.float32]
    content_hash: bytes
    reference_hash: bytes | None = None
    note: PictureNote | None = None
    donor: Donor | None = None
    attempts: int = 0


@dataclass(frozen=True)
class FailedKey:
    """A key that cannot be embedded, and why."""

    key: Key
    version: int
    code: str
    message: str
    attempts: int
    reference_hash: bytes | None = None


MANY_KEYS = 16
"""Fewer keys PostgreSQL looks up in the source's index by itself; asking whether there is one takes 0.1 ms."""
KeyResult = TypeVar("KeyResult", EmbeddedKey, FailedKey)


@dataclass
class Outcome:
    """Outcome of one job: its keys embedded, failed and delayed. Keys in none of the lists are gone from the source."""

    job_id: int
    embedded: list[EmbeddedKey] = field(default_factory=list)
    failed: list[FailedKey] = field(default_factory=list)
    delayed: list[DelayedKey] = field(default_factory=list)


class EmbeddingStore:
    """Reads and writes one collection over one connection."""

    # When to try a row again whose vector was that of another row, which has changed meanwhile.
    unconfirmed_delay_seconds = 1.0

    def __init__(self, connection: Connection, collection: Collection, vector_schema: str) -> None:
        self.connection = connection
        self.collection = collection
        # The vector types are looked up by name, wherever the extension lives. For a transaction only: behind a pooler
        # the session is the next application's.
        with connection.transaction():
            connection.execute(
                "SELECT set_config('search_path', current_setting('search_path') || ',' || quote_ident(%s), true)",
                [vector_schema],
            )
            register_vector(connection)
        register_binary_arrays(connection)
        parts = bindable(collection.parts(vector_schema))
        self._read = render("collection/read_images.sql", **parts)
        self._read_size = render("collection/read_image_size.sql", **parts)
        self._write = render("collection/write_embeddings.sql", **parts)
        self._new_rows = new_row_writer(connection, collection, parts)
        self._vector = vector_schema
        self._confirm = render("collection/confirm_known.sql", **donor_parts(collection, vector_schema))
        self._fail = render("collection/write_failures.sql", **parts)
        self._has_gone = render("collection/has_gone.sql", **parts)
        self._forget_gone = render("collection/forget_gone.sql", **parts)

    def read_images(self, keys: Sequence[Key]) -> list[StoredImage]:
        """Read the rows of these keys as they are now; rows that are gone are absent.

        Raises:
            psycopg.errors.InsufficientPrivilege: The role may not read the source, or row-level security would hide
                rows from it.
            psycopg.errors.LockNotAvailable: The application holds the table, as ALTER TABLE does; try again.
        """
        try:
            with short_transaction(self.connection):
                read_like_triggers(self.connection, self.collection, by_key=len(keys) >= MANY_KEYS)
                rows = self.connection.execute(self._read, {"keys": Jsonb(list(keys))}, binary=True)
                return [StoredImage(position - 1, *values) for position, *values in rows]
        except ROW_ERRORS as error:
            if len(keys) == 1:
                # An empty hash differs from any other: reconcile tries the row again once it can be read.
                failure = ImageError("unreadable_row", f"the row cannot be read: {one_line(error)}")
                return [StoredImage(0, None, None, b"", failure)]
        half = len(keys) // 2
        second = [replace(image, position=image.position + half) for image in self.read_images(keys[half:])]
        return self.read_images(keys[:half]) + second

    def read_image_size(self, key: Key) -> tuple[int | None, bytes] | None:
        """Return how many bytes a row's picture has in the table, None for none, and its hash; None where the row is gone.

        Raises:
            As read_images.
        """
        with short_transaction(self.connection):
            read_like_triggers(self.connection, self.collection)
            return self.connection.execute(self._read_size, {"keys": Jsonb([key])}, binary=True).fetchone()

    def known_pictures(self, precision: str) -> KnownPictures:
        """Return what looks pictures up over this connection."""
        return KnownPictures(self.connection, self.collection, self._vector, precision)

    def write(
        self,
        token: uuid.UUID,
        outcomes: Sequence[Outcome],
        precision: str,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> Written:
        """Write the outcomes of jobs leased under `token`, as `write_leased` does."""
        return self.write_leased([(token, outcome) for outcome in outcomes], precision, lock_timeout_ms)

    def write_leased(
        self,
        leased: Sequence[tuple[uuid.UUID, Outcome]],
        precision: str,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    ) -> Written:
        """Write the outcomes of jobs, each leased under its token, in one short transaction.

        Jobs whose lease was lost are dropped: another worker has them.

        Raises:
            CollectionChangedError: The pictures were rendered by a version that is no longer the collection's.
            psycopg.errors.InsufficientPrivilege: Row-level security would hide rows of the source from the role.
            psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure, psycopg.errors.ForeignKeyViolation,
            psycopg.errors.QueryCanceled: Nothing was written; try smaller.
        """
        connection = self.connection
        with short_transaction(connection, lock_timeout_ms):
            keys = sum(len(o.embedded) + len(o.failed) for _, o in leased)
            read_like_triggers(connection, self.collection, by_key=keys >= MANY_KEYS)
            leases = [(outcome.job_id, token) for token, outcome in leased]
            outcomes = [outcome for _, outcome in leased]
            has_gone = self._finds_gone(leases)
            self._lock_collection(outcomes, alone=has_gone)
            if has_gone:
                connection.execute(self._forget_gone, lease_values(leases))
            if any(outcome.embedded for outcome in outcomes):
                self._require_same_rendering()
            ours = finish_jobs(connection, leases)
            kept = [outcome for token, outcome in leased if (outcome.job_id, token) in ours]
            embedded_keys = [key for o in kept for key in o.embedded]
            known, lost = part_unconfirmed(
                connection, self._confirm, embedded_keys, precision, self.collection.rendering
            )
            embedded = self._write_embedded(known, precision)
            codes = self._write_failed([key for o in kept for key in o.failed])
            later = [key for o in kept for key in o.delayed]
            later += [
                DelayedKey(row.key, row.version, row.attempts, self.unconfirmed_delay_seconds) for row in lost
            ]
            delay_keys(connection, self.collection.id, later)
        finished = sum(ours.values()) - len(later)
        return Written(embedded, len(codes), finished, len(later), len(outcomes) - len(kept), codes)

    def _finds_gone(self, leases: Sequence[Lease]) -> bool:
        """Whether a key of these jobs has no row any more, where no foreign key takes care of its embedding."""
        if self.collection.forgets_by_key:
            return False
        row = self.connection.execute(self._has_gone, lease_values(leases)).fetchone()
        return row is not None and bool(row[0])

    def _require_same_rendering(self) -> None:
        """Whoever changes it holds the lock of the collection alone, so that no older picture is written behind its back."""
        row = self.connection.execute(
            load_sql("queries/rendering.sql"), {"collection_id": self.collection.id}
        ).fetchone()
        if row is not None and row[0] != self.collection.rendering:
            raise CollectionChangedError(
                f"the pictures of {self.collection.name} are rendered by version {row[0]} now, no longer by "
                f"{self.collection.rendering}"
            )

    def _lock_collection(self, outcomes: Sequence[Outcome], *, alone: bool) -> None:
        # A note is a write of failures too.
        if alone or any(o.failed or any(key.note for key in o.embedded) for o in outcomes):
            lock = "exclusive"
        elif any(outcome.embedded for outcome in outcomes):
            lock = "shared"
        else:
            return  # Keys delayed wait for nobody.
        self.connection.execute(
            load_sql(f"queries/lock_collection_{lock}.sql"), {"collection_id": self.collection.id}
        )

    def _write_embedded(self, rows: Sequence[EmbeddedKey], precision: str) -> int:
        if (
            self._new_rows is not None
            and not any(row.note for row in rows)
            and self._new_rows.write(rows, precision)
        ):
            return len(rows)
        newest = newest_by_key(rows)
        if not newest:
            return 0
        noted = [(item, item.note) for item in newest if item.note is not None]
        row = self.connection.execute(
            self._write,
            {
                "collection_id": self.collection.id,
                "keys": Jsonb([item.key for item in newest]),
                "embeddings": halfvec_array(self.connection, [item.embedding for item in newest]),
                "versions": bigint_array([item.version for item in newest]),
                "content_hashes": bytea_array([item.content_hash for item in newest]),
                "reference_hashes": bytea_array([item.reference_hash for item in newest]),
                "precision": precision,
                "note_keys": Jsonb([item.key for item, _ in noted]),
                "note_versions": [item.version for item, _ in noted],
                "note_codes": [note.code for _, note in noted],
                "note_messages": [note.message for _, note in noted],
                "note_reference_hashes": [item.reference_hash for item, _ in noted],
            },
        ).fetchone()
        return int(row[0]) if row else 0

    def _write_failed(self, rows: Sequence[FailedKey]) -> tuple[str, ...]:
        newest = newest_by_key(rows)
        if not newest:
            return ()
        row = self.connection.execute(
            self._fail,
            {
                "collection_id": self.collection.id,
                "keys": Jsonb([item.key for item in newest]),
                "versions": [item.version for item in newest],
                "codes": [item.code for item in newest],
                "messages": [self._storable(item.message) for item in newest],
                "attempts": [item.attempts for item in newest],
                "reference_hashes": [item.reference_hash for item in newest],
            },
        ).fetchone()
        return tuple(row[0]) if row else ()

    def _storable(self, message: str) -> str:
        """Return a message as a text column of this database can hold it."""
        # Lone surrogates, which no encoding has.
        text = message.replace("\0", "\\0")[:1000].encode("utf-8", "replace").decode("utf-8")
        return as_held(self.connection, text)


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
    psycopg.errors.QueryCanceled,
)
"""Conflicts with the application, or a write that took too long: it is rolled back and tried again key by key."""
