"""Compare rows of one collection with all rows of another: by coordinates that its last run keeps, or by all its vectors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.duplicates.pairs import TooManyPairsError, similarities
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.duplicates.relations import duplicate_parts, may_write_relations
from imgvec_pg.duplicates.run_state import (
    FETCHED_TOGETHER,
    TooManyChangesError,
    read_changes,
    read_run,
    read_seen,
)
from imgvec_pg.duplicates.sketch import BLOCK_ROWS, CrossSearch, Sketch, add_rows, make_sketch
from imgvec_pg.duplicates.staging import StagedRow
from imgvec_pg.duplicates.vector_rows import HEADER_BYTES, VectorRows, halves, one_moment
from imgvec_pg.store.collection import Collection

Indices = npt.NDArray[np.intp]
Head = tuple[str, int, bytes, int]
"""Key as JSON text, version, hash of the picture's bytes, and microseconds since 2000 at which it was embedded."""
MOST_CANDIDATES = 0.5
"""Rows whose vectors are fetched by number, as a share of all, above which all are read."""


@dataclass(frozen=True)
class Across:
    """Pairs of rows of one collection and another.

    Attributes:
        first: Numbers of rows of the one.
        second: Places in `others`.
        others: Rows of the other that are in pairs, as `stage` takes them.
        compared: Rows of the other.
        read: Those whose vectors were read; of the others coordinates proved that they are near none.
    """

    first: Indices
    second: Indices
    similarities: npt.NDArray[np.float64]
    others: list[StagedRow]
    compared: int
    read: int


def compare_across(
    connection: Connection,
    other: Collection,
    rows: VectorRows,
    threshold: float,
    max_pairs: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> Across:
    """Compare rows with all of another collection, of one moment.

    Where the other has a run, coordinates that it keeps tell which rows may be near, and only the vectors of those are read,
    and of rows that came since. The pairs are the same.

    Raises:
        TooManyPairsError: More than `max_pairs` are near.
    """
    found = _by_coordinates(connection, other, rows, threshold, max_pairs, progress)
    return found or _by_vectors(connection, other, rows, threshold, max_pairs, progress)


def _by_vectors(
    connection: Connection,
    other: Collection,
    rows: VectorRows,
    threshold: float,
    max_pairs: int,
    progress: Callable[[int], None],
) -> Across:
    """Read the other block by block."""
    own, coordinates = make_sketch(rows.vectors)
    # Vectors have norm 1, up to the rounding of halves: so far from the centre they lie at most.
    furthest = 1.001 + float(np.linalg.norm(own.axes.centre))
    sketch = Sketch(own.axes, furthest**2)
    search = CrossSearch(sketch, coordinates, threshold)
    across = _Pairs(rows, threshold, max_pairs, other.name)
    compared = 0
    for heads, vectors in _blocks(connection, other):
        left, right = search.candidates(add_rows(sketch, vectors)[1])
        compared += len(heads)
        across.add(left, right, heads, vectors, compared)
        progress(compared)
    return across.found(compared, compared)


def _by_coordinates(
    connection: Connection,
    other: Collection,
    rows: VectorRows,
    threshold: float,
    max_pairs: int,
    progress: Callable[[int], None],
) -> Across | None:
    """Ask the coordinates that the other's last run keeps; None where there is none, or reading all vectors costs less."""
    if not may_write_relations(connection, other):
        return None
    parts = duplicate_parts(other, vector_schema(connection))
    with one_moment(connection, other, None) as restriction:
        last = read_run(connection, other, parts)
        # What --memory leaves is told as of one row.
        memory = rows.bytes_of_coordinates * max(len(rows.keys), 1)
        if last is None or last.next_number * last.sketch.row_bytes > memory:
            return None
        try:
            changes = read_changes(connection, other, parts, last, restriction, all_blocks=True)
        except TooManyChangesError:
            return None
        sketch, own = add_rows(last.sketch, rows.vectors)
        sketch, fresh = add_rows(sketch, changes.vectors)
        search = CrossSearch(sketch, own, threshold)
        across = _Pairs(rows, threshold, max_pairs, other.name)
        heads = [
            (key.decode(), version, content_hash, time)
            for key, version, content_hash, time in zip(
                changes.keys,
                changes.versions.tolist(),
                changes.content_hashes,
                changes.times.tolist(),
                strict=True,
            )
        ]
        compared = read = len(heads)
        if heads:
            across.add(*search.candidates(fresh), heads, changes.vectors, compared)
        for start, block in changes.blocks:
            left, right = search.candidates(block)
            numbers, places = np.unique(right, return_inverse=True)
            read += len(numbers)
            if read > max(FETCHED_TOGETHER, MOST_CANDIDATES * last.row_count):
                return None
            compared += len(block)
            _add_seen(connection, parts, across, left, (numbers + start, places), compared)
            progress(compared)
    # Blocks hold coordinates of rows that are gone, too.
    return across.found(last.row_count - len(changes.gone) + len(heads), read)


def _add_seen(
    connection: Connection,
    parts: dict[str, sql.Composable],
    across: "_Pairs",
    left: Indices,
    right: tuple[Indices, Indices],
    compared: int,
) -> None:
    """Fetch rows by number, and compare those that are as the run saw them.

    Args:
        right: Numbers, ascending, and of each candidate the place among them.
    """
    numbers, places = right
    if not len(numbers):
        return
    heads: list[Head] = []
    vectors = bytearray()
    place = np.full(len(numbers), -1, dtype=np.intp)
    for number, key, version, content_hash, time, vector in read_seen(connection, parts, numbers.tolist()):
        place[np.searchsorted(numbers, number)] = len(heads)
        heads.append((key, version, content_hash, time))
        vectors += vector
    still = place[places] >= 0
    if heads:
        dimensions = len(vectors) // (2 * len(heads))
        across.add(left[still], place[places][still], heads, halves(vectors, dimensions), compared)


class _Pairs:
    """Pairs found so far."""

    def __init__(self, rows: VectorRows, threshold: float, max_pairs: int, other_name: str) -> None:
        """Begin with none."""
        self._rows, self._threshold = rows, threshold
        self._max_pairs, self._other_name = max_pairs, other_name
        self._parts = [(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0))]
        self._others: list[StagedRow] = []
        self._count = 0

    def add(
        self, left: Indices, right: Indices, heads: Sequence[Head], vectors: Halves, compared: int
    ) -> None:
        """Compare candidates, rows `left` with places `right` among the other's rows, by their vectors.

        Raises:
            TooManyPairsError: More than allowed are near by now.
        """
        taking_part = np.unique(left)
        both = np.concatenate([self._rows.vectors[taking_part], vectors])
        values = similarities(both, np.searchsorted(taking_part, left), len(taking_part) + right)
        near = values >= self._threshold
        places, second = np.unique(right[near], return_inverse=True)
        first_number = len(self._others)
        self._parts.append((left[near], second + first_number, values[near]))
        self._others += [
            (first_number + place, *heads[row], None) for place, row in enumerate(places.tolist())
        ]
        self._count += int(near.sum())
        if self._count > self._max_pairs:
            raise TooManyPairsError(
                f"{self._count:,} pairs are within the threshold {self._threshold:g} after {compared:,} rows of "
                f"{self._other_name}; expected at most {self._max_pairs:,}: raise the threshold, or --max-pairs"
            )

    def found(self, compared: int, read: int) -> Across:
        """Return all."""
        first, second, values = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        return Across(first, second, values, self._others, compared, read)


def _blocks(connection: Connection, other: Collection) -> Iterator[tuple[list[Head], Halves]]:
    """Give keys, versions and hashes, and vectors, of many rows at a time."""
    heads: list[Head] = []
    vectors = bytearray()
    with one_moment(connection, other, None) as restriction:
        parts = other.parts(vector_schema(connection))
        with connection.cursor().copy(
            render("collection/copy_vectors.sql", **parts, restriction=restriction)
        ) as copy:
            for key, version, content_hash, time, vector in copy.rows():
                heads.append(
                    (
                        bytes(key).decode(),
                        int.from_bytes(bytes(version), "big"),
                        bytes(content_hash),
                        int.from_bytes(bytes(time), "big", signed=True),
                    )
                )
                vectors += bytes(vector)[HEADER_BYTES:]
                if len(heads) == BLOCK_ROWS:
                    yield heads, halves(vectors, other.dimensions)
                    heads, vectors = [], bytearray()
    if heads:
        yield heads, halves(vectors, other.dimensions)
