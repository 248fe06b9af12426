"""What a run leaves for the next: which rows it has compared, at which version, and coordinates to compare new rows by."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.duplicates.sketch import BLOCK_ROWS, Sketch
from imgvec_pg.duplicates.vector_rows import HEADER_BYTES, halves, whole_numbers
from imgvec_pg.store.collection import Collection

Parts = Mapping[str, sql.Composable]
FETCHED_TOGETHER = 5000
MOST_NEW = 0.1
"""Share of new rows, and of numbers whose rows are gone, above which all rows are compared anew: it costs less then."""
FEWEST_NEW = 1000
"""So many new rows are compared with all others however few those are."""


@dataclass(frozen=True)
class RunState:
    """The last run of a collection.

    Attributes:
        condition: --where.
        keep: Rules that chose keepers, as `keep_rules` takes them.
        linkage: How rows were grouped, as `groups.link` takes it.
        row_count: Rows compared.
        next_number: Numbers below it were given to rows, of which some are gone.
    """

    threshold: float
    condition: str | None
    keep: list[str]
    linkage: str
    row_count: int
    next_number: int
    sketch: Sketch


def read_run(connection: Connection, collection: Collection, parts: Parts) -> RunState | None:
    """Return the last run, or None where there was none."""
    row = connection.cursor(binary=True).execute(render("collection/read_run.sql", **parts)).fetchone()
    if row is None:
        return None
    threshold, condition, keep, linkage, row_count, next_number, axes, largest = row
    return RunState(
        threshold,
        condition,
        keep,
        linkage,
        row_count,
        next_number,
        Sketch.from_bytes(bytes(axes), collection.dimensions, largest),
    )


def write_run(connection: Connection, parts: Parts, run: RunState, not_embedded: int) -> None:
    """Write a run instead of the last, within its transaction."""
    values = {
        "threshold": run.threshold,
        "condition": run.condition,
        "keep": run.keep,
        "linkage": run.linkage,
        "row_count": run.row_count,
        "next_number": run.next_number,
        "not_embedded": not_embedded,
        "axes": run.sketch.to_bytes(),
        "largest_square": run.sketch.largest_square,
    }
    connection.execute(render("collection/write_run.sql", **parts), values)


def add_seen(
    connection: Connection,
    parts: Parts,
    first_number: int,
    keys: Sequence[bytes],
    versions: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    coordinates: Halves,
) -> None:
    """Note rows as compared, numbered from `first_number` on, and their coordinates, within a run's transaction."""
    if not keys:
        return
    connection.execute(load_sql("collection/seen_input.sql"))
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_compared (number, key_text, version, microseconds) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "text", "int8", "int8"])
        rows: Iterable[tuple[bytes, int, int]] = zip(keys, versions.tolist(), times.tolist(), strict=True)
        for number, (key, version, time) in enumerate(rows, first_number):
            copy.write_row((number, key.decode(), version, time))
    connection.execute(render("collection/insert_seen.sql", **parts))
    statement = render("collection/insert_block.sql", **parts)
    for start in range(0, len(keys), BLOCK_ROWS):
        block = coordinates[start : start + BLOCK_ROWS].astype("<f2").tobytes()
        connection.execute(statement, {"number": first_number + start, "coordinates": block})


def read_blocks(connection: Connection, parts: Parts, width: int) -> list[tuple[int, Halves]]:
    """Return the coordinates of rows seen, block by block, with the number of each block's first row."""
    blocks = []
    with connection.cursor().copy(render("collection/copy_blocks.sql", **parts)) as copy:
        for number, coordinates in copy.rows():
            block = np.frombuffer(bytes(coordinates), dtype="<f2").reshape(-1, width)
            blocks.append((int.from_bytes(bytes(number), "big"), block))
    return blocks


def read_seen(
    connection: Connection, parts: Parts, numbers: Sequence[int]
) -> Iterator[tuple[int, str, int, bytes, int, bytes]]:
    """Give rows seen that are still as they were: number, key as JSON text, version, hash, time, and vector as it is sent."""
    statement = render("collection/read_seen.sql", **parts)
    for start in range(0, len(numbers), FETCHED_TOGETHER):
        wanted = {"numbers": numbers[start : start + FETCHED_TOGETHER]}
        found = connection.cursor(binary=True).execute(statement, wanted)
        for number, key, version, content_hash, time, vector in found:
            yield number, key, version, bytes(content_hash), time, bytes(vector)[HEADER_BYTES:]


class TooManyChangesError(Exception):
    """Comparing all rows costs less."""


@dataclass(frozen=True)
class Changes:
    """What the last run has not seen.

    Attributes:
        gone: Numbers of rows that are gone or changed.
        vectors: Of rows that are new or changed, shape (n, d).
        blocks: Coordinates of the rows seen, with the number of each block's first.
    """

    gone: list[int]
    keys: list[bytes]
    versions: npt.NDArray[np.int64]
    content_hashes: list[bytes]
    times: npt.NDArray[np.int64]
    vectors: Halves
    blocks: list[tuple[int, Halves]]


def read_changes(
    connection: Connection,
    collection: Collection,
    parts: dict[str, sql.Composable],
    last: RunState,
    restriction: sql.Composable,
    *,
    all_blocks: bool = False,
) -> Changes:
    """Read, within a snapshot, what a run has not seen of the rows that meet a restriction.

    Args:
        restriction: As `vector_rows.one_moment` gives it.
        all_blocks: Whether to read the coordinates even where nothing is new.

    Raises:
        TooManyChangesError: Too much is new, or gone.
    """
    most = max(FEWEST_NEW, int(MOST_NEW * last.row_count))
    gone: list[int] = []
    keys: list[bytes] = []
    versions, hashes, times = [], [], []
    vectors = bytearray()
    statement = render("collection/copy_changes.sql", **parts, restriction=restriction)
    with connection.cursor().copy(statement) as copy:
        for number, key, version, content_hash, time, vector in copy.rows():
            if number is not None:
                gone.append(int.from_bytes(bytes(number), "big"))
                continue
            keys.append(bytes(key))
            versions.append(bytes(version))
            hashes.append(bytes(content_hash))
            times.append(bytes(time))
            vectors += bytes(vector)[HEADER_BYTES:]
            if len(keys) > most:
                raise TooManyChangesError
    given = last.next_number + len(keys)
    if given - (last.row_count - len(gone) + len(keys)) > max(FEWEST_NEW, MOST_NEW * given):
        raise TooManyChangesError
    return Changes(
        gone,
        keys,
        whole_numbers(versions),
        hashes,
        whole_numbers(times),
        halves(vectors, collection.dimensions),
        read_blocks(connection, parts, last.sketch.width) if keys or all_blocks else [],
    )
