"""HNSW recall@10 against exact search on 20,000 clustered vectors; prints their intrinsic dimension.

Usage: python benchmarks/recall.py [--rows 20000] [--queries 200]. Exit code 1 below recall 0.99.

The generator: 400 cluster centres drawn from a 24-dimensional Gaussian, each row a centre plus Gaussian noise of a third of
its scale, turned into 512 dimensions by a random rotation, plus isotropic noise of a hundredth; norm 1;
seed 7. Queries are held out.
"""

import argparse
import shutil
import sys
import time

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.database.localserver import LocalServer
from imgvec_pg.database.unprivileged import make_temporary_directory
from imgvec_pg.store.collections import CollectionRequest, create_collection
from imgvec_pg.store.indexes import build_index

DIMENSIONS, INNER, CENTRES, K, TARGET = 512, 24, 400, 10, 0.99


def generate(rows: int) -> npt.NDArray[np.float32]:
    """Return `rows` unit vectors, shape (rows, 512)."""
    random = np.random.default_rng(7)
    centres = random.normal(size=(CENTRES, INNER))
    inner = centres[random.integers(CENTRES, size=rows)] + random.normal(size=(rows, INNER)) / 3
    rotation = np.linalg.qr(random.normal(size=(DIMENSIONS, INNER)))[0]
    vectors = inner @ rotation.T + random.normal(size=(rows, DIMENSIONS)) / 100
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def intrinsic_dimension(vectors: npt.NDArray[np.float32], sample: int = 1000) -> float:
    """Two-nearest-neighbours estimate (Facco et al. 2017, Scientific Reports 7:12140) over a sample."""
    similarity = vectors[:sample] @ vectors.T
    np.put_along_axis(similarity, np.arange(sample)[:, None], -2.0, axis=1)
    nearest = np.sort(similarity, axis=1)[:, -2:][:, ::-1]
    first, second = np.sqrt(np.maximum(2 - 2 * nearest, 1e-12)).T
    return float(sample / np.log(second / first).sum())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    vectors = generate(options.rows + options.queries)
    stored, queries = vectors[: options.rows], vectors[options.rows :]
    print(
        f"rows {options.rows}, dimensions {DIMENSIONS}, intrinsic dimension {intrinsic_dimension(stored):.1f} (2NN)"
    )
    directory = make_temporary_directory("imgvec-recall-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server:
            return measure(server.dsn(), stored, queries)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(dsn: str, stored: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]) -> int:
    """Load, index, and compare near_* through the index with the exact order."""
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
        connection.execute("INSERT INTO item SELECT g FROM generate_series(1, %s) g", [len(stored)])
        request = CollectionRequest("item", "item", ["picture"], "generated", DIMENSIONS, False)
        collection = create_collection(connection, request)
        register_vector(connection)
        with connection.cursor().copy(
            "COPY imgvec.item_embedding (id, embedding, version, content_hash, precision) FROM STDIN BINARY"
        ) as copy:
            copy.set_types(["int8", "halfvec", "int8", "bytea", "text"])
            for i, vector in enumerate(stored, 1):
                copy.write_row((i, HalfVector(vector), 1, bytes(32), "fp32"))
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
