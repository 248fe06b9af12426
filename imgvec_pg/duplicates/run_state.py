"""What a run leaves for the next: which rows it has compared, at which version, and coordinates to compare new rows by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.duplicates.sketch import BLOCK_ROWS, Sketch
from imgvec_pg.store.collection import Collection

Parts = Mapping[str, sql.Composable]


@dataclass(frozen=True)
class RunState:
    """The last run of a collection.

    Attributes:
        condition: --where.
        keep: Rules that chose keepers, as `keep_rules` takes them.
        row_count: Rows compared.
        next_number: Numbers below it were given to rows, of which some are gone.
    """

    threshold: float
    condition: str | None
    keep: list[str]
    row_count: int
    next_number: int
    sketch: Sketch


def read_run(connection: Connection, collection: Collection, parts: Parts) -> RunState | None:
    """Return the last run, or None where there was none."""
    row = connection.cursor(binary=True).execute(render("collection/read_run.sql", **parts)).fetchone()
    if row is None:
        return None
    threshold, condition, keep, row_count, next_number, axes, largest = row
    return RunState(
        threshold,
        condition,
        keep,
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
