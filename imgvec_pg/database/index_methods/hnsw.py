"""HNSW: parameters within pgvector's bounds, settings of a scan, memory and size of an index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imgvec_pg.database.index_methods.scan import IndexFacts
from imgvec_pg.errors import UsageError

# pgvector 0.8 src/hnsw.h: HNSW_MIN_M, HNSW_MAX_M, HNSW_MIN_EF_CONSTRUCTION, HNSW_MAX_EF_CONSTRUCTION.
M_RANGE = (2, 100)
EF_CONSTRUCTION_RANGE = (4, 1000)
BIT_OVERFETCH = 20
"""Candidates for each row wanted, where the index holds bits; benchmarks/results/index.txt shows what it gives."""
DEFAULT_EF_SEARCH, MAX_EF_SEARCH = 40, 1000  # HNSW_DEFAULT_EF_SEARCH, HNSW_MAX_EF_SEARCH
MAX_CANDIDATES = 20_000
"""Candidates that a search takes from an index at most; an iterative scan remembers all that it met, some 2 KB for each."""

CURSOR_DEFAULT = ("cursor_tuple_fraction", "1")
"""What every `imgvec migrate` sets where its role owns the database. A cursor is planned for its first tenth, that is by an index
that ends before all rows have come, with strict_order too; so it is planned as the same query without a cursor."""
DATABASE_DEFAULTS = {
    "hnsw.iterative_scan": "strict_order",
    "hnsw.max_scan_tuples": "100000",
    "hnsw.scan_mem_multiplier": "4",
    CURSOR_DEFAULT[0]: CURSOR_DEFAULT[1],
}
"""What `imgvec migrate --database-defaults` sets, with which near_* go on where conditions or a large LIMIT need more rows than
hnsw.ef_search. Such a scan ends by tuples (20,000 by default) or by memory, 144 bytes a row: at work_mem's 4 MB and the
default multiplier of 1 after some 29,000 rows. So both are raised, to 14 of 16 MB."""


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


LADDER = (10, 20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000)
BIT_LADDER = (*LADDER, 1500, 2000, 3000, 5000, 8000, 12_000, MAX_CANDIDATES)
"""Candidates of an index of bits, which are ranked again: beyond MAX_EF_SEARCH an iterative scan goes on for them."""


class HnswMethod:
    """Settings of a scan (pgvector 0.8 src/hnsw.c)."""

    label = "HNSW"
    tuned = "ef_search"
    largest = MAX_EF_SEARCH
    unknown_settings: Mapping[str, str] = {
        "hnsw.iterative_scan": "off",
        "hnsw.ef_search": str(DEFAULT_EF_SEARCH),
        "hnsw.max_scan_tuples": "20000",
        "hnsw.scan_mem_multiplier": "1",
    }

    def scan_settings(self, index: IndexFacts, candidates: int, iterative_scan: str) -> dict[str, str]:
        """Keep a list of so many candidates.

        Beyond the longest list an iterative scan goes on, without its usual ends: after these it would give what it had
        discarded.
        """
        return {
            "hnsw.iterative_scan": "off" if candidates <= MAX_EF_SEARCH else iterative_scan,
            "hnsw.ef_search": str(min(MAX_EF_SEARCH, candidates)),
            "hnsw.max_scan_tuples": "2147483647",
            "hnsw.scan_mem_multiplier": "1000",
        }

    def measured_settings(self, value: int) -> dict[str, str]:
        """Go on until LIMIT is met, nearest first."""
        return {"hnsw.iterative_scan": "strict_order", "hnsw.ef_search": str(min(value, MAX_EF_SEARCH))}

    def steps(self, k: int, lists: int) -> Sequence[int]:
        """Return steps from the least that a search for k rows sets."""
        return sorted({max(step, min(k, MAX_EF_SEARCH)) for step in LADDER})


BLOCK_BYTES = 8192
# A page's header, its line pointers, and HnswPageOpaqueData (src/hnsw.h).
PAGE_HEADER_BYTES, LINE_POINTER_BYTES, PAGE_OPAQUE_BYTES = 24, 4, 8
# sizeof(HnswElementData), (HnswNeighborArray) without items, (HnswCandidate), a pointer: src/hnsw.h.
ELEMENT_BYTES, NEIGHBOR_ARRAY_BYTES, CANDIDATE_BYTES, POINTER_BYTES = 128, 8, 16, 8
# offsetof(HnswElementTupleData, data), offsetof(HnswNeighborTupleData, indextids), sizeof(ItemPointerData): src/hnsw.h.
ELEMENT_TUPLE_BYTES, NEIGHBOR_TUPLE_BYTES, ITEM_POINTER_BYTES = 72, 4, 6
# A build without parallel workers allocates in a memory context, which heads each chunk (PostgreSQL
# src/include/utils/memutils_memorychunk.h: MemoryChunk).
CHUNK_HEADER_BYTES = 8
# Of maintenance_work_mem a parallel build leaves 3 MB to others and stops 1 MB before the end (src/hnswbuild.c:
# HnswBeginParallel, InsertTuple).
PARALLEL_RESERVE_BYTES = 4 << 20


def aligned(count: int) -> int:
    """Round up to a multiple of eight, as PostgreSQL's MAXALIGN does."""
    return -(-count // 8) * 8


def value_bytes(dimensions: int, quantization: str | None) -> int:
    """Return the size of what is indexed: a halfvec (src/halfvec.h: HALFVEC_SIZE) or a bit string (VARBITTOTALLEN)."""
    return 8 + (-(-dimensions // 8) if quantization == "bit" else 2 * dimensions)


def graph_bytes(rows: int, dimensions: int, m: int, quantization: str | None = None) -> int:
    """Return the maintenance_work_mem, in bytes, that keeps a whole graph in memory while it is built.

    Each element has 2 * m links on the ground layer and m on each layer above, of which there are 1 / (m - 1) on
    average (src/hnswutils.c: HnswInitElement draws the level as -ln(uniform) / ln(m)).
    """
    upper = 1 / (m - 1)
    chunk = CHUNK_HEADER_BYTES + POINTER_BYTES + NEIGHBOR_ARRAY_BYTES + CANDIDATE_BYTES * m
    element = (
        ELEMENT_BYTES
        + POINTER_BYTES
        + NEIGHBOR_ARRAY_BYTES
        + CANDIDATE_BYTES * 2 * m
        + aligned(value_bytes(dimensions, quantization))
        + 4 * CHUNK_HEADER_BYTES
    )
    return int(rows * (element + upper * chunk)) + PARALLEL_RESERVE_BYTES


def index_bytes(rows: int, dimensions: int, m: int, quantization: str | None = None) -> int:
    """Return the size of an index freshly built; elements and their neighbours stay whole within pages.

    src/hnsw.h: HNSW_ELEMENT_TUPLE_SIZE, HNSW_NEIGHBOR_TUPLE_SIZE; src/hnswbuild.c: CreateGraphPages keeps the two
    on one page where they fit together.
    """
    element = aligned(ELEMENT_TUPLE_BYTES + value_bytes(dimensions, quantization)) + LINE_POINTER_BYTES
    links = m * (2 + 1 / (m - 1))
    neighbors = aligned(int(NEIGHBOR_TUPLE_BYTES + ITEM_POINTER_BYTES * links)) + LINE_POINTER_BYTES
    usable = BLOCK_BYTES - PAGE_HEADER_BYTES - PAGE_OPAQUE_BYTES
    together = element + neighbors
    if together > usable:
        return rows * 2 * BLOCK_BYTES
    return -(-rows // (usable // together)) * BLOCK_BYTES
