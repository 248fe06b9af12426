"""Put rows and pairs by number into temporary tables, from which SQL makes pairs and groups of rows still as they were read."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.groups import link, without

Indices = npt.NDArray[np.intp]
Doubles = npt.NDArray[np.float64]
StagedRow = tuple[int, str, int, bytes, int | None, int | None]
"""Number, key as JSON text, version, hash of the picture's bytes, microseconds since 2000 at which it was embedded, and number of
a group. Without the time a row is known by version and hash, which an application's own vectors keep when they change."""


def stage(
    connection: Connection,
    parts: Mapping[str, sql.Composable],
    rows: Iterable[StagedRow],
    pairs: tuple[Indices, Indices, Doubles],
) -> int:
    """Within a transaction, fill pg_temp.imgvec_near and pg_temp.imgvec_row; returns how many rows are still as they were read.

    Args:
        pairs: Two numbers of rows each, and the distance.
    """
    connection.execute(load_sql("queries/duplicate_input.sql"))
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_seen (number, key_text, version, content_hash, microseconds, group_id) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "text", "int8", "bytea", "int8", "int4"])
        for row in rows:
            copy.write_row(row)
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_near (first, second, distance) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "int4", "float8"])
        for near in zip(*(numbers.tolist() for numbers in pairs), strict=True):
            copy.write_row(near)
    connection.execute(render("collection/duplicate_rows.sql", **parts))
    connection.execute(load_sql("queries/analyze_duplicate_input.sql"))
    found = connection.execute("SELECT count(*) FROM pg_temp.imgvec_row").fetchone()
    return int(found[0]) if found else 0


def group_rows(
    connection: Connection,
    keys: Sequence[bytes],
    hashes: Sequence[bytes],
    pairs: tuple[Indices, Indices, Doubles],
    linkage: str,
) -> list[list[int]]:
    """Group the rows of pairs that nobody decided against; the order of hashes and keys breaks ties, the same in each run.

    Args:
        keys, hashes: Of all rows, by number.
        pairs: Two numbers of rows each, and the distance.
        linkage: As `groups.link` takes it. What people decided to be no duplicates comes into no group, near others or not.
    """
    first, second, distances = pairs
    negative = {
        (bytes(a), bytes(b)) for a, b in connection.execute(load_sql("queries/negative_decisions.sql"))
    }
    both = zip(first.tolist(), second.tolist(), strict=True)
    kept = without(((hashes[a], hashes[b]) for a, b in both), negative)
    taking_part = np.unique(np.concatenate([first, second]))
    ranked = sorted(taking_part.tolist(), key=lambda row: (hashes[row], keys[row]))
    rank = np.empty(len(keys), dtype=np.intp)
    rank[ranked] = np.arange(len(ranked))
    one, other = rank[first[kept]], rank[second[kept]]
    contents = [hashes[row] for row in ranked]
    near = np.minimum(one, other), np.maximum(one, other), -distances[kept]
    groups = link(*near, linkage, contents, negative)
    return [[ranked[number] for number in group] for group in groups]


def distances_of(similarities: Doubles) -> Doubles:
    """Return cosine distances: what is stored and grouped by, so that a run which reads pairs again groups them alike."""
    return np.maximum(1 - similarities, 0.0)
