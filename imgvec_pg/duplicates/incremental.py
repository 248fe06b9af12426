"""A following run: rows that are new or changed against all others, by coordinates kept and then exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.duplicates.keeper import KeepRule
from imgvec_pg.duplicates.only_run import StillOnly
from imgvec_pg.duplicates.pairs import Pairs, TooManyPairsError, find_pairs, similarities
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.duplicates.relations import (
    WrittenDuplicates,
    duplicate_parts,
    in_one_transaction,
    write_members,
)
from imgvec_pg.duplicates.run_state import (
    FETCHED_TOGETHER,
    Changes,
    RunState,
    TooManyChangesError,
    add_seen,
    read_changes,
    read_run,
    read_seen,
    write_run,
)
from imgvec_pg.duplicates.sketch import CrossSearch, add_rows
from imgvec_pg.duplicates.staging import StagedRow, distances_of, group_rows, stage
from imgvec_pg.duplicates.vector_rows import BASE_BYTES, halves, one_moment
from imgvec_pg.store.collection import Collection

Indices = npt.NDArray[np.intp]

MOST_CANDIDATES = 0.5
"""Rows whose vectors are fetched by key, as a share of all, above which all are read."""


@dataclass(frozen=True)
class Rows:
    """Rows by number: keys as JSON text, versions, hashes of the pictures' bytes, and when they were embedded, where needed."""

    keys: list[bytes]
    versions: list[int]
    content_hashes: list[bytes]
    times: list[int]

    def staged(self, row: int, group: int | None) -> StagedRow:
        """Return one row as `stage` takes it."""
        time = self.times[row] if self.times else None
        return row, self.keys[row].decode(), self.versions[row], self.content_hashes[row], time, group


@dataclass(frozen=True)
class FollowingRun:
    """What a run that compared only changes found.

    Attributes:
        rows: Rows that the relations are about now.
        new: Rows compared with all others.
        gone: Rows of the last run that are gone, changed or no longer meet the condition.
    """

    rows: int
    new: int
    gone: int
    skipped: int
    written: WrittenDuplicates


def follow_last_run(
    connection: Connection,
    collection: Collection,
    threshold: float,
    where: str | None,
    memory_bytes: int,
    max_pairs: int,
    rules: Sequence[KeepRule],
    linkage: str,
    not_embedded: int,
    still_only: StillOnly,
) -> FollowingRun | None:
    """Compare what is new or changed since the last run; None where there was none like this, or all must be compared anew.
    A higher threshold than the last run's is answered too: its pairs are among those found.

    Args:
        memory_bytes: What the process may take, about.
        linkage: As `groups.link` takes it; that of the last run may have been another.
        not_embedded: Rows queued or failed, to be noted.

    Raises:
        TooManyPairsError: More than `max_pairs` are near now. Nothing was changed.
        UsageError, DatabaseError: As `find_duplicates` raises them.
    """
    parts = duplicate_parts(collection, vector_schema(connection))
    last = read_run(connection, collection, parts)
    if last is None or last.condition != where or not _holds(last.threshold, threshold):
        return None
    if BASE_BYTES + last.next_number * last.sketch.row_bytes > memory_bytes:
        return None
    try:
        with one_moment(connection, collection, last.condition) as restriction:
            changes = read_changes(connection, collection, parts, last, restriction)
        sketch, coordinates = add_rows(last.sketch, changes.vectors)
        search = CrossSearch(sketch, coordinates, threshold)
        rows, pairs = _compare(connection, collection, parts, last, changes, search, threshold, max_pairs)
    except TooManyChangesError:
        return None
    count = last.row_count - len(changes.gone) + len(changes.keys)
    keep = [rule.shown for rule in rules]
    run = RunState(threshold, where, keep, linkage, count, last.next_number + len(changes.keys), sketch)

    def write(parts: dict[str, sql.Composable]) -> WrittenDuplicates:
        # At the last threshold nothing goes: below a half, 1 - distance is not quite the similarity that was compared.
        lowest = threshold if threshold > last.threshold else -1.0
        _change_pairs(connection, parts, changes, lowest)
        changed = _add_pairs(connection, parts, rows, pairs)
        written = replace(_group_again(connection, parts, rules, linkage), changed=changed)
        _refuse_more(written.pairs, max_pairs, threshold)
        add_seen(
            connection, parts, last.next_number, changes.keys, changes.versions, changes.times, coordinates
        )
        write_run(connection, parts, run, not_embedded)
        return written

    written = in_one_transaction(connection, collection, rules, write, still_only)
    return FollowingRun(count, len(changes.keys), len(changes.gone), pairs.skipped, written)


def _refuse_more(pairs: int, most: int, threshold: float) -> None:
    if pairs > most:
        raise TooManyPairsError(
            f"{pairs:,} pairs are within the threshold {threshold:g} now; expected at most {most:,}: raise the threshold, or "
            "--max-pairs"
        )


def _holds(last: float, threshold: float) -> bool:
    """Say whether the pairs at one threshold tell those at another: 1 - distance is the similarity itself only from 0.5 on."""
    return last == threshold or 0.5 <= last < threshold


def _compare(
    connection: Connection,
    collection: Collection,
    parts: dict[str, sql.Composable],
    last: RunState,
    changes: Changes,
    search: CrossSearch,
    threshold: float,
    max_pairs: int,
) -> tuple[Rows, Pairs]:
    """Return the pairs of changed rows, among each other and with rows seen; numbers of these follow those of the changed."""
    own = find_pairs(changes.vectors, threshold, max_pairs=max_pairs)
    gone = np.array(changes.gone, dtype=np.intp)
    first, numbers = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
    fetched: set[int] = set()
    answers = search.all_candidates(block for _, block in changes.blocks)
    for (start, _), (left, right) in zip(changes.blocks, answers, strict=True):
        still = ~np.isin(right + start, gone)
        first.append(left[still])
        numbers.append(right[still] + start)
        fetched.update(numbers[-1].tolist())
        if len(fetched) > max(FETCHED_TOGETHER, MOST_CANDIDATES * last.row_count):
            raise TooManyChangesError
    rows, vectors, place = _fetch(connection, collection, parts, sorted(fetched), changes)
    places = np.array([place.get(number, -1) for number in np.concatenate(numbers).tolist()], dtype=np.intp)
    one, other = np.concatenate(first)[places >= 0], places[places >= 0]
    values = similarities(vectors, one, other)
    near = values >= threshold
    return rows, Pairs(
        np.concatenate([own.first, one[near]]),
        np.concatenate([own.second, other[near]]),
        np.concatenate([own.similarities, values[near]]),
        own.skipped,
    )


def _fetch(
    connection: Connection,
    collection: Collection,
    parts: dict[str, sql.Composable],
    numbers: list[int],
    changes: Changes,
) -> tuple[Rows, Halves, dict[int, int]]:
    """Fetch rows seen by number, those that are still as they were: behind the changed rows, and where each number lies."""
    rows = Rows(
        list(changes.keys), changes.versions.tolist(), list(changes.content_hashes), changes.times.tolist()
    )
    place: dict[int, int] = {}
    vectors = bytearray()
    for number, key, version, content_hash, time, vector in read_seen(connection, parts, numbers):
        place[number] = len(rows.keys)
        rows.keys.append(key.encode())
        rows.versions.append(version)
        rows.content_hashes.append(content_hash)
        rows.times.append(time)
        vectors += vector
    return rows, np.concatenate([changes.vectors, halves(vectors, collection.dimensions)]), place


def _change_pairs(
    connection: Connection, parts: dict[str, sql.Composable], changes: Changes, lowest: float
) -> None:
    """Take away pairs of rows that went or changed, and those below a similarity."""
    values = {
        "gone": changes.gone,
        "keys": [key.decode() for key in changes.keys],
        "lowest": lowest,
    }
    connection.execute(render("collection/delete_changed_pairs.sql", **parts), values)


def _add_pairs(connection: Connection, parts: dict[str, sql.Composable], rows: Rows, pairs: Pairs) -> int:
    """Write new pairs; returns how many rows of them changed or went since they were read."""
    taking_part = np.unique(np.concatenate([pairs.first, pairs.second])).tolist()
    if not taking_part:
        return 0
    staged = (rows.staged(row, None) for row in taking_part)
    near = (pairs.first, pairs.second, distances_of(pairs.similarities))
    found = stage(connection, parts, staged, near)
    connection.execute(render("collection/insert_duplicates.sql", **parts))
    return len(taking_part) - found


def _group_again(
    connection: Connection, parts: dict[str, sql.Composable], rules: Sequence[KeepRule], linkage: str
) -> WrittenDuplicates:
    """Group the rows of all pairs anew, and choose keepers by the rules."""
    numbers: dict[bytes, int] = {}
    rows = Rows([], [], [], [])
    first, second, distances = [], [], []

    def number(key: bytes, version: bytes, content_hash: bytes) -> int:
        found = numbers.setdefault(key, len(numbers))
        if found == len(rows.keys):
            rows.keys.append(key)
            rows.versions.append(int.from_bytes(version, "big"))
            rows.content_hashes.append(content_hash)
        return found

    with connection.cursor().copy(render("collection/copy_pairs.sql", **parts)) as copy:
        for row in copy.rows():
            *both, distance = map(bytes, row)
            first.append(number(*both[:3]))
            second.append(number(*both[3:]))
            distances.append(distance)
    near = (
        np.array(first, dtype=np.intp),
        np.array(second, dtype=np.intp),
        np.frombuffer(b"".join(distances), dtype=">f8").astype(np.float64),
    )
    groups = group_rows(connection, rows.keys, rows.content_hashes, near, linkage)
    group_of = {row: group for group, members in enumerate(groups, 1) for row in members}
    staged = (rows.staged(row, group) for row, group in group_of.items())
    none = np.empty(0, dtype=np.intp)
    stage(connection, parts, staged, (none, none, np.empty(0)))
    members = write_members(connection, parts, rules)
    return WrittenDuplicates(len(first), len(groups), members, 0)
