"""Search: latency and recall by breadth of the scan, under filters, and without the index."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pgvector import HalfVector

from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.store.registry import get_collection
from millions.run import NAME, Run
from millions.vectors import FILTERS

K = 10
LADDERS = {"bit": (None, 400, 1000, 3000, 8000), "halfvec": (None, 100, 200, 400)}
"""ef_search of the collection, None as it is at first: 200 candidates of bits, 40 of vectors."""
SEARCH = "SELECT id FROM imgvec.search_item(%(query)s::halfvec, 10)"
AMONG = (
    "SELECT id FROM imgvec.search_item(%(query)s::halfvec, 10, ARRAY(SELECT id FROM item WHERE bucket < {}))"
)
EXACT = "SELECT id FROM imgvec.near_item(%(query)s::halfvec) ORDER BY distance + 0 LIMIT 10"
SECONDS = 30.0
"""How long one way is asked at most; at least LEAST queries are."""
LEAST = 5


def ask(call: Callable[[Any], set[int]], queries: Sequence[Any]) -> tuple[list[set[int]], list[float]]:
    """Ask one query after the other, as many as there is time for; return answers and seconds of each."""
    found: list[set[int]] = []
    seconds: list[float] = []
    for place, query in enumerate(queries):
        if place >= LEAST and sum(seconds) > SECONDS:
            break
        began = time.perf_counter()
        found.append(call(query))
        seconds.append(time.perf_counter() - began)
    return found, seconds


def show(
    run: Run,
    name: str,
    what: str,
    truth: list[set[int]],
    asked: tuple[list[set[int]], list[float]],
    note: str = "",
) -> None:
    """Print and keep recall, latency and how many answers were short."""
    found, seconds = asked
    wanted = truth[: len(found)]
    recall = sum(len(a & b) for a, b in zip(found, wanted, strict=True)) / max(1, sum(map(len, wanted)))
    short = sum(len(a) < len(b) for a, b in zip(found, wanted, strict=True))
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    run.figures.setdefault("searches", {})[name] = {
        "recall": recall,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "short": short,
        "queries": len(found),
    }
    run.say(
        f"    {what:<40} recall@10 {recall:.4f}  p50 {p50:>9,.2f} ms  p99 {p99:>9,.2f} ms  {short} short of {len(found)}{note}"
    )


def by_sql(run: Run, statement: str) -> Callable[[Any], set[int]]:
    """Return a call that asks a statement."""
    return lambda query: {
        row[0] for row in run.connection.execute(statement, {"query": HalfVector(query)}).fetchall()
    }


def search(run: Run, kind: str) -> None:
    """Search with the index of one kind: by breadth, then filtered, by keys and by a condition."""
    nearest = run.nearest["all"]
    queries, truth = list(nearest.queries), nearest.first(K)
    for value in LADDERS[kind]:
        run.connection.execute("UPDATE imgvec.collection SET ef_search = %s WHERE name = 'item'", [value])
        call = by_sql(run, SEARCH)
        ask(call, queries)
        what = f"search_*, {kind}, ef_search {value or 'as it is'}"
        show(run, f"{kind} {value}", what, truth, ask(call, queries), strategy(run))
    run.connection.execute("UPDATE imgvec.collection SET ef_search = NULL WHERE name = 'item'")
    for share, below in FILTERS.items():
        wanted = run.nearest[share].first(K)
        asked = ask(by_sql(run, AMONG.format(below)), queries)
        show(run, f"{kind} among {share}", f"search_*, among {share}", wanted, asked, strategy(run))
        collection = get_collection(run.connection, NAME)
        options, ways = NearestOptions(K, where=f"bucket < {below}"), set()

        def where(query: Any) -> set[int]:  # noqa: ANN401 - a vector
            answer = find_nearest(run.connection, collection, query, options)  # noqa: B023
            ways.add(answer.strategy)  # noqa: B023
            return {int(row.key["id"]) for row in answer.rows}

        show(
            run,
            f"{kind} where {share}",
            f"imgvec search --where, {share}",
            wanted,
            ask(where, queries),
            f"; {sorted(ways)}",
        )


def search_exactly(run: Run) -> None:
    """Compare all rows, a few times."""
    nearest = run.nearest["all"]
    asked = ask(by_sql(run, EXACT), list(nearest.queries)[:LEAST])
    show(run, "exact", "near_* without the index", nearest.first(K), asked)


def strategy(run: Run) -> str:
    """Return what search_* says of its last search."""
    return f"; {run.value('SELECT imgvec.last_search_strategy()')}"
