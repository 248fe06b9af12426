"""Where PostgreSQL's own choice between HNSW and exact search is bad: a grid of filters, every way forced and timed.

Usage: python benchmarks/selectivity.py [--rows 10000,100000] [--queries 12] [--server DIR]

Ways: `planner`, near_* with its filter as a person writes it; `prepared`, the same with a generic plan, which drivers reach after
some executions; `index`, the same with the HNSW index forced, strict_order and ef_search 40 (`index100`: 100); `relaxed`,
forced with relaxed_order; `exact`, ordered by distance + 0. Milliseconds are the median over queries of the faster of two runs,
as the client sees them. `rows` is the mean number of rows returned over the number that should be.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from generator import Vectors, describe
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from searching.shop import KINDS, SELECTIVITIES, Filter, K, Shop, imagine, joined, open_shop, recall

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

FORCED = ("enable_sort", "enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")


@dataclass(frozen=True)
class Way:
    """How a question is asked: its order, pgvector's settings, planner settings turned off, a generic plan or not."""

    order: str = "n.distance"
    scan: str = "strict_order"
    ef_search: int = 40
    off: Sequence[str] = ()
    generic: bool = False


WAYS = {
    "planner": Way(),
    "prepared": Way(generic=True),
    "index": Way(off=FORCED),
    "index100": Way(off=FORCED, ef_search=100),
    "relaxed": Way(off=FORCED, scan="relaxed_order"),
    "relaxed100": Way(off=FORCED, scan="relaxed_order", ef_search=100),
    "exact": Way("n.distance + 0"),
}
CHOICES = ("planner", "prepared")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="10000,100000")
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--server", type=Path, help="keep server and data here for the next run")
    options = parser.parse_args()
    directory = options.server or make_temporary_directory("imgvec-selectivity-")
    settings = {"fsync": "off", "shared_buffers": "1GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            for rows in map(int, options.rows.split(",")):
                shop = imagine(rows)
                print(describe(shop.stored), flush=True)
                with open_shop(server, shop) as connection:
                    study(connection, shop, options.queries)
    finally:
        if options.server is None:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def study(connection: Connection, shop: Shop, queries: int) -> None:
    """Print the grid for one size."""
    register_vector(connection)
    connection.execute("SET hnsw.iterative_scan = strict_order")
    heads = "".join(f"{way:>10} rows recall " for way in WAYS)
    print(f"\n{'filter':12}{'share':>8}{'joins':>6} {heads} plan planner/best prepared/best")
    for kind in KINDS:
        for selectivity in SELECTIVITIES:
            for joins in range(4):
                print(line(connection, shop, kind, selectivity, joins, queries), flush=True)
    print()


def line(connection: Connection, shop: Shop, kind: str, selectivity: float, joins: int, queries: int) -> str:
    asked = [(query, shop.filter(kind, selectivity, query)) for query in shop.queries[:queries]]
    truth: list[list[int]] = []
    measured: dict[str, tuple[float, float, float]] = {}
    plan = ""
    for name in ("exact", *(way for way in WAYS if way != "exact")):
        way = WAYS[name]
        times, shares, recalls = [], [], []
        for number, (query, chosen) in enumerate(asked):
            statement, values = question(shop, way, query, chosen, joins)
            with connection.transaction():
                apply(connection, way)
                if name == "planner":
                    text = str(connection.execute("EXPLAIN " + statement, values).fetchall())  # type: ignore[arg-type]
                    plan += "i" if "item_embedding_hnsw" in text else "e"
                found, best = [], float("inf")
                for _ in range(2):
                    started = time.perf_counter()
                    found = [row[0] for row in connection.execute(statement, values, prepare=way.generic)]  # type: ignore[arg-type]
                    best = min(best, time.perf_counter() - started)
            if name == "exact":
                truth.append(found)
            times.append(best * 1000)
            shares.append(len(found) / min(K, chosen.rows))
            recalls.append(recall(found, truth[number]))
        measured[name] = float(np.median(times)), float(np.mean(shares)), float(np.mean(recalls))
    forced = [figures for name, figures in measured.items() if name not in CHOICES]
    best = min(ms for ms, rows, found in forced if found >= 0.99 and rows >= 1)
    figures = "".join(
        f"{ms:10.2f} {rows:4.2f} {found:6.3f} " for ms, rows, found in (measured[way] for way in WAYS)
    )
    uses = f"{plan.count('i')}i{plan.count('e')}e"
    regrets = " ".join(f"{measured[way][0] / best:12.2f}" for way in CHOICES)
    return f"{kind:12}{selectivity:8.2%}{joins:6} {figures} {uses} {regrets}"


def apply(connection: Connection, way: Way) -> None:
    """Set what a way needs for the running transaction."""
    mode = "force_generic_plan" if way.generic else "force_custom_plan"
    settings = {
        "plan_cache_mode": mode,
        "hnsw.iterative_scan": way.scan,
        "hnsw.ef_search": str(way.ef_search),
        **dict.fromkeys(way.off, "off"),
    }
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", [name, value])


def question(shop: Shop, way: Way, query: Vectors, chosen: Filter, joins: int) -> tuple[str, list[Any]]:
    """Return one way's statement and values; without a join the filter is the array of matching keys."""
    condition, values = (
        ("n.id = ANY (%s)", [shop.matching(chosen)]) if joins == 0 else chosen.condition(joins)
    )
    return (
        f"SELECT n.id FROM imgvec.near_item(%s) AS n {joined(joins)} WHERE {condition} ORDER BY {way.order} LIMIT {K}",
        [HalfVector(query), *values],
    )


if __name__ == "__main__":
    sys.exit(main())
