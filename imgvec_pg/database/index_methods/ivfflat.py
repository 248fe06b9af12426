"""IVFFlat: vectors in lists around centres that k-means found in a sample; a scan reads the nearest lists whole."""

import math
from collections.abc import Mapping, Sequence

from imgvec_pg.database.index_methods.hnsw import BLOCK_BYTES, aligned, value_bytes
from imgvec_pg.database.index_methods.scan import IndexFacts, check_range

# pgvector 0.8 src/ivfflat.h: IVFFLAT_DEFAULT_LISTS, IVFFLAT_MIN_LISTS, IVFFLAT_MAX_LISTS; probes have the same range.
DEFAULT_LISTS, MAX_LISTS = 100, 32_768
DEFAULT_PROBES = 1  # IVFFLAT_DEFAULT_PROBES
SAMPLES_PER_LIST, LEAST_SAMPLES = 50, 10_000
"""src/ivfbuild.c: ComputeCenters takes 50 vectors a list, 10,000 at least."""
SQRT_RULE_ROWS = 1_000_000
"""pgvector's README, "IVFFlat": rows / 1000 lists up to a million rows and sqrt(rows) beyond; sqrt(lists) probes."""
VISIT_ROW_MICROSECONDS = 0.7
"""For each vector of a list that is read; benchmarks/results/index_methods.txt: 0.5 to 0.7 from 1,000 vectors up."""
ROWS_PER_CANDIDATE = 4
"""Vectors read for each candidate wanted: of the nearest lists many lie on the far side. Of 8,000 rows in 80 lists the nearest
300 were found to 0.90 among 900, and to more among 1,200 (tests/search/test_index_methods.py)."""
CANDIDATE_MICROSECONDS = ROWS_PER_CANDIDATE * VISIT_ROW_MICROSECONDS + 1.5
"""For each candidate that conditions choose from; its key is looked up."""


class IvfflatMethod:
    """Settings of a scan (pgvector 0.8 src/ivfflat.c)."""

    label = "IVFFlat"
    tuned = "probes"
    largest = MAX_LISTS
    unknown_settings: Mapping[str, str] = {
        "ivfflat.iterative_scan": "off",
        "ivfflat.probes": "1",
        "ivfflat.max_probes": str(MAX_LISTS),
    }

    def scan_settings(self, index: IndexFacts, candidates: int, iterative_scan: str) -> dict[str, str]:
        """Read so many lists at once as hold the candidates, and go on where these hold fewer.

        It goes on in relaxed order only, so not where the rows cannot be put in order afterwards.
        """
        return {
            "ivfflat.iterative_scan": iterative_scan if iterative_scan == "relaxed_order" else "off",
            "ivfflat.probes": str(probes_for(index, candidates)),
            "ivfflat.max_probes": str(MAX_LISTS),
        }

    def measured_settings(self, value: int) -> dict[str, str]:
        """Read that many lists, and go on only where they hold too few rows."""
        return {
            "ivfflat.iterative_scan": "relaxed_order",
            "ivfflat.probes": str(value),
            "ivfflat.max_probes": str(MAX_LISTS),
        }

    def steps(self, k: int, lists: int) -> Sequence[int]:
        """Return 1, 2, 4, 8, … up to all lists."""
        return [*(1 << power for power in range(lists.bit_length()) if 1 << power < lists), lists]


def check_lists(lists: int | None) -> None:
    """Refuse a number of lists that pgvector does not take.

    Raises:
        UsageError: Neither None nor 1 to 32,768.
    """
    if lists is not None:
        check_range("lists", lists, 1, MAX_LISTS)


def default_lists(rows: float) -> int:
    """Return how many lists suit so many rows."""
    wanted = rows / 1000 if rows <= SQRT_RULE_ROWS else math.sqrt(rows)
    return max(1, min(MAX_LISTS, round(wanted)))


def default_probes(lists: int) -> int:
    """Return how many lists a search reads where nobody has tuned it."""
    return math.ceil(math.sqrt(lists))


def probes_for(index: IndexFacts, candidates: float) -> int:
    """Return how many lists a scan for so many candidates reads, at least the probes of the index; 1 to its lists."""
    wanted = math.ceil(ROWS_PER_CANDIDATE * candidates * index.lists / max(index.rows, 1.0))
    return max(1, min(index.lists, max(index.probes, wanted)))


def start_microseconds(index: IndexFacts) -> float:
    """Return what a scan takes before it gives its first candidate: all centres and the rows of the nearest lists."""
    return VISIT_ROW_MICROSECONDS * (index.lists + index.probes * index.rows / index.lists)


def build_bytes(rows: int, dimensions: int, lists: int) -> int:
    """Return the maintenance_work_mem, in bytes, without which pgvector refuses to find the centres.

    src/ivfkmeans.c: ElkanKmeans adds up the sample, the centres twice, their sums in float4, a bound for each sample and
    centre, half the distances between the centres and some arrays of their numbers; the rows are sorted in the same memory,
    and beyond it on disk.
    """
    samples = max(LEAST_SAMPLES, SAMPLES_PER_LIST * lists)
    samples = min(samples, max(rows, 1))
    vector = aligned(value_bytes(dimensions, None))
    return (
        (samples + 2 * lists) * vector
        + 4 * lists * dimensions
        + 4 * samples * (lists + 2)
        + 4 * lists * (lists + 3)
        + (1 << 20)
    )


# A page's header with IvfflatPageOpaqueData, a line pointer, and an index tuple's header (src/ivfflat.h).
PAGE_BYTES, LINE_POINTER_BYTES, TUPLE_HEADER_BYTES = BLOCK_BYTES - 24 - 8, 4, 8


def index_bytes(rows: int, dimensions: int, lists: int) -> int:
    """Return the size of an index freshly built: each list begins a page, and its last is half full on average."""
    entry = aligned(TUPLE_HEADER_BYTES + value_bytes(dimensions, None)) + LINE_POINTER_BYTES
    per_page = max(1, PAGE_BYTES // entry)
    return (math.ceil(rows / per_page) + math.ceil(lists / per_page) + lists // 2 + 1) * BLOCK_BYTES
