"""`imgvec duplicates` again after 1 % of the rows are new: a run that follows against one that compares all rows.

Run: python -m benchmarks.following_duplicates [--rows N,N] [--rounds N]. Vectors: benchmarks/duplicates.py's "spectrum", 512
dimensions, 5 % of them near-duplicates, in PostgreSQL. Each round: 1 % of the rows are inserted, 0.1 % changed and 0.1 % deleted;
a run follows; its pairs and groups are kept; a full run compares all rows; both relations must be equal. Printed: medians of time
by the clock and of this process's processor time, and their ratio; the server's own time is in the clock's. The table is kept in
benchmarks/results/following_duplicates.txt.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from psycopg import sql

from benchmarks.duplicates import DIMENSIONS, Halves, make
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, FoundDuplicates, find_duplicates
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

RELATIONS = ("photo_duplicate_pair", "photo_duplicate_member")


def make_table(connection: Connection) -> Collection:
    """Make an empty source and its collection."""
    connection.execute("CREATE TABLE public.photo (id bigint PRIMARY KEY, file text)")
    spec = CollectionSpec(
        name="photo",
        source="public.photo",
        image=["file"],
        model=f"test/{DIMENSIONS}",
        dimensions=DIMENSIONS,
        has_text=False,
        root="/",
    )
    return create_collection(connection, spec)


def embed(connection: Connection, keys: Sequence[int], vectors: Halves, version: int) -> None:
    """Store vectors, as a worker would: binary, with the hash of a picture of their own; instead of what the keys had."""
    ids = list(keys)
    connection.execute("DELETE FROM imgvec.photo_embedding WHERE id = ANY (%s)", [ids])
    connection.execute(
        "INSERT INTO public.photo SELECT i, '' FROM unnest(%s::bigint[]) AS i ON CONFLICT DO NOTHING", [ids]
    )
    header = np.array([DIMENSIONS, 0], dtype=">i2").tobytes()
    with connection.cursor().copy(
        "COPY imgvec.photo_embedding (id, embedding, version, content_hash, precision) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int8", "bytea", "int8", "bytea", "text"])
        for key, vector in zip(ids, vectors.astype(">f2"), strict=True):
            copy.write_row(
                (
                    key,
                    header + vector.tobytes(),
                    version,
                    hashlib.sha256(b"%d %d" % (key, version)).digest(),
                    "fp16",
                )
            )


@contextmanager
def private_database() -> Iterator[str]:
    """Give a database of its own server with the schema in it."""
    directory = make_temporary_directory("imgvec-following-")
    try:
        with LocalServer(
            directory, settings={"fsync": "off", "shared_buffers": "1GB"}, die_with_parent=True
        ) as server:
            with connect(server.dsn()) as connection:
                upgrade(connection)
            yield server.dsn()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def contents(connection: Connection) -> list[object]:
    """Return a hash of each relation's rows."""
    return [
        connection.execute(
            sql.SQL(
                "SELECT count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM imgvec.{} AS r"
            ).format(sql.Identifier(name))
        ).fetchone()
        for name in RELATIONS
    ]


def timed(
    connection: Connection, collection: Collection, *, full: bool
) -> tuple[float, float, FoundDuplicates]:
    """Run once: seconds by the clock, and of this process's processors."""
    with connect(connection.info.dsn) as guard:
        clock, processor = time.perf_counter(), time.process_time()
        found = find_duplicates(connection, guard, collection, DuplicateSearch(full=full))
        return time.perf_counter() - clock, time.process_time() - processor, found


def measure(rows: int, rounds: int) -> None:
    """Print the medians for a table of this size."""
    more = rows // 100
    vectors: npt.NDArray[np.float16] = make("spectrum", rows + rounds * 2 * more)
    random = np.random.default_rng(3)
    vectors = vectors[random.permutation(len(vectors))]
    followed, full = [], []
    with private_database() as dsn, connect(dsn) as connection:
        collection = make_table(connection)
        embed(connection, range(rows), vectors[:rows], 1)
        connection.execute("ANALYZE imgvec.photo_embedding")
        timed(connection, collection, full=True)
        for turn in range(rounds):
            first = rows + turn * 2 * more
            embed(connection, range(first, first + more), vectors[first : first + more], 1)
            changed = random.choice(rows, rows // 1000, replace=False).tolist()
            embed(connection, changed, vectors[first + more : first + more + len(changed)], turn + 2)
            connection.execute(
                "DELETE FROM public.photo WHERE id = ANY (%s)", [random.choice(rows, rows // 1000).tolist()]
            )
            *seconds, found = timed(connection, collection, full=False)
            if found.gone is None:
                raise SystemExit("the run compared all rows")
            followed.append(seconds)
            kept = contents(connection)
            full.append(timed(connection, collection, full=True)[:2])
            if contents(connection) != kept:
                raise SystemExit("the relations differ")
    (clock, cpu), (all_clock, all_cpu) = (
        [statistics.median(column) for column in zip(*made, strict=True)] for made in (followed, full)
    )
    print(
        f"{rows:>10,}{clock:>12.2f}{all_clock:>10.2f}{clock / all_clock:>8.1%}"
        f"{cpu:>12.2f}{all_cpu:>10.2f}{cpu / all_cpu:>8.1%}   yes",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"threshold 0.95, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start, medians of {arguments.rounds}"
    )
    print(f"{'':>10}{'clock, s':>30}{'processor, s':>30}")
    print(f"{'rows':>10}{'following':>12}{'all':>10}{'':>8}{'following':>12}{'all':>10}{'':>8}  equal")
    for rows in map(int, arguments.rows.split(",")):
        measure(rows, arguments.rounds)


if __name__ == "__main__":
    main()
