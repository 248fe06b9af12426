"""What recall is measured of, and what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imgvec_pg.database.index_methods.hnsw import MAX_CANDIDATES, MAX_EF_SEARCH
from imgvec_pg.database.index_methods.ivfflat import MAX_LISTS
from imgvec_pg.database.index_methods.scan import IndexMethod, check_range
from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_types import RowKey

MAX_K = 1000
LEAST_QUESTIONS = 20


@dataclass(frozen=True)
class RecallOptions:
    """What is measured.

    Attributes:
        k: Neighbours, 1 to 1000.
        where: SQL condition over the source's columns that the neighbours meet.
        ask_matching: Ask with rows that meet the condition too, instead of with any rows.
        sample: Queries, 20 to 100,000.
        seed: Draws the queries.
        max_seconds: When to stop, at least 1.
        ef_searches: Settings of an HNSW index, 1 to 1000, of bits up to 20,000; None for a ladder from k up.
        probes: Settings of an IVFFlat index, 1 to 32,768; None for 1, 2, 4, … up to all lists.

    Raises:
        UsageError: A value is out of range.
    """

    k: int = 10
    where: str | None = None
    ask_matching: bool = False
    sample: int = 200
    seed: int = 0
    max_seconds: float = 120
    ef_searches: Sequence[int] | None = None
    probes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise UsageError(f"k is {self.k}; expected 1 to {MAX_K} neighbours")
        if not LEAST_QUESTIONS <= self.sample <= 100_000:
            raise UsageError(f"the sample is {self.sample}; expected {LEAST_QUESTIONS} to 100000 queries")
        if not 1 <= self.max_seconds <= 86_400:
            raise UsageError(f"the time is {self.max_seconds:g} s; expected 1 to 86400")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"the seed is {self.seed}; expected 0 to {(1 << 31) - 1}")
        if self.where is not None and (not self.where.strip() or "\0" in self.where):
            raise UsageError(
                'the condition is empty; expected SQL over the source\'s columns, such as "price < 50"'
            )
        if self.ask_matching and self.where is None:
            raise UsageError("there is no condition that rows could match; add --where")
        for ef_search in self.ef_searches or ():
            check_range("ef_search", ef_search, 1, MAX_CANDIDATES)
        for probes in self.probes or ():
            check_range("probes", probes, 1, MAX_LISTS)

    def require_settings(self, name: str, method: IndexMethod, *, is_quantized: bool) -> None:
        """Refuse settings that the collection's index does not have.

        Raises:
            UsageError: They are another method's, or beyond what an index of whole vectors takes.
        """
        asked = {"ef_search": self.ef_searches, "probes": self.probes}
        for setting, values in asked.items():
            if values is not None and setting != method.tuned:
                raise UsageError(
                    f"the index of {name} is {method.label}, which has no {setting}; "
                    f"expected {method.tuned or 'no setting: it is measured as the session has it'}"
                )
        for value in () if is_quantized else self.ef_searches or ():
            check_range("ef_search", value, 1, MAX_EF_SEARCH)


@dataclass(frozen=True)
class Setting:
    """What one setting of the index gives.

    Attributes:
        value: ef_search of an HNSW index, probes of an IVFFlat index, 0 of one that is measured as the session has it.
        strategy: "index", or "exact" where PostgreSQL's plan does not use the index: there is no recall to measure then.
        recall: Mean over the queries of the share of the k nearest that were found; low and high bound it at 95 %.
        short: Queries that the index answered with fewer rows than there are; searches then compare all rows.
        p50_ms: Time of a query as the client sees it, with planning; p95_ms likewise.
    """

    value: int
    strategy: str
    recall: float | None
    low: float | None
    high: float | None
    p50_ms: float
    p95_ms: float
    short: int


@dataclass(frozen=True)
class RecallQuery:
    """A row that is asked with, and the exact distances of its nearest rows, nearest first."""

    row: RowKey
    distances: Sequence[float]


@dataclass(frozen=True)
class Exact:
    """The exact answers; times in milliseconds."""

    questions: Sequence[RecallQuery]
    p50_ms: float
    p95_ms: float


INDEX_ROUNDING = 2e-4
"""By how much cosine distances in an index may differ from those of its rows: pgvector 0.8 scales a halfvec to length 1 and
rounds it to halves again (src/hnswutils.c). Seen: 1.0e-4 of 128 dimensions, 1.8e-4 of 8."""


def share_found(found: Sequence[float], exact: Sequence[float], rounding: float = 0.0) -> float:
    """Return the share of the exact neighbours that were found; one as near as the last of them counts.

    Args:
        rounding: How much further one may be and still counts.
    """
    return min(sum(distance <= exact[-1] + rounding for distance in found) / len(exact), 1.0)


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds; NaN of nothing."""
    if not seconds:
        return float("nan"), float("nan")
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return float(p50), float(p95)
