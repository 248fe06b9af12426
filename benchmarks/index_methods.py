"""HNSW and IVFFlat side by side: build time, size, recall@10 and latency by setting, insertion, and search_* under filters.

Run: python benchmarks/index_methods.py [--rows 100000] [--queries 200] [--json FILE]. The table printed is kept in
benchmarks/results/index_methods.txt. Data: benchmarks/generator.py, and as many vectors without clusters ("even"), to which
lists fit least; queries are held out; truth is the exact order in SQL. Churn: a tenth of the rows is written after the build,
half of it from another part of the space, and recall is measured again. Exit code 1 when search_* is short, or compares all rows
without a filter.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from generator import DIMENSIONS, INNER, Vectors, copy_embeddings, describe, generate
from pgvector import HalfVector

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import BuildOptions
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.index.swap import replace_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

K, LATER = 10, 0.1
NEAR = "SELECT id FROM imgvec.near_item(%(query)s) ORDER BY distance LIMIT 10"
EXACT = "SELECT id FROM imgvec.near_item(%(query)s) ORDER BY distance + 0 LIMIT 10"
SEARCH = "SELECT id FROM imgvec.search_item(%(query)s, 10)"
AMONG = "SELECT id FROM imgvec.search_item(%(query)s, 10, ARRAY(SELECT id FROM item WHERE price < {}))"
EXACT_AMONG = (
    "SELECT n.id FROM imgvec.near_item(%(query)s) AS n JOIN item USING (id) WHERE price < {}"
    " ORDER BY n.distance + 0 LIMIT 10"
)
SHARES = {"50 %": 500, "1 %": 10, "0.1 %": 1}
SETTINGS = {"hnsw": (20, 40, 80, 160), "ivfflat": (1, 2, 4, 8, 16, 32)}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--data", choices=("clustered", "even"), default="clustered")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    make = generate if options.data == "clustered" else even
    stored, queries = make(options.rows, options.queries)
    print(f"{options.data}: {describe(stored)}", flush=True)
    directory = make_temporary_directory("imgvec-methods-")
    settings = {"fsync": "off", "shared_buffers": "1GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            results = measure(server.dsn(), stored, queries)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 1 if results["problems"] else 0


def even(rows: int, queries: int) -> tuple[Vectors, Vectors]:
    """Return unit vectors of the generator's inner dimension without clusters, shapes (rows, 512) and (queries, 512)."""
    random = np.random.default_rng(7)
    rotation = np.linalg.qr(random.normal(size=(DIMENSIONS, INNER)))[0]
    vectors = (random.normal(size=(rows + queries, INNER)) @ rotation.T).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:rows], vectors[rows:]


def measure(dsn: str, stored: Vectors, queries: Vectors) -> dict[str, Any]:
    """Load nine tenths, then build and search each method, and write the last tenth under its index."""
    results: dict[str, Any] = {"rows": len(stored), "problems": []}
    first = round(len(stored) * (1 - LATER))
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea, price integer)")
        connection.execute(
            "INSERT INTO item SELECT g, NULL, (g * 7919) %% 1000 FROM generate_series(1, %s) g", [len(stored)]
        )
        request = CollectionSpec("item", "item", ["picture"], "generated", DIMENSIONS, False)
        collection = create_collection(connection, request)
        copy_embeddings(connection, collection, stored[:first])
        connection.execute("VACUUM ANALYZE imgvec.item_embedding")
        connection.execute("ANALYZE item")
        questions = [HalfVector(query) for query in queries]
        truth, exact_ms = ask(connection, EXACT, questions)
        print(f"exact search, no index, {first:,} rows: {shown(exact_ms)}", flush=True)
        for method in ("ivfflat", "hnsw"):
            results[method] = measure_method(connection, collection, method, questions, truth, results)
            results[method]["churn"] = write_later(connection, collection, method, stored[first:], questions)
            connection.execute("DELETE FROM imgvec.item_embedding WHERE id > %s", [first])
            connection.execute("VACUUM imgvec.item_embedding")
    return results


def measure_method(
    connection: Connection,
    collection: Collection,
    method: str,
    questions: list[HalfVector],
    truth: list[list[int]],
    results: dict[str, Any],
) -> dict[str, Any]:
    """Build an index and search it by settings and under filters."""
    present = get_collection(connection, collection.name)
    began = time.monotonic()
    built = replace_index(
        connection, replace(present, index_method=method, lists=None), BuildOptions(), again="again"
    )
    seconds = time.monotonic() - began
    (state,) = index_states(connection, collection)
    options = ", ".join(f"{name} {value}" for name, value in state.given_options.items())
    print(
        f"{index_method(method).label}: {options}, built in {seconds:.1f} s, "
        f"memory {built.plan.graph_bytes / 1e6:.0f} MB by formula, "
        f"{state.index_bytes:,} bytes (formula {built.plan.index_bytes:,})",
        flush=True,
    )
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    rows = []
    for value in SETTINGS[method]:
        for name, text in index_method(method).measured_settings(value).items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, text])
        found, milliseconds = ask(connection, NEAR, questions)
        rows.append({"value": value, "recall": recall(found, truth), "ms": milliseconds})
        print(
            f"  {index_method(method).tuned} {value:<4} recall@10 {rows[-1]['recall']:.4f}  {shown(milliseconds)}",
            flush=True,
        )
    connection.execute("RESET ALL")
    filtered = {}
    for share, below in {"all": 0, **SHARES}.items():
        statement = SEARCH if share == "all" else AMONG.format(below)
        true, _ = (
            (truth, None) if share == "all" else ask(connection, EXACT_AMONG.format(below), questions[:50])
        )
        found, milliseconds = ask(connection, statement, questions if share == "all" else questions[:50])
        ways = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
        short = sum(len(answer) < len(wanted) for answer, wanted in zip(found, true, strict=True))
        filtered[share] = {"recall": recall(found, true), "ms": milliseconds, "short": short, "way": ways}
        print(
            f"  search_* {share:>6}: recall@10 {filtered[share]['recall']:.4f}  {shown(milliseconds)}  {short} short, "
            f"{(ways or ('?',))[0]}",
            flush=True,
        )
        if short or (share == "all" and ways != ("index",)):
            results["problems"].append((method, share))
    return {"seconds": seconds, "bytes": state.index_bytes, "settings": rows, "search": filtered}


def write_later(
    connection: Connection, collection: Collection, method: str, later: Vectors, questions: list[HalfVector]
) -> dict[str, Any]:
    """Write rows under the index, half of them of a kind that was not there when it was built, and measure again."""
    moved = later.copy()
    moved[::2] = np.roll(moved[::2], DIMENSIONS // 2, axis=1)
    connection.execute("CREATE TEMPORARY TABLE later (id bigint, embedding halfvec)")
    first = connection.execute("SELECT max(id) FROM imgvec.item_embedding").fetchone()
    assert first is not None
    with connection.cursor().copy("COPY later FROM STDIN BINARY") as copy:
        copy.set_types(["int8", "halfvec"])
        for key, vector in enumerate(moved, int(first[0]) + 1):
            copy.write_row((key, HalfVector(vector)))
    began = time.monotonic()
    connection.execute(
        "INSERT INTO imgvec.item_embedding (id, embedding, version, content_hash, precision)"
        " SELECT id, embedding, 1, '', 'fp32' FROM later"
    )
    rate = len(later) / (time.monotonic() - began)
    connection.execute("DROP TABLE later; ANALYZE imgvec.item_embedding")
    both = [*questions[:50], *(HalfVector(vector) for vector in moved[:100:2] + np.float32(0.001))]
    truth, _ = ask(connection, EXACT, both)
    found, milliseconds = ask(connection, SEARCH, both)
    told = {"rows_per_second": rate, "recall": recall(found, truth), "ms": milliseconds}
    print(
        f"  written under the index: {rate:,.0f} rows/s; search_* after {LATER:.0%} more, half of another kind: "
        f"recall@10 {told['recall']:.4f}  {shown(milliseconds)}",
        flush=True,
    )
    return told


def ask(
    connection: Connection, statement: str, questions: list[HalfVector]
) -> tuple[list[list[int]], tuple[float, float]]:
    """Return the keys found for each query, and p50 and p95 in milliseconds as the client sees them."""
    found, seconds = [], []
    for question in questions:
        began = time.perf_counter()
        found.append([row[0] for row in connection.execute(statement, {"query": question})])  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - began)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return found, (float(p50), float(p95))


def recall(found: list[list[int]], truth: list[list[int]]) -> float:
    """Return the mean share of the true rows that were found."""
    return float(np.mean([len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(found, truth, strict=True)]))


def shown(milliseconds: tuple[float, float]) -> str:
    """Return p50 and p95 for people."""
    return f"p50 {milliseconds[0]:6.2f} ms, p95 {milliseconds[1]:6.2f} ms"


if __name__ == "__main__":
    sys.exit(main())
