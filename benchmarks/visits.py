"""What a scan of the HNSW index costs beside comparing rows one by one, by the size of the collection.

The figures behind imgvec_pg/database/scan_costs.py, which needs only their proportions.

Usage: python benchmarks/visits.py [--rows 10000,100000,1000000] [--server DIR, kept for the next run]. Each query and each set of
keys is asked once, so that nothing but what searches share is in the processor's caches; medians of the server's own times.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from generator import Vectors
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from searching.shop import imagine, open_shop

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

CANDIDATES = (20, 40, 100, 200, 400, 1000)
KEYS = (30, 100, 300, 1000, 3000)
EACH = 40


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="10000,100000")
    parser.add_argument("--server", type=Path)
    options = parser.parse_args()
    directory = options.server or make_temporary_directory("imgvec-visits-")
    settings = {"fsync": "off", "shared_buffers": "4GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            for rows in sorted(map(int, options.rows.split(","))):
                shop = imagine(rows)
                with open_shop(server, shop) as connection:
                    register_vector(connection)
                    report(connection, shop.queries, rows)
    finally:
        if options.server is None:
            shutil.rmtree(directory, ignore_errors=True)


def report(connection: Connection, queries: Vectors, rows: int) -> None:
    """Time scans by their candidates and comparisons by their keys, and print both with what one costs."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    for relation in ("item_embedding", "item_embedding_hnsw", "item_embedding_pkey"):
        connection.execute("SELECT pg_prewarm(%s::regclass)", [f"imgvec.{relation}"])
    row = connection.execute("SELECT pg_relation_size('imgvec.item_embedding')").fetchone()
    print(f"{rows:,} rows, {row[0] / 2**20 if row else 0:,.0f} MiB of embeddings")
    connection.execute("SET enable_sort = off; SET enable_seqscan = off")
    scans = [scan(connection, queries, candidates) for candidates in CANDIDATES]
    connection.execute("RESET enable_sort; RESET enable_seqscan")
    slope, start = np.polyfit(CANDIDATES, scans, 1)
    for candidates, ms in zip(CANDIDATES, scans, strict=True):
        print(f"  {candidates:5} candidates {ms:8.3f} ms")
    print(f"  a scan: {1000 * start:.0f} us and {1000 * slope:.1f} us a candidate")
    random = np.random.default_rng(2)
    for count in KEYS:
        ms = compare(connection, queries, rows, count, random)
        print(f"  {count:5} keys       {ms:8.3f} ms, {1000 * ms / count:.2f} us a key", flush=True)


def scan(connection: Connection, queries: Vectors, candidates: int) -> float:
    """Return the milliseconds of a scan for so many candidates."""
    connection.execute("SELECT set_config('hnsw.ef_search', %s, false)", [str(candidates)])
    statement = f"SELECT id FROM imgvec.item_embedding ORDER BY embedding <=> %s LIMIT {candidates}"
    return float(np.median([execution(connection, statement, query) for query in queries[: 3 * EACH]]))


def compare(
    connection: Connection, queries: Vectors, rows: int, count: int, random: np.random.Generator
) -> float:
    """Return the milliseconds of comparing so many random rows by their keys."""
    times = []
    for query in queries[:EACH]:
        keys = ",".join(map(str, random.choice(rows, count, replace=False) + 1))
        statement = (
            f"SELECT id FROM imgvec.item_embedding WHERE id = ANY ('{{{keys}}}')"
            " ORDER BY (embedding <=> %s) + 0 LIMIT 10"
        )
        times.append(execution(connection, statement, query))
    return float(np.median(times))


def execution(connection: Connection, statement: str, query: Vectors) -> float:
    """Run a statement and return the server's time without planning, in milliseconds."""
    explained = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement
    row = connection.execute(explained, [HalfVector(query)], prepare=False).fetchone()  # type: ignore[arg-type]
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return float(plan[0]["Execution Time"])


if __name__ == "__main__":
    main()
