"""Write imported vectors: look up what the file's keys are here, then a binary COPY, batch by batch in transactions of their own.

Nothing is noted of how far an import came: a row that has an embedding is left alone, so that one which was killed goes on when
it is started anew. The vectors get version 0, as a first fill's do: whatever a trigger noted since goes before them.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.types.string import ByteaBinaryLoader

from imgvec_pg.database.binary_rows import COPY_END, COPY_HEADER, encode_rows
from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionChangedError, CollectionReplacedError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import RETRIED_ERRORS
from imgvec_pg.store.transactions import read_like_triggers, short_transaction
from imgvec_pg.transfer.row_lookup import RowLookup, asked_values, value_parts
from imgvec_pg.transfer.vector_batch import VectorBatch
from imgvec_pg.transfer.vector_checks import CheckedVectors, as_given, check_vectors

IMPORTABLE, EMBEDDED, NO_IMAGE, FAILED_SINCE, CHANGED = range(5)
"""States of find_importable.sql, and of a row whose picture is another than the export's."""
LOCK_TIMEOUT_MS = 1000
ENCODING_MS = 60_000
"""Between look-up and COPY a batch is encoded here, within its transaction: on a machine with other work that takes seconds."""
TRIES = 8
FIRST_PAUSE_SECONDS = 0.1
AGAIN = (*RETRIED_ERRORS, psycopg.errors.UniqueViolation)
"""What meets an application, or a worker that writes the same row: the batch is rolled back and looked up anew."""
REFUSED_VECTORS = (psycopg.errors.CheckViolation, psycopg.DataError)
EXAMPLES = 5
PRECISION = "imported"
"""What stands in the embedding table's column `precision`; take_off_queue.sql asks for it."""
SEVERAL_NAMES = "of a row that the file has under several texts, as 7 and 07 are: none of them was taken"


@dataclass
class ImportCounts:
    """What became of the rows of a file.

    Attributes:
        imported: Rows of the collection that got a vector.
        embedded: Had one already, and keep it.
        unknown: Keys that no row of the source has.
        without_picture: Rows without a picture.
        changed: Rows that refer to another picture than when they were exported, or failed at a newer change: left to a worker.
        bad: Rows whose vector cannot be used, by reason.
        normalised: Vectors that had another norm than 1.
        examples: A few keys for each of the counts but the first two, and for each reason of `bad`.
    """

    imported: int = 0
    embedded: int = 0
    unknown: int = 0
    without_picture: int = 0
    changed: int = 0
    normalised: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, batch: VectorBatch, places: npt.NDArray[np.intp]) -> int:
        """Keep the first few keys as examples, and return how many there are."""
        if len(places):
            shown = (", ".join(str(column[place]) for column in batch.keys) for place in places[:EXAMPLES])
            self.examples[what] = [text.encode("utf-8", "backslashreplace").decode() for text in shown]
        return len(places)

    def add(self, other: "ImportCounts") -> None:
        """Add the counts of another batch."""
        for name in ("imported", "embedded", "unknown", "without_picture", "changed", "normalised"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, rows in other.bad.items():
            self.bad[reason] = self.bad.get(reason, 0) + rows
        for what, keys in other.examples.items():
            self.examples[what] = [*self.examples.get(what, ()), *keys][:EXAMPLES]


class ImportWriter:
    """Writes batches over one connection."""

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        lookup: RowLookup,
        *,
        compare_references: bool = True,
        is_dry: bool = False,
    ) -> None:
        self.connection = connection
        self.collection = collection
        self.lookup = lookup
        self.compare_references = compare_references
        self.is_dry = is_dry
        self._trusts_halves = True
        parts = collection.parts(vector_schema(connection))
        named, lists = value_parts(collection, lookup)
        self._find = render(
            "collection/find_importable.sql", **bindable({**parts, **named}), value_lists=lists
        )
        held = connection.execute(
            "SELECT pg_catalog.row_security_active(%s::regclass)",
            [sql.Identifier("imgvec", collection.embedding_table).as_string(None)],
        ).fetchone()
        self._is_staged = bool(held and held[0])
        target = sql.Identifier(
            *(["pg_temp", "imgvec_imported"] if self._is_staged else ["imgvec", collection.embedding_table])
        )
        self._copy = render("collection/copy_rows.sql", **parts, target=target)
        self._stage = render("collection/stage_imported.sql", **parts)
        self._insert = render("collection/insert_imported.sql", **parts)

    def write(self, batch: VectorBatch) -> ImportCounts:
        """Write one batch, in one transaction; with `is_dry` only look.

        Raises:
            CollectionChangedError, CollectionReplacedError: The collection is not the one that it was.
            DatabaseError: The application holds the source for too long.
            psycopg.errors.InsufficientPrivilege: The role may not.
        """
        is_half = batch.vectors.dtype == np.float16
        checked = (
            as_given(batch.vectors)
            if is_half and self._trusts_halves and not self.is_dry
            else check_vectors(batch.vectors)
        )
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(TRIES):
            try:
                return self._write(batch, checked)
            except REFUSED_VECTORS:
                if not is_half or not self._trusts_halves:
                    raise
                # From now on they are checked here, as floats are.
                self._trusts_halves = False
                checked = check_vectors(batch.vectors)
            except AGAIN as error:
                if attempt == TRIES - 1:
                    raise DatabaseError(
                        f"{self.collection.shown_source} or its embeddings stayed locked ({type(error).__name__}); what was "
                        "imported until now stays. Run the same command again, it goes on there"
                    ) from error
                time.sleep(pause)
                pause *= 2
        raise AssertionError("each of the tries returns or raises")

    def _write(self, batch: VectorBatch, checked: CheckedVectors) -> ImportCounts:
        counts = ImportCounts(normalised=checked.normalised, bad={})
        for reason, bad in checked.reasons.items():
            counts.bad[reason] = counts.note(reason, batch, bad)
        with short_transaction(self.connection, LOCK_TIMEOUT_MS, ENCODING_MS):
            read_like_triggers(self.connection, self.collection)
            self._lock_collection()
            found = self._look_up(batch)
            places, states = found.places, found.states
            states[self._changed(batch, found) & (states == IMPORTABLE)] = CHANGED
            seen = np.zeros(len(batch), dtype=np.bool_)
            seen[places] = True
            is_good = checked.is_good[places]
            counts.embedded = int((is_good & (states == EMBEDDED)).sum())
            counts.without_picture = counts.note(
                "without_picture", batch, places[is_good & (states == NO_IMAGE)]
            )
            counts.changed = counts.note("changed", batch, places[is_good & (states >= FAILED_SINCE)])
            counts.unknown = counts.note("unknown", batch, np.flatnonzero(~seen & checked.is_good))
            chosen = np.flatnonzero(is_good & (states == IMPORTABLE))
            again = _found_again(found, chosen)
            if len(again):
                counts.bad[SEVERAL_NAMES] = counts.note(SEVERAL_NAMES, batch, places[again])
                chosen = np.setdiff1d(chosen, again)
            counts.imported = len(chosen)
            if len(chosen) and not self.is_dry:
                self._copy_in(self._encode(batch, checked, found, places, chosen))
        return counts

    def _encode(
        self,
        batch: VectorBatch,
        checked: CheckedVectors,
        found: "_FoundRows",
        places: npt.NDArray[np.intp],
        chosen: npt.NDArray[np.intp],
    ) -> list[memoryview]:
        def of_chosen(values: Sequence[bytes]) -> Sequence[bytes]:
            return values if len(chosen) == len(values) else [values[row] for row in chosen]

        in_file = places[chosen]
        hashes = batch.content_hashes
        return encode_rows(
            [of_chosen(column) for column in found.keys],
            checked.halves
            if len(in_file) == len(batch) and (np.diff(in_file) > 0).all()
            else checked.halves[in_file],
            [b""] * len(chosen) if hashes is None else [hashes[place] or b"" for place in in_file],
            of_chosen(found.references),
            0,
            PRECISION,
        )

    def _changed(self, batch: VectorBatch, found: "_FoundRows") -> npt.NDArray[np.bool_]:
        """Which rows say something else of their picture than when they were exported."""
        exported = batch.reference_hashes
        if not self.compare_references or exported is None:
            return np.zeros(len(found.places), dtype=np.bool_)
        return np.array(
            [
                bool(exported[place]) and exported[place] != reference
                for place, reference in zip(found.places, found.references, strict=True)
            ],
            dtype=np.bool_,
        )

    def _lock_collection(self) -> None:
        values = {"collection_id": self.collection.id}
        self.connection.execute(load_sql("queries/lock_collection_shared.sql"), values)
        row = self.connection.execute(load_sql("queries/rendering.sql"), values).fetchone()
        name = self.collection.name
        if row is None:
            raise CollectionReplacedError(
                f"collection {name} was dropped meanwhile; nothing more was imported"
            )
        if row[0] != self.collection.rendering:
            raise CollectionChangedError(
                f"the pictures of {name} are rendered by version {row[0]} now, no longer by {self.collection.rendering}; run "
                "the same command again"
            )

    def _look_up(self, batch: VectorBatch) -> "_FoundRows":
        """Return the rows that the batch's keys are of, in key order."""
        with self.connection.cursor(binary=True) as cursor:
            cursor.execute(self._find, asked_values(batch, self.lookup))
            for column in cursor.description or ():
                # As the types' send functions give them: COPY takes keys so.
                cursor.adapters.register_loader(column.type_code, ByteaBinaryLoader)
            rows = cursor.fetchall()
        if not rows:
            return _FoundRows(
                np.zeros(0, np.intp), np.zeros(0, np.int32), [], [[] for _ in self.collection.key_columns]
            )
        places, states, references, *keys = zip(*rows, strict=True)
        return _FoundRows(
            np.frombuffer(b"".join(places), dtype=">i8").astype(np.intp) - 1,
            np.frombuffer(b"".join(states), dtype=">i4").astype(np.int32),
            references,
            keys,
        )

    def _copy_in(self, pieces: Sequence[memoryview]) -> None:
        if self._is_staged:
            self.connection.execute(self._stage)
        with self.connection.cursor().copy(self._copy) as copy:
            copy.write(COPY_HEADER)
            for piece in pieces:
                copy.write(piece)
            copy.write(COPY_END)
        if self._is_staged:
            self.connection.execute(self._insert)


@dataclass(frozen=True)
class _FoundRows:
    """Rows of the source: place in the batch from 0, state, hash of what the row says of its picture, and for each key column the
    binary values."""

    places: npt.NDArray[np.intp]
    states: npt.NDArray[np.int32]
    references: Sequence[bytes]
    keys: Sequence[Sequence[bytes]]


def _found_again(found: _FoundRows, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return which of the chosen rows are there more than once: several texts may be one value of the key's type."""
    all_keys = found.keys[0] if len(found.keys) == 1 else list(zip(*found.keys, strict=True))
    keys = [all_keys[row] for row in chosen]
    if len(set(keys)) == len(keys):
        return np.zeros(0, dtype=np.intp)
    times = Counter(keys)
    return np.array([row for row, key in zip(chosen, keys, strict=True) if times[key] > 1], dtype=np.intp)
