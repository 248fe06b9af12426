"""By the HNSW index, or by comparing all that match: what PostgreSQL's own choice lacks, for any statement.

The planner does not know where the matching rows lie, pgvector's scans stop after hnsw.max_scan_tuples, and a scan
that goes on misses near rows (benchmarks/results/selectivity.txt). search_* does the same in SQL with the keys
that it is given.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, Self, TypeVar

from imgvec_pg.database.hnsw import DEFAULT_EF_SEARCH, MAX_CANDIDATES, MAX_EF_SEARCH

Strategy = Literal["index", "exact", "index, then exact"]
Row = TypeVar("Row", covariant=True)

COSTS = ((32 << 20, 300, 5.5, 1.5), (512 << 20, 300, 5.5, 4.5), (math.inf, 1500, 6.0, 10.0))
"""Of embedding tables up to so many bytes: microseconds to begin a scan of the index, to visit a candidate through it, and
to find and compare a row that matches. On one machine; only proportions matter (benchmarks/results/visits.txt)."""
WORTH = 0.6
"""A scan may cost this share of comparing all: made in vain, or not made where it would do, it is 1.6 times the best."""
FEW = 8
"""Where no more rows match than this many times those wanted (20 of them at least), comparing is always sooner."""
DEFAULTS = {
    "hnsw.iterative_scan": "off",
    "hnsw.ef_search": str(DEFAULT_EF_SEARCH),
    "hnsw.max_scan_tuples": "20000",
    "hnsw.scan_mem_multiplier": "1",
    "enable_sort": "on",
}
"""The settings of a scan, in the order of sql/queries/set_for_scan.sql, and what they are where PostgreSQL does not know them: in
a session that has not loaded pgvector's library yet."""


@dataclass(frozen=True)
class CollectionStats:
    """What is known of a collection before a search. Where it is no longer so, a search takes longer; it gives no other rows.

    Attributes:
        embedded_rows: Rows of the embedding tables, estimated.
        has_index: Whether a valid HNSW index holds them all.
        hides_rows: Whether row-level security keeps rows of the embedding tables from the role.
        ef_search: The collection's own, or None for the session's.
        session_ef_search: The session's.
    """

    embedded_rows: float
    embedded_bytes: float
    has_index: bool
    hides_rows: bool
    ef_search: int | None
    session_ef_search: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """Return what the first columns of sql/queries/search_begin.sql tell."""
        return cls(*row[: len(fields(cls))])


class QueryBackend(Protocol[Row]):
    """One question as a statement that can be limited and asked in two orders."""

    @property
    def iterative_scan(self) -> str:
        """How pgvector may go on beyond one scan's list."""

    def set(self, settings: Mapping[str, str]) -> Sequence[str | None]:
        """Set the settings of a scan for the running transaction; return what they were, in the order of DEFAULTS and None where
        PostgreSQL does not know them."""

    def expect_rows(self) -> float:
        """Return how many rows of the source match, as PostgreSQL expects them."""

    def ask(self, limit: int, candidates: int | None) -> Sequence[Row]:
        """Return at most `limit` rows in an order that no index has, or of the first candidates in the index's order."""


def find(
    backend: QueryBackend[Row], k: int, stats: CollectionStats, *, is_outlived: bool = True
) -> tuple[Sequence[Row], Strategy]:
    """Ask for the k nearest, never fewer while more match, and say how they were found.

    The rows come back nearly in order, which the caller mends. The settings are as before afterwards, after an error too.

    Args:
        is_outlived: Whether the transaction goes on after the search; else the settings may go with it.
    """
    strategy: Strategy = "exact"
    for scan in _scans(backend, k, stats):
        candidates = math.ceil(scan.candidates)
        settings = {
            # Beyond one scan's list an iterative scan goes on, without its usual ends: after these it would give what it had
            # discarded.
            "hnsw.iterative_scan": "off" if candidates <= MAX_EF_SEARCH else backend.iterative_scan,
            "hnsw.ef_search": str(min(MAX_EF_SEARCH, candidates)),
            "hnsw.max_scan_tuples": "2147483647",
            "hnsw.scan_mem_multiplier": "1000",
            # Else PostgreSQL would weigh the index's price, which it does not know.
            "enable_sort": "off",
        }
        earlier = {
            name: value or DEFAULTS[name] for name, value in zip(DEFAULTS, backend.set(settings), strict=True)
        }
        if stats.ef_search is None and candidates < (session := int(earlier["hnsw.ef_search"])):
            # It was raised since it was looked up.
            backend.set({**settings, "hnsw.ef_search": str(session)})
            scan.candidates = candidates = session
        try:
            rows = backend.ask(k, candidates)
        except BaseException:
            # What failed on this side leaves a transaction that goes on. One that the server has aborted refuses this; its
            # settings go with it or with the savepoint.
            with suppress(Exception):
                backend.set(earlier)
            raise
        if is_outlived or len(rows) < k:
            backend.set(earlier)
        if len(rows) >= k:
            return rows, "index"
        scan.found, strategy = len(rows), "index, then exact"
    return backend.ask(k, None), strategy


@dataclass
class _Scan:
    """A scan of the index for so many candidates, and how many rows it found; fewer than wanted, or it was the last."""

    candidates: float
    found: int = 0


def _scans(backend: QueryBackend[Row], k: int, stats: CollectionStats) -> Iterator[_Scan]:
    """Give the scans that are worth their time, one after the other; the same rule as in sql/collection/search.sql."""
    ef_search = stats.ef_search or stats.session_ef_search
    # Where not even a scan for all rows would be worth it, how many match need not be known.
    if (
        not stats.has_index
        or stats.embedded_rows <= FEW * max(k, 20)
        or _affordable(stats.embedded_rows, stats) < max(ef_search, k)
    ):
        return
    matching = min(max(1.0, backend.expect_rows()), stats.embedded_rows)
    affordable = _affordable(matching, stats)
    is_filtered = stats.hides_rows or matching < 0.95 * stats.embedded_rows
    scan = _Scan(max(ef_search, 2 * k if is_filtered else k))
    # Twice what a filter takes on average that the query knows nothing of.
    expected = 2 * k * stats.embedded_rows / matching
    if is_filtered and expected <= affordable / 4:
        scan.candidates = max(scan.candidates, expected)
    while scan.candidates <= min(affordable, MAX_EF_SEARCH if stats.hides_rows else MAX_CANDIDATES):
        yield scan
        if not scan.found:
            return
        affordable -= scan.candidates
        scan = _Scan(2 * k * scan.candidates / scan.found)


def _affordable(matching: float, stats: CollectionStats) -> float:
    """Return how many candidates may be visited where so many rows match."""
    scan_cost, visit_cost, row_cost = next(costs for size, *costs in COSTS if stats.embedded_bytes <= size)
    return (WORTH * row_cost * matching - scan_cost) / visit_cost
