"""Known pictures: vectors that a collection has already of pictures with the same bytes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.images.rendering.picture_note import PictureNote
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.transactions import LOCK_TIMEOUT_MS, STATEMENT_MS

ROWS_LOOKED_AT = 16
"""Of each picture, at most."""
LIMITS = {"statement_ms": STATEMENT_MS, "lock_ms": LOCK_TIMEOUT_MS}
INDEX_CHECK_SECONDS = 60.0
"""How often to look whether the index is there: it may be built, or dropped, while a worker runs."""


@dataclass(frozen=True)
class KnownPicture:
    """A picture that a row has already: the row's key, its vector of shape (dimensions,), float32, and what was noted of it."""

    donor: Key
    embedding: npt.NDArray[np.float32]
    note: PictureNote | None


@dataclass(frozen=True)
class ContentIndex:
    """An embedding table or partition and its index on the pictures' hashes, None where there is none."""

    table_name: str
    index_name: str | None
    is_valid: bool
    is_parent: bool


def content_indexes(connection: Connection, collection: Collection) -> list[ContentIndex]:
    """Return the state of each table of a collection, partitions before their parent."""
    rows = connection.execute(
        load_sql("queries/content_index.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchall()
    return [ContentIndex(*row) for row in rows]


def has_content_index(connection: Connection, collection: Collection) -> bool:
    """Whether pictures of this collection are looked up by an index: without one a look-up would read the whole table."""
    return all(state.is_valid for state in content_indexes(connection, collection) if not state.is_parent)


class KnownPictures:
    """Looks pictures up by the hash of their bytes, over a connection of its own; one thread at a time.

    Only vectors of the same precision count, made since the collection has its rendering. Without the index there are none.

    Args:
        connection: With pgvector's types registered.
        parts: Of the collection, bindable.
    """

    def __init__(
        self, connection: Connection, collection: Collection, parts: dict[str, sql.Composable], precision: str
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._precision = precision
        self._statement = render("collection/find_known.sql", **parts)
        self._has_index = False
        self._checked_at: float | None = None

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, KnownPicture]:
        """Return what is known of these pictures, by their hashes; of most pictures nothing is.

        Raises:
            psycopg.Error: They cannot be looked up now.
        """
        if not self._may_look():
            return {}
        values = {"hashes": list(hashes), "precision": self._precision, "most": ROWS_LOOKED_AT}
        with self._connection.transaction():
            self._connection.execute(load_sql("queries/lookup_settings.sql"), LIMITS)
            rows = self._connection.execute(self._statement, values, binary=True).fetchall()
        return {
            hashes[place - 1]: KnownPicture(
                key,
                embedding.to_numpy().astype(np.float32),
                None if code is None else PictureNote(code, message),
            )
            for place, key, embedding, code, message in rows
        }

    def _may_look(self) -> bool:
        now = time.monotonic()
        if self._checked_at is None or now - self._checked_at > INDEX_CHECK_SECONDS:
            self._has_index = has_content_index(self._connection, self._collection)
            self._checked_at = now
        return self._has_index


class Copyable(Protocol):
    """A row to be written, whose vector may be another row's."""

    @property
    def donor(self) -> Key | None:
        """The other row; None where the vector was computed."""

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the picture's bytes."""

    @property
    def embedding(self) -> npt.NDArray[np.float32]:
        """Shape (dimensions,)."""


Row = TypeVar("Row", bound=Copyable)


def part_unconfirmed(
    connection: Connection, statement: sql.Composed, rows: Sequence[Row], precision: str
) -> tuple[list[Row], list[Row]]:
    """Part rows from those whose vector was another's that no longer has it: whether it was right nobody knows.

    Args:
        statement: collection/confirm_known.sql.
    """
    copies = [row for row in rows if row.donor is not None]
    if not copies:
        return list(rows), []
    values: dict[str, Any] = {
        "keys": Jsonb([row.donor for row in copies]),
        "hashes": [row.content_hash for row in copies],
        "embeddings": [HalfVector(row.embedding) for row in copies],
        "precision": precision,
    }
    confirmed = {id(copies[place - 1]) for (place,) in connection.execute(statement, values)}
    lost = [row for row in copies if id(row) not in confirmed]
    return [row for row in rows if row.donor is None or id(row) in confirmed], lost
