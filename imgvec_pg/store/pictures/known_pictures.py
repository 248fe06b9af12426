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
from imgvec_pg.database.session_settings import OwnConnection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.images.rendering.picture_note import PictureNote
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.pictures.siblings import GONE, Siblings, donor_parts
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.transactions import LOCK_TIMEOUT_MS, STATEMENT_MS

ROWS_LOOKED_AT = 16
"""Of each picture, at most."""
LIMITS = {"statement_ms": STATEMENT_MS, "lock_ms": LOCK_TIMEOUT_MS}
PREPARED_FROM = 5
"""How often a statement is sent before it is prepared: psycopg's own default, which our connections have off."""
INDEX_CHECK_SECONDS = 60.0
"""How often to look whether the index is there: it may be built, or dropped, while a worker runs."""


@dataclass(frozen=True)
class Donor:
    """A row that has a picture already.

    Attributes:
        sibling: The id of its collection and what confirms the row there; None in the collection itself.
    """

    key: Key
    sibling: tuple[int, sql.Composed] | None = None


@dataclass(frozen=True)
class KnownPicture:
    """A picture that a row has already: the row, its vector of shape (dimensions,), float32, and what was noted of it."""

    donor: Donor
    embedding: npt.NDArray[np.float32]
    note: PictureNote | None


class KnownPictures:
    """Looks pictures up by the hash of their bytes, over a connection of its own; one thread at a time.

    What the collection lacks another one of the same model may have, which this role may read (siblings.py). Only vectors of
    the same precision count, made since their collection has the same rendering. Without the index there are none.

    Args:
        connection: With pgvector's types registered.
        vector: The schema that holds the vector extension.
    """

    def __init__(self, connection: Connection, collection: Collection, vector: str, precision: str) -> None:
        self._connection = connection
        self._collection = collection
        self._precision = precision
        self._statement = render("collection/find_known.sql", **donor_parts(collection, vector))
        self._siblings = Siblings(connection, collection, vector)
        # A session of its own keeps its settings and statements; one that a pooler gives away does not.
        self._owns_session = isinstance(connection, OwnConnection) and not connection.is_pooled
        self._is_set = False
        if self._owns_session:
            connection.prepare_threshold = PREPARED_FROM
        self._has_index = False
        self._checked_at: float | None = None

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, KnownPicture]:
        """Return what is known of these pictures, by their hashes; of most pictures nothing is.

        Raises:
            psycopg.Error: They cannot be looked up now.
        """
        found = self._look(self._statement, hashes, None) if self._may_look() else {}
        siblings = self._siblings.get()
        try:
            for sibling, statement, confirmation in siblings:
                if unknown := [each for each in hashes if each not in found]:
                    found |= self._look(statement, unknown, (sibling, confirmation))
        except GONE:
            self._siblings.forget()
        return found

    def _look(
        self, statement: sql.Composed, hashes: Sequence[bytes], sibling: tuple[int, sql.Composed] | None
    ) -> dict[bytes, KnownPicture]:
        values = {
            "hashes": list(hashes),
            "precision": self._precision,
            "rendering": self._collection.rendering,
            "most": ROWS_LOOKED_AT,
        }
        rows = self._fetch(statement, values)
        return {
            hashes[place - 1]: KnownPicture(
                Donor(key, sibling),
                embedding.to_numpy().astype(np.float32),
                None if code is None else PictureNote(code, message),
            )
            for place, key, embedding, code, message in rows
        }

    def _fetch(self, statement: sql.Composed, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run it under the settings of look-ups: a transaction's, or in a session of its own the session's, which is cheaper."""
        if self._owns_session:
            if not self._is_set:
                self._set(is_local=False)
                self._is_set = True
            return self._connection.execute(statement, values, binary=True).fetchall()
        with self._connection.transaction():
            self._set(is_local=True)
            return self._connection.execute(statement, values, binary=True).fetchall()

    def _set(self, *, is_local: bool) -> None:
        self._connection.execute(load_sql("queries/lookup_settings.sql"), {**LIMITS, "is_local": is_local})

    def _may_look(self) -> bool:
        now = time.monotonic()
        if self._checked_at is None or now - self._checked_at > INDEX_CHECK_SECONDS:
            self._has_index = has_content_index(self._connection, self._collection)
            self._checked_at = now
        return self._has_index


class Copyable(Protocol):
    """A row to be written, whose vector may be another row's."""

    @property
    def donor(self) -> Donor | None:
        """The other row; None where the vector was computed."""

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the picture's bytes."""

    @property
    def embedding(self) -> npt.NDArray[np.float32]:
        """Shape (dimensions,)."""


Row = TypeVar("Row", bound=Copyable)


def part_unconfirmed(
    connection: Connection, statement: sql.Composed, rows: Sequence[Row], precision: str, rendering: int
) -> tuple[list[Row], list[Row]]:
    """Part rows from those whose vector was another's that no longer has it: whether it was right nobody knows.

    Args:
        statement: collection/confirm_known.sql of the rows' own collection.
    """
    copies: dict[int | None, list[tuple[Row, Donor]]] = {}
    statements: dict[int | None, sql.Composed] = {None: statement}
    for row in rows:
        if row.donor is not None:
            sibling, confirmation = row.donor.sibling or (None, statement)
            copies.setdefault(sibling, []).append((row, row.donor))
            statements[sibling] = confirmation
    lost: set[int] = set()
    for sibling, pairs in copies.items():
        values: dict[str, Any] = {
            "keys": Jsonb([donor.key for _, donor in pairs]),
            "hashes": [row.content_hash for row, _ in pairs],
            "embeddings": [HalfVector(row.embedding) for row, _ in pairs],
            "precision": precision,
            "rendering": rendering,
        }
        places = _confirm(connection, statements[sibling], sibling, values)
        lost |= {id(row) for place, (row, _) in enumerate(pairs, 1) if place not in places}
    return [row for row in rows if id(row) not in lost], [row for row in rows if id(row) in lost]


def _confirm(
    connection: Connection, statement: sql.Composed, sibling: int | None, values: dict[str, Any]
) -> set[int]:
    """Return the places of the rows confirmed; of a sibling none while somebody takes back what he said, or once it is gone."""
    if sibling is None:
        return {place for (place,) in connection.execute(statement, values)}
    try:
        with connection.transaction():
            row = connection.execute(
                load_sql("queries/try_lock_collection_shared.sql"), {"collection_id": sibling}
            ).fetchone()
            if row is None or not row[0]:
                return set()
            return {place for (place,) in connection.execute(statement, values)}
    except GONE:
        return set()
