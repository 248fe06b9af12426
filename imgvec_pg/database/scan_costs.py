"""What an index scan and an exact scan cost: one table for Python (search/strategy.py) and SQL (sql/collection/search.sql)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ScanCosts:
    """Microseconds, for embedding tables of one range of sizes. Only their proportions matter.

    Attributes:
        max_table_bytes: Up to this size: what searches share of a table then stays in the processor's caches, or does not.
        start_scan: Of an HNSW scan before its first candidate, beyond what an exact scan takes before its first row.
        visit_candidate: Of an HNSW scan, for each candidate.
        compare_key: Of an exact scan, for each row whose key is handed over as an array: search_* look it up themselves.
        compare_joined_row: The same for each row that a join of the source with the embedding table gives: search() and all
            else in Python.
    """

    max_table_bytes: float
    start_scan: float
    visit_candidate: float
    compare_key: float
    compare_joined_row: float

    @classmethod
    def of_table(cls, table_bytes: float) -> "ScanCosts":
        """Return the costs for an embedding table of this size."""
        return next(costs for costs in SCAN_COSTS_MICROSECONDS if table_bytes <= costs.max_table_bytes)

    def affordable_candidates(self, exact_scan: float, start_scan: float) -> float:
        """Return how many candidates index scans may visit beside an exact scan of so many microseconds; below 0: none."""
        return (MAX_SCAN_SHARE * exact_scan - start_scan) / self.visit_candidate


SCAN_COSTS_MICROSECONDS = (
    # table up to: start, candidate, key, joined row
    ScanCosts(32 << 20, 0, 5.5, 0.92, 1.5),
    ScanCosts(512 << 20, 0, 5.5, 2.75, 4.5),
    ScanCosts(math.inf, 1500, 6.0, 4.0, 10.0),
)
"""Measured with 12, 112 and 1,116 MiB (benchmarks/results/visits.txt): a candidate costs 5.9, 6.6 and 7.2 us, a key 1.0, 1.9 and
3.8 (the slope from 300 to 3,000 of them); a scan starts with 0.1, 0.1 and 2.2 ms, the comparing of keys with 0.2 to 0.3. The
middle range is priced between its own measurement and the next. A joined row costs 1.5 to 2.5 times a key
(benchmarks/results/search.txt: the exact scans of search_* and those of search() with one join)."""

SCAN_STATEMENTS_MICROSECONDS = 300
"""From Python a scan is three statements more: its settings set and put back (0.05 ms together), and the scan itself, which is
planned (benchmarks/results/planning.txt: 0.3 ms without any join). search_* set and scan inside one call."""

MAX_SCAN_SHARE = 0.6
"""An index scan may cost this share of the exact scan: in vain, or left out where it would do, that is 1.6 times the best."""
MAX_FIRST_SCAN_SHARE = 0.25
"""So much of that share a first scan may take for what a filter that the query knows nothing of makes necessary."""
CANDIDATES_PER_EXPECTED = 2
"""Candidates taken for each that would do on average: filters and queries differ."""
FEW_ROWS_PER_RESULT, FEW_ROWS_MIN_K = 8, 20
"""Where at most 8 * max(k, 20) rows match, the shortest index scan costs more than the exact scan."""
