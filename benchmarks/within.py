"""Every row within a distance, `imgvec.within_<collection>`, with a radius index and without; what that index takes.

Run: python -m benchmarks.within [--rows N,N] [--questions N] [--rounds N]. Vectors: benchmarks/duplicates.py's "spectrum", 512
dimensions, and `generator.py`'s clusters, in PostgreSQL. "all rows": the function as it is without the index. Both answer the
same questions in turns; the rows must be the same, or the run ends with 1. Printed: medians of milliseconds in the server
(EXPLAIN ANALYZE's execution time) without and with parallel workers, the median of each question's ratio, and rows looked up a
question. Then, for the largest table: processor time of the server (schedstat of its process) for each row written by COPY,
updated and deleted, 1,000 in a statement, with the index's triggers and without in turns; for each row that
`imgvec index create --radius` stores; and bytes a row. The table is kept in benchmarks/results/within.txt.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from psycopg import sql

from benchmarks.duplicates import DIMENSIONS, Halves, make
from benchmarks.following_duplicates import embed, make_table, private_database
from imgvec_pg.database.connect import Connection, connect, pinned_search_path, vector_schema
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import create_radius_index, radius_index_state
from imgvec_pg.store.search_functions import render_function

DISTANCE = 0.05
WAYS = {"all rows": "within_all_rows", "radius index": "within_photo"}
WRITTEN = 1000


def make_both(connection: Connection, vectors: Halves) -> tuple[Collection, float]:
    """Store vectors, keep the function without the index under another name; returns seconds of the server's for the index."""
    collection = make_table(connection)
    embed(connection, range(len(vectors)), vectors, 1)
    connection.execute("VACUUM ANALYZE imgvec.photo_embedding")
    schema = vector_schema(connection)
    parts = {**collection.parts(schema), "within": sql.Identifier(WAYS["all rows"])}
    with pinned_search_path(connection):
        connection.execute(render_function("within", parts))
    began = server_seconds(connection)
    made = create_radius_index(connection, replace(collection, has_radius_index=False))
    taken = server_seconds(connection) - began
    connection.execute("VACUUM ANALYZE imgvec.photo_coordinates")
    return made, taken


def server_seconds(connection: Connection) -> float:
    """Return the processor time of the session's process."""
    schedstat = Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text(encoding="ascii")
    return int(schedstat.split()[0]) / 1e9


def measured(connection: Connection, statement: sql.Composed) -> tuple[float, int]:
    """Run a statement; return how many milliseconds its execution took in the server, and how many rows were looked up by key."""
    row = connection.execute(sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ") + statement).fetchone()
    assert row is not None
    return float(row[0][0]["Execution Time"]), looked_up(row[0][0]["Plan"])


def looked_up(node: dict[str, object]) -> int:
    """Return how many times a plan asked the table of vectors by key."""
    own = int(str(node.get("Actual Loops", 0))) if node.get("Index Name") == "photo_embedding_pkey" else 0
    below = node.get("Plans", [])
    assert isinstance(below, list)
    return own + sum(looked_up(child) for child in below)


def ask(connection: Connection, kind: str, vectors: Halves, questions: int) -> None:
    """Print the lines of one table."""
    asked = np.random.default_rng(5).choice(len(vectors), questions, replace=False)
    for workers in (0, 2):
        connection.execute(sql.SQL("SET max_parallel_workers_per_gather = {}").format(sql.Literal(workers)))
        times, counts = [], []
        for row in asked.tolist():
            query = sql.Literal(str(vectors[row].astype(float).tolist()))
            ways = [
                sql.SQL("SELECT w.id, w.distance FROM imgvec.{}({}::halfvec, {}) AS w").format(
                    sql.Identifier(name), query, sql.Literal(DISTANCE)
                )
                for name in WAYS.values()
            ]
            found = [sorted(connection.execute(way).fetchall()) for way in ways]
            if found[0] != found[1]:
                raise SystemExit(f"the rows differ: {len(found[0])} and {len(found[1])}")
            taken = [measured(connection, way) for way in ways]
            times.append([milliseconds for milliseconds, _ in taken])
            counts.append(taken[1][1])
        whole, narrow = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(one / other for one, other in times)
        print(
            f"{kind:<10}{len(vectors):>10,}{workers:>9}{whole:>10.2f}{narrow:>14.2f}{ratio:>8.1f}{statistics.mean(counts):>11,.1f}",
            flush=True,
        )


def write(connection: Connection, vectors: Halves, rounds: int) -> None:
    """Print processor time of the server a written row, with the triggers and without."""
    keys = list(range(len(vectors) + 1, len(vectors) + 1 + WRITTEN))
    chosen = vectors[:WRITTEN]
    steps: dict[str, Callable[[], object]] = {
        "COPY": lambda: embed(connection, keys, chosen, 2),
        "UPDATE": lambda: connection.execute(
            "UPDATE imgvec.photo_embedding AS e SET embedding = o.embedding FROM imgvec.photo_embedding AS o "
            "WHERE e.id = ANY (%s) AND o.id = e.id - %s",
            [keys, WRITTEN],
        ),
        "DELETE": lambda: connection.execute(
            "DELETE FROM imgvec.photo_embedding WHERE id = ANY (%s)", [keys]
        ),
    }
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for state in ("DISABLE", "ENABLE"):
            for event in ("insert", "update", "delete"):
                connection.execute(
                    sql.SQL("ALTER TABLE imgvec.photo_embedding {} TRIGGER {}").format(
                        sql.SQL(state), sql.Identifier(f"imgvec_coordinates_{event}")
                    )
                )
            for name, step in steps.items():
                began = server_seconds(connection)
                step()
                taken.setdefault((name, state), []).append(
                    (server_seconds(connection) - began) / WRITTEN * 1e6
                )
    print(
        f"\nserver's processor time, us a row, {WRITTEN:,} rows in a statement, medians of {rounds} in turns"
    )
    print(f"{'':<10}{'without':>10}{'with':>10}{'more':>8}{'ratio':>8}")
    for name in steps:
        without, with_index = (statistics.median(taken[name, state]) for state in ("DISABLE", "ENABLE"))
        print(
            f"{name:<10}{without:>10.1f}{with_index:>10.1f}{with_index - without:>8.1f}{with_index / without:>8.2f}"
        )


def measure(kind: str, sizes: Sequence[int], questions: int, rounds: int) -> None:
    """Print the lines of one kind of vectors."""
    for size in sizes:
        vectors = make(kind, size)
        with private_database() as dsn, connect(dsn) as connection:
            collection, seconds = make_both(connection, vectors)
            ask(connection, kind, vectors, questions)
            if kind == "spectrum" and size == max(sizes):
                state = radius_index_state(connection, collection)
                write(connection, vectors, rounds)
                cost = f"{seconds / size * 1e6:.1f} us of the server's a row; {state.bytes / size:.0f} bytes a row"
                print(f"\ncreate --radius: {cost}\n")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,3000,10000,100000")
    parser.add_argument("--questions", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    began = time.monotonic()
    print(
        f"distance {DISTANCE}, {DIMENSIONS} dimensions, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} at the start, medians of {arguments.questions} questions, ms"
    )
    print(
        f"{'vectors':<10}{'rows':>10}{'workers':>9}{'all rows':>10}{'radius index':>14}{'ratio':>8}{'looked up':>11}"
    )
    for kind in ("spectrum", "generator"):
        measure(
            kind, [int(size) for size in arguments.rows.split(",")], arguments.questions, arguments.rounds
        )
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
