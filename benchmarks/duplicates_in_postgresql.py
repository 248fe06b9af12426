"""`imgvec duplicates` from table to relation, and pgvector alone beside it: a LATERAL over HNSW for each row.

Run: python -m benchmarks.duplicates_in_postgresql [--rows N] [--ways exact,fast,lateral] [--memory SIZE] [--asked N]

A server of its own, without fsync; the vectors are "spectrum" of benchmarks/duplicates.py (512 dimensions, 5 % planted),
threshold 0.95. Each way is a process of its own: CPU seconds and largest resident memory are that process's, seconds by the
clock have the server's work in them. "lateral" asks, for --asked rows of all, for the 10 nearest within the distance (halfvec
index, m 16, ef_construction 64, ef_search 40 and 100), without building the index; its seconds for all rows are those of the
rows asked, times the share; its recall is that of pairs with the rows asked, against `exact`. The table is kept in
benchmarks/results/duplicates_in_postgresql.txt.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.duplicates import DIMENSIONS, make
from benchmarks.generator import copy_embeddings
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

THRESHOLD = 0.95
NEAREST = """
SELECT least(e.id, n.id), greatest(e.id, n.id)
FROM imgvec.item_embedding AS e CROSS JOIN LATERAL (
    SELECT o.id, o.embedding <=> e.embedding AS distance FROM imgvec.item_embedding AS o
    ORDER BY o.embedding <=> e.embedding LIMIT 10
) AS n
WHERE e.id %% %s = 0 AND n.id <> e.id AND n.distance <= %s
"""


def fill(connection: Connection, rows: int) -> None:
    """Make the table and its vectors."""
    migrations.upgrade(connection)
    connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
    connection.execute("INSERT INTO item SELECT g FROM generate_series(1, %s) g", [rows])
    request = CollectionSpec("item", "item", ["picture"], "generated", DIMENSIONS, False)
    collection = create_collection(connection, request)
    copy_embeddings(connection, collection, make("spectrum", rows))
    connection.execute("VACUUM ANALYZE imgvec.item_embedding")


def command(dsn: str, fast: bool, memory: str) -> dict[str, float]:
    """Run the command, and return what it took."""
    began = time.perf_counter()
    arguments = ["duplicates", "item", "--threshold", str(THRESHOLD), "--memory", memory, "--json"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgvec_pg", *arguments, "--dsn", dsn, *(["--fast"] if fast else [])],
            stdout=output,
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"imgvec duplicates ended with {status}")
        output.seek(0)
        found = json.load(output)
    return {
        "cpu": used.ru_utime + used.ru_stime,
        "clock": time.perf_counter() - began,
        "memory": used.ru_maxrss / 1024,
        "pairs": found["pairs"],
        "recall": found["recall"],
    }


def lateral(connection: Connection, rows: int, asked: int, pairs: set[tuple[int, int]]) -> None:
    """Print what asking the index for each row takes, and what it finds."""
    every = max(1, rows // asked)
    began = time.perf_counter()
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("SET max_parallel_maintenance_workers = 1")
    connection.execute(
        "CREATE INDEX ON imgvec.item_embedding USING hnsw (embedding halfvec_cosine_ops)"
        " WITH (m = 16, ef_construction = 64)"
    )
    print(f"building the index: {time.perf_counter() - began:.0f} s by the clock", flush=True)
    connection.execute("SET enable_seqscan = off")
    wanted = {pair for pair in pairs if pair[0] % every == 0 or pair[1] % every == 0}
    for ef_search in (40, 100):
        connection.execute(f"SET hnsw.ef_search = {ef_search}")
        connection.execute(NEAREST, [rows, 1 - THRESHOLD])
        began = time.perf_counter()
        found: set[Any] = set(connection.execute(NEAREST, [every, 1 - THRESHOLD]).fetchall())
        seconds = (time.perf_counter() - began) * every
        recall = len(found & wanted) / max(len(wanted), 1)
        way = f"lateral {ef_search}"
        print(
            f"{rows:>10,}  {way:<12}{'':>9}{seconds:>9.1f}{'':>8}{len(found):>9,}{recall:>9.3f}", flush=True
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--ways", default="exact,fast,lateral")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--asked", type=int, default=2000)
    parser.add_argument("--fill", metavar="DSN", help="only make the table there")
    options = parser.parse_args()
    if options.fill:
        with connect(options.fill) as connection:
            fill(connection, options.rows)
        return
    directory = make_temporary_directory("imgvec-duplicates-")
    settings = {"fsync": "off", "shared_buffers": "1GB", "max_wal_size": "256MB", "wal_level": "minimal"}
    settings |= {"max_wal_senders": "0", "autovacuum": "off"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            # By another process: a child's largest memory begins with that of whoever started it.
            filling = [sys.executable, "-m", "benchmarks.duplicates_in_postgresql", "--fill", server.dsn()]
            subprocess.run([*filling, "--rows", str(options.rows)], check=True)
            print(f"load {os.getloadavg()[0]:.1f} at the start, --memory {options.memory}")
            print(f"{'rows':>10}  {'way':<12}{'CPU s':>9}{'clock s':>9}{'MB':>8}{'pairs':>9}{'recall':>9}")
            for way in options.ways.split(","):
                if way == "lateral":
                    with connect(server.dsn()) as connection:
                        found = connection.execute(
                            "SELECT id, other_id FROM imgvec.duplicate_item"
                        ).fetchall()
                        lateral(connection, options.rows, options.asked, set(found))
                    continue
                took = command(server.dsn(), way == "fast", options.memory)
                print(
                    f"{options.rows:>10,}  {way:<12}{took['cpu']:>9.1f}{took['clock']:>9.1f}{took['memory']:>8.0f}"
                    f"{took['pairs']:>9,}{took['recall'] or 0:>9.3f}",
                    flush=True,
                )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
