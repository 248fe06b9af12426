"""HNSW over vectors and over bits: build time, memory and size against the formulas, recall@10, latency, pages read.

Run: python benchmarks/index.py [--rows 100000] [--queries 300] [--json FILE]. The table printed is kept in
benchmarks/results/index.txt. Data: benchmarks/generator.py; queries are held out; truth is the exact order in SQL.
Exit code 1 when a target is missed: recall@10 >= 0.99 for both kinds, memory and size within 10 % of the formulas.
"""

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from generator import DIMENSIONS, Vectors, copy_embeddings, describe, generate
from pgvector import HalfVector
from psycopg.errors import Diagnostic

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.hnsw import graph_bytes
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import BuildOptions
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.index.swap import drop_index, replace_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

K, TARGET, TOLERANCE = 10, 0.99, 0.1
NEAR = "SELECT id FROM imgvec.near_item(%(query)s) ORDER BY distance LIMIT 10"
EXACT = "SELECT id FROM imgvec.near_item(%(query)s) ORDER BY distance + 0 LIMIT 10"
BITS = (
    "SELECT id FROM (SELECT e.id, e.embedding <=> %(query)s AS distance FROM imgvec.item_embedding AS e"
    " ORDER BY binary_quantize(e.embedding)::bit(512) <~> binary_quantize(%(query)s::halfvec)::bit(512)"
    " LIMIT %(candidates)s) AS c ORDER BY distance LIMIT 10"
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    stored, queries = generate(options.rows, options.queries)
    print(describe(stored), flush=True)
    directory = make_temporary_directory("imgvec-index-")
    settings = {"fsync": "off", "shared_buffers": "1GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            results = measure(server.dsn(), stored, queries)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0 if verdict(results) else 1


def measure(dsn: str, stored: Vectors, queries: Vectors) -> dict[str, Any]:
    """Load, then build and search both kinds of index."""
    results: dict[str, Any] = {"rows": len(stored)}
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
        connection.execute("INSERT INTO item SELECT g FROM generate_series(1, %s) g", [len(stored)])
        request = CollectionSpec("item", "item", ["picture"], "generated", DIMENSIONS, False)
        collection = create_collection(connection, request)
        copy_embeddings(connection, collection, stored)
        connection.execute("VACUUM ANALYZE imgvec.item_embedding")
        questions = [HalfVector(query) for query in queries]
        truth, seconds = ask(connection, EXACT, questions)
        results["exact_ms"] = milliseconds(seconds)
        print(
            f"exact search, no index: p50 {results['exact_ms'][0]:.1f} ms, p95 {results['exact_ms'][1]:.1f} ms"
        )
        results["memory"] = [
            fill_memory(connection, collection, kind, workers) for kind in (None, "bit") for workers in (0, 2)
        ]
        results["halfvec"] = build(connection, None)
        print("  ef_search               recall@10  p50 ms  p95 ms  pages of index, of table")
        results["halfvec"]["searches"] = [
            search(connection, NEAR, questions, truth, ef) for ef in (20, 40, 80, 160)
        ]
        results["bit"] = build(connection, "bit")
        print("  candidates = ef_search  recall@10  p50 ms  p95 ms  pages of index, of table")
        results["bit"]["searches"] = [
            search(connection, BITS, questions, truth, ef) for ef in (20, 40, 100, 200, 400, 800)
        ]
    return results


def fill_memory(
    connection: Connection, collection: Collection, kind: str | None, workers: int
) -> dict[str, Any]:
    """Build within 64 MB and compare the rows that PostgreSQL kept in memory with the formula's."""
    memory = 64 << 20
    wanted = replace(collection, quantization=kind)
    met: list[str] = []

    def note(diagnostic: Diagnostic) -> None:
        met.extend(re.findall(r"after (\d+) tuples", diagnostic.message_primary or ""))

    connection.add_notice_handler(note)
    began = time.perf_counter()
    replace_index(connection, wanted, BuildOptions("64MB", workers), again="")
    seconds = time.perf_counter() - began
    connection.remove_notice_handler(note)
    drop_index(connection, wanted, lock_timeout_ms=1000)
    reserve = graph_bytes(0, DIMENSIONS, wanted.m, kind)
    each = (graph_bytes(1000, DIMENSIONS, wanted.m, kind) - reserve) / 1000
    foretold = int((memory - reserve) / each)
    shown = f"{kind or 'halfvec'}, {workers} workers: 64 MB"
    if not met:
        print(f"{shown} hold all rows, built in {seconds:.1f} s; the formula says {foretold}", flush=True)
        return {"kind": kind, "workers": workers, "seconds": seconds, "rows": None, "formula": foretold}
    print(
        f"{shown} hold {met[0]} rows (formula {foretold}), all built in {seconds:.1f} s, the rest on disk",
        flush=True,
    )
    return {"kind": kind, "workers": workers, "seconds": seconds, "rows": int(met[0]), "formula": foretold}


def build(connection: Connection, kind: str | None) -> dict[str, Any]:
    """Build in memory, in place of the present index, and compare the size with the formula's."""
    wanted = replace(get_collection(connection, "item"), quantization=kind)
    began = time.perf_counter()
    done = replace_index(connection, wanted, BuildOptions(), again="")
    seconds = time.perf_counter() - began
    (state,) = index_states(connection, wanted)
    print(
        f"{kind or 'halfvec'}: m {state.m}, ef_construction {state.ef_construction}, built in {seconds:.1f} s, "
        f"{state.index_bytes:,} bytes (formula {done.plan.index_bytes:,}), graph by formula {done.plan.graph_bytes >> 20} MB",
        flush=True,
    )
    return {"seconds": seconds, "bytes": state.index_bytes, "formula_bytes": done.plan.index_bytes}


Answers = list[set[int]]


def ask(
    connection: Connection, statement: str, questions: list[HalfVector], **values: object
) -> tuple[Answers, list[float]]:
    """Ask all questions one after the other; keys found, and seconds each."""
    found, seconds = [], []
    for question in questions:
        began = time.perf_counter()
        rows = connection.execute(statement, {"query": question, **values}).fetchall()  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - began)
        found.append({row[0] for row in rows})
    return found, seconds


def search(
    connection: Connection, statement: str, questions: list[HalfVector], truth: Answers, ef_search: int
) -> dict[str, Any]:
    """Ask through the index and compare with the truth."""
    connection.execute(f"SET hnsw.ef_search = {ef_search}")
    values = {"query": questions[0], "candidates": ef_search}
    plan = str(connection.execute("EXPLAIN " + statement, values).fetchall())  # type: ignore[arg-type]
    assert "item_embedding_hnsw" in plan, plan
    ask(connection, statement, questions, candidates=ef_search)  # the pages come into the cache
    found, seconds = ask(connection, statement, questions, candidates=ef_search)
    recall = sum(len(a & b) for a, b in zip(found, truth, strict=True)) / K / len(questions)
    p50, p95 = milliseconds(seconds)
    pages = blocks(connection, lambda q: {"query": q, "candidates": ef_search}, statement, questions[:50])
    print(
        f"  {ef_search:<22}  {recall:9.4f}  {p50:6.2f}  {p95:6.2f}  {pages[0]:.0f}, {pages[1]:.0f}",
        flush=True,
    )
    return {"ef_search": ef_search, "recall": recall, "p50_ms": p50, "p95_ms": p95, "pages": pages}


def blocks(
    connection: Connection,
    values: Callable[[HalfVector], dict[str, object]],
    statement: str,
    questions: list[HalfVector],
) -> tuple[float, float]:
    """Return how many pages of the index and of the table a search touches on average."""
    names = ("item_embedding_hnsw", "item_embedding")
    counts = "SELECT coalesce(pg_stat_get_blocks_fetched(%s::regclass), 0), coalesce(pg_stat_get_blocks_fetched(%s::regclass), 0)"
    qualified = [f"imgvec.{name}" for name in names]

    def read() -> tuple[int, int]:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(counts, qualified).fetchone()
        assert row is not None
        return row[0], row[1]

    before = read()
    for question in questions:
        connection.execute(statement, values(question)).fetchall()  # type: ignore[arg-type]
    after = read()
    return (after[0] - before[0]) / len(questions), (after[1] - before[1]) / len(questions)


def milliseconds(seconds: list[float]) -> tuple[float, float]:
    """Return p50 and p95."""
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return float(p50), float(p95)


def verdict(results: dict[str, Any]) -> bool:
    """Print every target beside its figure."""
    held = []
    for kind in ("halfvec", "bit"):
        best = max(search["recall"] for search in results[kind]["searches"])
        held.append(best >= TARGET)
        print(f"target {kind} recall@10 >= {TARGET}: {best:.4f} {'reached' if held[-1] else 'missed'}")
        off = results[kind]["formula_bytes"] / results[kind]["bytes"] - 1
        held.append(abs(off) <= TOLERANCE)
        print(f"target {kind} size by formula within 10 %: {off:+.1%} {'reached' if held[-1] else 'missed'}")
    for run in results["memory"]:
        if run["rows"] is not None:
            off = run["formula"] / run["rows"] - 1
            held.append(abs(off) <= TOLERANCE)
            print(
                f"target {run['kind'] or 'halfvec'} memory by formula, {run['workers']} workers, within 10 %: {off:+.1%} "
                f"{'reached' if held[-1] else 'missed'}"
            )
    return all(held)


if __name__ == "__main__":
    sys.exit(main())
