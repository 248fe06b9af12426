"""By the HNSW index, or by comparing all that match: what PostgreSQL's own choice lacks, for any statement.

The planner does not know where the matching rows lie, pgvector's scans stop after hnsw.max_scan_tuples, and a scan
that goes on misses near rows (benchmarks/results/selectivity.txt). search_* does the same in SQL with the keys
that it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

Way = Literal["index", "exact", "index, then exact"]
Row = TypeVar("Row", covariant=True)

VISIT_COST = 8
"""To visit a row through the index costs about this many times what comparing it costs (benchmarks/selectivity.py)."""
CANDIDATES = 20
"""Candidates of a scan for each row wanted, at least: a few of the nearest may be filtered out."""
MAX_EF_SEARCH = 1000  # pgvector 0.8 src/hnsw.h: HNSW_MAX_EF_SEARCH
SETTINGS = {"hnsw.iterative_scan": "off", "hnsw.ef_search": "40"}
"""The settings that a search changes, and what they are in a session that has not loaded pgvector's library yet."""


@dataclass(frozen=True)
class Before:
    """The settings to put back, None where still unknown, and about how many rows the collection has."""

    settings: Mapping[str, str | None]
    embedded_rows: float


class Asker(Protocol[Row]):
    """One question as a statement that can be explained, limited and asked in two orders."""

    def begin(self) -> "Before":
        """Return the transaction's values of SETTINGS and the collection's size."""

    def set(self, settings: Mapping[str, str]) -> None:
        """Set settings for the running transaction."""

    def explain(self, limit: int) -> dict[str, Any]:
        """Return the plan, as PostgreSQL's JSON has it, of the statement ordered by distance."""

    def ask(self, limit: int, *, exact: bool) -> Sequence[Row]:
        """Return at most `limit` rows, by distance, which the index can give, or in an order that no index has."""


def find(asker: Asker[Row], k: int, ef_search: int | None) -> tuple[Sequence[Row], Way]:
    """Ask for the k nearest, never fewer while more match, and say how they were found.

    The rows come back nearly in order, which the caller mends. The settings are as before afterwards.

    Args:
        ef_search: The collection's own, or None for the session's.
    """
    before = asker.begin()
    settings = {name: before.settings[name] or default for name, default in SETTINGS.items()}
    found = _route(asker, k, ef_search or int(settings["hnsw.ef_search"]), before.embedded_rows)
    # After an error nothing is to be done: the settings go with the transaction or savepoint.
    asker.set(settings)
    return found


def _route(asker: Asker[Row], k: int, ef_search: int, embedded_rows: float) -> tuple[Sequence[Row], Way]:
    base = max(ef_search, min(k, MAX_EF_SEARCH))
    asker.set({"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(base)})
    plan = asker.explain(k)
    if not any("Order By" in node for node in nodes(plan)):
        return asker.ask(k, exact=True), "exact"
    matching = max(1.0, _rows_before_limit(plan))
    # Twice what a filter takes on average that the query knows nothing of.
    visits = 2 * k * max(embedded_rows, matching) / matching
    scanned: float = max(base, CANDIDATES * k)
    if visits * VISIT_COST < matching:
        scanned = max(scanned, visits)
    # Else a short scan is worth trying where comparing is long: the filter may go with the query.
    if scanned <= MAX_EF_SEARCH and matching >= 4 * scanned:
        # A scan that went on would take longer than comparing, and give the far before the near.
        asker.set({"hnsw.iterative_scan": "off", "hnsw.ef_search": str(round(scanned))})
    elif visits > 2.1 * k or visits * VISIT_COST >= matching:
        return asker.ask(k, exact=True), "exact"
    rows = asker.ask(k, exact=False)
    if len(rows) >= k:
        return rows, "index"
    return asker.ask(k, exact=True), "index, then exact"


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give a plan's nodes, the top one first."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _rows_before_limit(plan: Mapping[str, Any]) -> float:
    """Return how many rows the planner expects to match: what it would read without the LIMIT."""
    for node in nodes(plan):
        if node["Node Type"] == "Limit":
            return float(node["Plans"][0]["Plan Rows"])
    return float(plan["Plan Rows"])
