"""Choose index scan or exact scan for a search, which PostgreSQL's planner cannot: it does not know how far an HNSW scan must go.

    index scan of c candidates:  start_scan + c * visit_candidate     nearest first, then filtered: may find too few
                                 of IVFFlat start_scan are all centres and the rows of the lists that are read at least
    exact scan of m rows:        m * compare_row                      filtered first, then sorted by distance
    affordable candidates:       (MAX_SCAN_SHARE * m * compare_row - start_scan) / visit_candidate

1. N rows are embedded, m match: as EXPLAIN of the filter expects, or the number of keys given.
2. Without an index over all rows, or of few rows, the exact scan is best.
3. A first index scan takes max(ef_search, 2 * k) candidates, of IVFFlat 2 * k; 2 * k * N / m, which a filter that the query
   knows nothing of needs,
   where that is at most a quarter of what is affordable.
4. It found k rows: done, "index". It found f: the next one takes 2 * k * c / f, out of what is left of the affordable ones.
5. No more is affordable: the exact scan over all that match, "index, then exact", or "exact" where none was tried.
   A list of an HNSW index that is filled by one burst of near copies (store/pictures/bursts.py) is as one that was too short:
   the widest is asked for, "index, wider", and where a burst fills that too, all that match are compared.
6. So index scans in vain add at most 0.6 of the exact scan's time, and one that is left out would have taken at least that.

The costs are those of database/scan_costs.py, by the size of the embedding table. search_* in SQL follow the same rule
(sql/collection/search.sql) with keys for joined rows, and without the statements that a scan from Python adds to its start.
No iterative scan: it stops after hnsw.max_scan_tuples, and one that goes on misses near rows
(benchmarks/results/selectivity.txt).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, Self, TypeVar

from imgvec_pg.database.index_methods import ivfflat
from imgvec_pg.database.index_methods.hnsw import MAX_CANDIDATES, MAX_EF_SEARCH
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.database.index_methods.scan import IndexFacts
from imgvec_pg.database.scan_costs import (
    CANDIDATES_PER_EXPECTED,
    FEW_ROWS_MIN_K,
    FEW_ROWS_PER_RESULT,
    MAX_FIRST_SCAN_SHARE,
    SCAN_STATEMENTS_MICROSECONDS,
    ScanCosts,
)
from imgvec_pg.store.pictures.bursts import ListHead, list_rows, may_be_burst

Strategy = Literal["index", "index, wider", "exact", "index, then exact"]
Row = TypeVar("Row", covariant=True)


@dataclass(frozen=True)
class CollectionStats:
    """What is known of a collection before a search. Where it is no longer so, a search takes longer; it gives no other rows.

    Attributes:
        embedded_rows: Rows of the embedding tables, estimated.
        has_index: Whether a valid index gives them all by their distance.
        hides_rows: Whether row-level security keeps rows of the embedding tables from the role.
        ef_search: The collection's own, or None for the session's.
        session_ef_search: The session's.
        method: The index's access method; None in a schema of an older release, which knows HNSW only.
        lists, probes: Of an IVFFlat index; how many of them a search reads at least.
        by_picture: Whether the index is over different pictures.
    """

    embedded_rows: float
    embedded_bytes: float
    has_index: bool
    hides_rows: bool
    ef_search: int | None
    session_ef_search: int
    method: str | None = None
    lists: int | None = None
    probes: int | None = None
    by_picture: bool = False

    @property
    def index(self) -> IndexFacts:
        """The index as its method's module takes it."""
        return IndexFacts(self.method or "hnsw", self.embedded_rows, self.lists or 1, self.probes or 1)

    @property
    def has_lists(self) -> bool:
        """Whether the index keeps lists, and a scan therefore reads at least `probes` of them."""
        return self.lists is not None

    @property
    def least_candidates(self) -> float:
        """With how many candidates a first scan begins, beside what k and a filter need."""
        if not self.has_lists:
            return self.ef_search or self.session_ef_search
        # Rows that are hidden are left out while the lists are read.
        if not self.hides_rows:
            return 1
        read = self.index.probes * self.embedded_rows / self.index.lists
        return read / ivfflat.ROWS_PER_CANDIDATE

    @property
    def most_candidates(self) -> float:
        """How many a scan may take: HNSW's iterative scan remembers each, and would go on over rows that are hidden."""
        if self.has_lists:
            return self.embedded_rows
        return MAX_EF_SEARCH if self.hides_rows else MAX_CANDIDATES

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """Return what the first columns of sql/queries/search_begin.sql tell."""
        return cls(*row[: len(fields(cls))])


class QueryBackend(Protocol[Row]):
    """A search as a statement that can be limited and run in two orders: the index's, and one that no index has."""

    @property
    def iterative_scan(self) -> str:
        """How pgvector may go on beyond one scan's list."""

    def set(self, settings: Mapping[str, str]) -> Mapping[str, str | None]:
        """Set settings of a scan for the running transaction; return what they were, None where PostgreSQL does not know them."""

    def expect_rows(self) -> float:
        """Return how many rows of the source match, as PostgreSQL expects them."""

    def fetch(self, limit: int, candidates: int | None) -> Sequence[Row]:
        """Run it; return at most `limit` rows in an order that no index has, or of the first candidates in the index's order."""

    def distances(self, rows: Sequence[Any]) -> Sequence[float] | None:
        """Return the cosine distances of fetched rows from the query; None where they are not among what was selected."""

    def read_list_head(self, rows: int) -> ListHead:
        """Ask the index for so many rows, whatever matches, and what they have in common."""


def find(
    backend: QueryBackend[Row], k: int, stats: CollectionStats, *, is_outlived: bool = True
) -> tuple[Sequence[Row], Strategy]:
    """Find the k nearest, never fewer while more match, and say how they were found.

    The rows come back nearly in order; the caller sorts them. The settings are restored, after an error too.

    Args:
        is_outlived: Whether the transaction goes on after the search; else the settings may go with it.
    """
    strategy: Strategy = "exact"
    for scan in _scans(backend, k, stats):
        rows = _fetch_by_index(backend, k, stats, scan, is_outlived=is_outlived)
        if len(rows) >= k and not scan.is_caught:
            return rows, "index, wider" if scan.is_wide else "index"
        scan.found, strategy = len(rows), "index, then exact"
    return backend.fetch(k, None), strategy


def _fetch_by_index(
    backend: QueryBackend[Row], k: int, stats: CollectionStats, scan: "_Scan", *, is_outlived: bool
) -> Sequence[Row]:
    """Run one index scan with its settings; tell the scan how many candidates it took, and whether a burst caught it."""
    method = index_method(stats.index.method)
    # A scan that is unfinished when its rows are hidden reads them all.
    iterative_scan = "off" if stats.has_lists and stats.hides_rows else backend.iterative_scan
    unset = {**method.unknown_settings, "enable_sort": "on"}
    candidates = math.ceil(scan.candidates)
    settings = {
        **method.scan_settings(stats.index, candidates, iterative_scan),
        # Else PostgreSQL would weigh the index's price, which it does not know.
        "enable_sort": "off",
    }
    earlier = {name: value or unset[name] for name, value in backend.set(settings).items()}
    session = int(earlier.get("hnsw.ef_search", 0))
    if stats.ef_search is None and candidates < session:
        # It was raised since it was looked up.
        backend.set({**settings, "hnsw.ef_search": str(session)})
        scan.candidates = candidates = session
    try:
        rows = backend.fetch(k, candidates)
        if len(rows) >= k:
            scan.is_caught = _is_caught(backend, rows, k, stats, scan)
    except BaseException:
        # What failed on this side leaves a transaction that goes on. One that the server has aborted refuses this; its
        # settings go with it or with the savepoint.
        with suppress(Exception):
            backend.set(earlier)
        raise
    if is_outlived or len(rows) < k or scan.is_caught:
        backend.set(earlier)
    return rows


def _is_caught(
    backend: QueryBackend[Row], rows: Sequence[Row], k: int, stats: CollectionStats, scan: "_Scan"
) -> bool:
    """Whether one burst fills the scan's list. Lists of IVFFlat are read whole, and beyond one list a scan has left a burst."""
    if stats.has_lists or scan.candidates > MAX_EF_SEARCH:
        return False
    distances = backend.distances(rows)
    if distances is not None and not may_be_burst(distances):
        return False
    head = backend.read_list_head(list_rows(k, is_wide=scan.is_wide))
    return head.is_burst(by_picture=stats.by_picture)


@dataclass
class _Scan:
    """An index scan.

    Attributes:
        candidates: How many it takes.
        is_wide: Whether it, or one before it, was widened because of a burst.
        found: How many rows it found; fewer than wanted, or it was caught, or it was the last.
        is_caught: Whether one burst fills its list.
    """

    candidates: float
    is_wide: bool = False
    found: int = 0
    is_caught: bool = False


def _scans(backend: QueryBackend[Row], k: int, stats: CollectionStats) -> Iterator[_Scan]:
    """Give the index scans to try, one after the other."""
    least = stats.least_candidates
    # Where not even a scan for all rows would be worth it, how many match need not be known.
    if (
        not stats.has_index
        or stats.embedded_rows <= FEW_ROWS_PER_RESULT * max(k, FEW_ROWS_MIN_K)
        or _affordable_candidates(stats.embedded_rows, stats) < max(least, k)
    ):
        return
    matching = min(max(1.0, backend.expect_rows()), stats.embedded_rows)
    affordable = _affordable_candidates(matching, stats)
    is_filtered = stats.hides_rows or matching < 0.95 * stats.embedded_rows
    scan = _Scan(max(least, CANDIDATES_PER_EXPECTED * k if is_filtered else k))
    # What a filter takes on average that the query knows nothing of, with a margin.
    expected = CANDIDATES_PER_EXPECTED * k * stats.embedded_rows / matching
    if is_filtered and expected <= MAX_FIRST_SCAN_SHARE * affordable:
        scan.candidates = max(scan.candidates, expected)
    while scan.candidates <= min(affordable, stats.most_candidates):
        yield scan
        affordable -= scan.candidates
        if scan.is_caught and not scan.is_wide:
            scan = _Scan(max(scan.candidates, MAX_EF_SEARCH), is_wide=True)
        elif scan.is_caught or not scan.found:
            return
        else:
            scan = _Scan(CANDIDATES_PER_EXPECTED * k * scan.candidates / scan.found, scan.is_wide)


def _affordable_candidates(matching: float, stats: CollectionStats) -> float:
    costs = ScanCosts.of_table(stats.embedded_bytes)
    start_scan = costs.start_scan
    if stats.has_lists:
        costs = replace(costs, visit_candidate=ivfflat.CANDIDATE_MICROSECONDS)
        start_scan = ivfflat.start_microseconds(stats.index)
    exact_scan = costs.compare_joined_row * matching
    return costs.affordable_candidates(exact_scan, start_scan + SCAN_STATEMENTS_MICROSECONDS)
