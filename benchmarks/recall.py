"""HNSW recall@10 against exact search on 20,000 clustered vectors; prints their intrinsic dimension.

Usage: python benchmarks/recall.py [--rows 20000] [--queries 200]. Exit code 1 below recall 0.99. Queries are held out.
"""

import argparse
import shutil
import sys
import time

import numpy as np
import numpy.typing as npt
from generator import DIMENSIONS, copy_embeddings, describe, generate
from pgvector import HalfVector

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.spec import CollectionSpec

K, TARGET = 10, 0.99


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    stored, queries = generate(options.rows, options.queries)
    print(describe(stored))
    directory = make_temporary_directory("imgvec-recall-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server:
            return measure(server.dsn(), stored, queries)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(dsn: str, stored: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]) -> int:
    """Load, index, and compare near_* through the index with the exact order."""
    with connect(dsn, prepare_threshold=5) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
        connection.execute("INSERT INTO item SELECT g FROM generate_series(1, %s) g", [len(stored)])
        request = CollectionSpec("item", "item", ["picture"], "generated", DIMENSIONS, False)
        collection = create_collection(connection, request)
        copy_embeddings(connection, collection, stored)
        started = time.perf_counter()
        build_index(connection, collection)
        print(
            f"index built in {time.perf_counter() - started:.1f} s,"
            f" m {collection.m}, ef_construction {collection.ef_construction}"
        )
        connection.execute("ANALYZE imgvec.item_embedding")
        near = "SELECT id FROM imgvec.near_item(%s) ORDER BY distance LIMIT 10"
        exact = "SELECT id FROM imgvec.near_item(%s) ORDER BY distance + 0 LIMIT 10"
        plan = str(connection.execute("EXPLAIN " + near, [HalfVector(queries[0])]).fetchall())
        if "item_embedding_hnsw" not in plan:
            print("the plan does not use the index")
            return 1
        truth = [{row[0] for row in connection.execute(exact, [HalfVector(q)])} for q in queries]
        reached = 0.0
        print("ef_search  recall@10  ms (median)")
        for ef_search in (40, 80, 160):
            connection.execute(f"SET hnsw.ef_search = {ef_search}")
            found, times = [], []
            for query in queries:
                started = time.perf_counter()
                found.append({row[0] for row in connection.execute(near, [HalfVector(query)])})
                times.append(time.perf_counter() - started)
            recall = sum(len(a & b) for a, b in zip(found, truth, strict=True)) / K / len(queries)
            reached = max(reached, recall)
            print(f"{ef_search:9}  {recall:9.4f}  {1000 * float(np.median(times)):11.2f}")
    print(f"target recall@10 >= {TARGET}: {'reached' if reached >= TARGET else 'missed'}")
    return 0 if reached >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
