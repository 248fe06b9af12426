"""Import vectors into a collection: check them, write them over several connections, and put the queue right."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.transactions import read_like_triggers, short_transaction
from imgvec_pg.transfer.import_writer import ImportCounts, ImportWriter
from imgvec_pg.transfer.repeated_keys import Int64Array, find_repeated, hash_keys
from imgvec_pg.transfer.row_lookup import RowLookup
from imgvec_pg.transfer.vector_batch import VectorBatch, VectorReader
from imgvec_pg.transfer.vector_checks import check_vectors

INDEXED_ROWS = 256
"""Rows in one transaction where there is an HNSW index, which takes about 640 a second."""
JOBS_AT_ONCE = 64
"""Jobs looked at in one transaction, of up to 64 keys each."""


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes:
        takes_queued: Rows that are enqueued as new or changed count as up to date once they have a vector of this file.
        compares_references: Leave out rows that refer to another picture than the export has.
        is_dry: Look, and write nothing.
    """

    lookup: RowLookup = field(default_factory=RowLookup)
    takes_queued: bool = False
    compares_references: bool = True
    is_dry: bool = False


@dataclass
class Imported:
    """Result of an import.

    Attributes:
        rows: Rows of the file.
        repeated: Rows whose key the file has several times with the same vector; one of them was imported.
        contradictory: Keys that it has with different vectors; none was imported.
        taken_off_queue: Keys that no worker need embed any more.
        still_queued: Keys left in the queue.
    """

    rows: int
    counts: ImportCounts = field(default_factory=ImportCounts)
    repeated: int = 0
    contradictory: int = 0
    taken_off_queue: int = 0
    still_queued: int = 0

    @property
    def refused(self) -> int:
        """Rows that could not be taken as they are."""
        return sum(self.counts.bad.values()) + self.contradictory


def require_fitting(collection: Collection, reader: VectorReader) -> None:
    """Refuse vectors of another length, and a collection whose key has changed its type.

    Raises:
        UsageError: They do not fit.
    """
    if reader.dimensions != collection.dimensions:
        raise UsageError(
            f"{reader.name} has vectors of {reader.dimensions} dimensions, collection {collection.name} of "
            f"{collection.dimensions} "
            f"({collection.model_name}); nothing was imported"
        )
    if collection.has_other_key_types:
        raise UsageError(
            f"the key of {collection.shown_source} has another type than collection {collection.name}'s; first: "
            f"imgvec collection reconcile {collection.name}"
        )


def import_vectors(
    connections: list[Connection],
    collection: Collection,
    reader: VectorReader,
    options: ImportOptions,
    progress: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Import all rows of a reader, each batch in a transaction of its own.

    Args:
        connections: One for each writer.
        progress: Called with the rows looked at so far, from several threads.

    Raises:
        As ImportWriter.write; and UsageError, where keys occur too often or the reader meets damage.
    """
    require_fitting(collection, reader)
    first = connections[0]
    row = first.execute("SELECT clock_timestamp()").fetchone()
    begun: datetime = row[0] if row else datetime.min
    queued = _unleased_jobs(first, collection, of_changes=True) if options.takes_queued else []
    repeated = find_repeated(reader.keys, reader.rows)
    writers = [
        ImportWriter(
            connection,
            collection,
            options.lookup,
            compare_references=options.compares_references,
            is_dry=options.is_dry,
        )
        for connection in connections
    ]
    kept = _KeptAside(repeated)
    most = INDEXED_ROWS if any(state.index_name for state in index_states(first, collection)) else 0
    result = Imported(reader.rows)
    result.counts = _write_all(writers, _split(map(kept.without, reader.batches()), most), progress)
    for batch in kept.decide(result):
        result.counts.add(writers[0].write(batch))
    if not options.is_dry:
        _put_queue_right(first, collection, options, queued, begun, result)
    return result


def _split(batches: Iterator[VectorBatch], most: int) -> Iterator[VectorBatch]:
    for batch in batches:
        if not most or len(batch) <= most:
            yield batch
            continue
        for start in range(0, len(batch), most):
            yield batch.take(np.arange(start, min(start + most, len(batch))))


class _KeptAside:
    """Rows whose key comes again: what becomes of them is decided at the end of the file."""

    def __init__(self, repeated: Int64Array) -> None:
        self._repeated = repeated
        self._batches: list[VectorBatch] = []

    def without(self, batch: VectorBatch) -> VectorBatch:
        """Keep such rows of a batch, and return the others."""
        if not len(self._repeated):
            return batch
        again = np.isin(hash_keys(batch.keys), self._repeated)
        if not again.any():
            return batch
        self._batches.append(batch.take(np.flatnonzero(again)))
        return batch.take(np.flatnonzero(~again))

    def decide(self, result: Imported) -> Iterator[VectorBatch]:
        """Give one row of each key whose vectors are all the same, and count the others."""
        vectors: dict[tuple[str | None, ...], bytes] = {}
        contradictory: set[tuple[str | None, ...]] = set()
        first: list[tuple[VectorBatch, list[int]]] = []
        for batch in self._batches:
            places = []
            halves = check_vectors(batch.vectors).halves
            for place, key in enumerate(zip(*batch.keys, strict=True)):
                vector = halves[place].tobytes()
                if key not in vectors:
                    vectors[key] = vector
                    places.append(place)
                elif vectors[key] == vector:
                    result.repeated += 1
                else:
                    contradictory.add(key)
            first.append((batch, places))
        result.contradictory = len(contradictory)
        shown = [", ".join(map(str, key)) for key in list(contradictory)[:5]]
        if shown:
            result.counts.examples["contradictory"] = shown
        for batch, places in first:
            alone = [
                place
                for place in places
                if tuple(column[place] for column in batch.keys) not in contradictory
            ]
            if alone:
                yield batch.take(np.array(alone, dtype=np.intp))


def _write_all(
    writers: list[ImportWriter], batches: Iterator[VectorBatch], progress: Callable[[int], None]
) -> ImportCounts:
    """Write batches, several at once; the first error ends all."""
    waiting: queue.Queue[VectorBatch | None] = queue.Queue(maxsize=1)
    lock, counts, errors = threading.Lock(), ImportCounts(), list[BaseException]()
    done = 0

    def work(writer: ImportWriter) -> None:
        nonlocal done
        while (batch := waiting.get()) is not None:
            if errors:
                continue
            try:
                written = writer.write(batch)
            except BaseException as error:
                errors.append(error)
                continue
            with lock:
                counts.add(written)
                done += len(batch)
                progress(done)

    threads = [
        threading.Thread(target=work, args=(writer,), name="imgvec-import", daemon=True) for writer in writers
    ]
    for thread in threads:
        thread.start()
    try:
        for batch in batches:
            if errors:
                break
            if len(batch):
                waiting.put(batch)
    finally:
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return counts


def _unleased_jobs(connection: Connection, collection: Collection, *, of_changes: bool) -> list[int]:
    values = {"collection_id": collection.id, "of_changes": of_changes}
    return [int(row[0]) for row in connection.execute(load_sql("queries/unleased_jobs.sql"), values)]


def _put_queue_right(
    connection: Connection,
    collection: Collection,
    options: ImportOptions,
    queued: list[int],
    begun: datetime,
    result: Imported,
) -> None:
    """Take keys off the queue that have a vector now; of jobs that came since the start only a first fill's."""
    parts = collection.parts(vector_schema(connection))
    named = {**parts, "c_keys": collection.key_sql.columns("c")}
    take_off = render("collection/take_off_queue.sql", **bindable(named))
    first_fill = _unleased_jobs(connection, collection, of_changes=False)
    for ids, trusted in ((queued, options.takes_queued), (first_fill, False)):
        for start in range(0, len(ids), JOBS_AT_ONCE):
            values: dict[str, Any] = {
                "ids": ids[start : start + JOBS_AT_ONCE],
                "trusted": trusted,
                "since": begun,
            }
            with short_transaction(connection):
                read_like_triggers(connection, collection)
                connection.execute(
                    load_sql("queries/lock_collection_shared.sql"), {"collection_id": collection.id}
                )
                row = connection.execute(take_off, values).fetchone()
                result.taken_off_queue += int(row[0]) if row else 0
    with short_transaction(connection):
        read_like_triggers(connection, collection)
        connection.execute(
            load_sql("queries/lock_collection_exclusive.sql"), {"collection_id": collection.id}
        )
        connection.execute(render("collection/clear_failures_of_imported.sql", **bindable(parts)))
    row = connection.execute(
        "SELECT coalesce(sum(pg_catalog.jsonb_array_length(j.keys)), 0) FROM imgvec.job AS j WHERE j.collection_id = %s",
        [collection.id],
    ).fetchone()
    result.still_queued = int(row[0]) if row else 0
