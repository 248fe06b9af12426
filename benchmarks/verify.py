"""What a look at a large collection costs: `imgvec verify`, the views, a worker's look at its queue.

Run: python benchmarks/verify.py [--rows N] [--rounds N]; PostgreSQL is a private one. Counting the embeddings is there
to compare machines by. The table printed is kept in benchmarks/results/verify.txt.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.queue.queue_stats import read_queue_state
from imgvec_pg.store.spec import CollectionSpec

DIMENSIONS = 512
# Each row has a unit vector of its own; the hash is that of its reference, as a worker would have written it.
FILL = f"""
    INSERT INTO imgvec.photo_embedding (id, embedding, version, content_hash, precision, reference_hash)
    SELECT p.id, l2_normalize(ARRAY(SELECT sin(p.id * i)::real FROM generate_series(1, {DIMENSIONS}) AS i)::vector)::halfvec,
           1, '', 'fp32', sha256(convert_to(ROW(p.file::text)::text, 'UTF8'))
    FROM shop.photo AS p
"""


def make_collection(connection: Connection, rows: int) -> Collection:
    """Make a table and a collection over it, all of it embedded but a tenth, which is queued."""
    upgrade(connection)
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    request = CollectionSpec(
        name="photo",
        source="shop.photo",
        image=["file"],
        model="benchmark",
        dimensions=DIMENSIONS,
        has_text=False,
        root="/",
    )
    collection = create_collection(connection, request)
    connection.execute(
        "INSERT INTO shop.photo SELECT i, 'folder/' || i || '.jpg' FROM generate_series(1, %s) AS i", [rows]
    )
    connection.execute("DELETE FROM imgvec.job")
    connection.execute(FILL)
    connection.execute("UPDATE shop.photo SET file = file || '2' WHERE id %% 10 = 0", [])
    connection.execute("VACUUM ANALYZE")
    return collection


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median duration."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def report(connection: Connection, collection: Collection, rows: int, rounds: int) -> None:
    """Time each and print a table."""
    found = verify_collection(connection, collection)
    assert (found.differences, found.source_rows, found.queued) == ({}, rows, rows // 10)
    status = "SELECT * FROM imgvec.status"
    works: dict[str, Callable[[], object]] = {
        "count of the embeddings": lambda: connection.execute("SELECT count(*) FROM imgvec.photo_embedding"),
        "imgvec verify": lambda: verify_collection(connection, collection),
        "SELECT * FROM imgvec.status": lambda: connection.execute(status),
        "a worker's look at its queue": lambda: read_queue_state(connection, collection.id),
    }
    row = connection.execute("SELECT current_setting('server_version')").fetchone()
    load = os.getloadavg()[0]
    print(
        f"PostgreSQL {row and row[0]}, {rows:,} rows x {DIMENSIONS}, median of {rounds}, load {load:.1f}, {os.cpu_count()} cores"
    )
    for name, work in works.items():
        taken = seconds(work, rounds)
        print(f"{name:<32}{taken * 1000:>10.1f} ms{taken / rows * 1e6:>8.2f} µs a row")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-benchmark-")
    try:
        with (
            LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server,
            connect(server.dsn()) as connection,
        ):
            report(connection, make_collection(connection, options.rows), options.rows, options.rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
