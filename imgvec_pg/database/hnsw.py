"""HNSW index options, as pgvector bounds them."""

from dataclasses import dataclass

from imgvec_pg.errors import UsageError

# pgvector 0.8 src/hnsw.h: HNSW_MIN_M, HNSW_MAX_M, HNSW_MIN_EF_CONSTRUCTION, HNSW_MAX_EF_CONSTRUCTION.
M_RANGE = (2, 100)
EF_CONSTRUCTION_RANGE = (4, 1000)
DEFAULT_EF_SEARCH, MAX_EF_SEARCH = 40, 1000  # HNSW_DEFAULT_EF_SEARCH, HNSW_MAX_EF_SEARCH
MAX_CANDIDATES = 20_000
"""Candidates that a search takes from an index at most; an iterative scan remembers all that it met, some 2 KB for each."""


@dataclass(frozen=True)
class HnswParams:
    """Links per node and candidates kept while building; pgvector's defaults.

    Raises:
        UsageError: m is not 2 to 100, or ef_construction not 2 * m to 1000.
    """

    m: int = 16
    ef_construction: int = 64

    def __post_init__(self) -> None:
        low, high = M_RANGE
        if not low <= self.m <= high:
            raise UsageError(f"m is {self.m}; expected {low} to {high}")
        lowest = max(EF_CONSTRUCTION_RANGE[0], 2 * self.m)
        if not lowest <= self.ef_construction <= EF_CONSTRUCTION_RANGE[1]:
            raise UsageError(
                f"ef_construction is {self.ef_construction}; expected {lowest} (2 * m) to {EF_CONSTRUCTION_RANGE[1]}"
            )
