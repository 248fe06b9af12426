"""All pairs of vectors at a cosine similarity or above: exactly, or fast with a measured recall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imgvec_pg.duplicates.pair_search import torch_comparison
from imgvec_pg.duplicates.pair_search.comparison import Comparison, Found, no_pairs, project_rows
from imgvec_pg.duplicates.pair_search.comparison import similarities as similarities
from imgvec_pg.duplicates.pair_search.fast import fast_pairs
from imgvec_pg.duplicates.pair_search.partition import CrossPartition
from imgvec_pg.duplicates.pair_search.scheduling import (
    Finished,
    PairSearch,
    Progress,
    exact_partition,
    refuse_too_many,
    run_partition,
)
from imgvec_pg.duplicates.pair_search.scheduling import TooManyPairsError as TooManyPairsError
from imgvec_pg.duplicates.pair_search.torch_comparison import TorchComparison, float32_products
from imgvec_pg.duplicates.plan import COORDINATE_BYTES, plan_pairs
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.errors import UsageError
from imgvec_pg.processors import usable_cpus

Indices = npt.NDArray[np.intp]

BLOCK = 512, 1024
"""Rows and columns whose products stay in a processor's cache."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once, by the first row and then the second.

    Attributes:
        first: Shape (n,); below `second`.
        second: Shape (n,).
        similarities: Cosine similarity, float64.
        skipped: Rows that have no direction: zero, or not finite.
        checked: Pairs of sampled rows, each compared with all, by which a fast search was measured; None where none is missed.
        recall: The share of them that it had found by itself; None without any.
    """

    first: Indices
    second: Indices
    similarities: npt.NDArray[np.float64]
    skipped: int = 0
    checked: int | None = None
    recall: float | None = None


def find_pairs(
    vectors: Halves,
    threshold: float,
    *,
    among: Indices | None = None,
    fast: bool = False,
    max_pairs: int = 5_000_000,
    found_before: int = 0,
    devices: Sequence[str] = (),
    block_rows: int | None = None,
    block_columns: int | None = None,
    bytes_of_coordinates: int = COORDINATE_BYTES,
    progress: Progress = lambda done, total: None,
    finished: Finished = lambda rows, found: None,
) -> Pairs:
    """Find every pair of rows whose cosine similarity is `threshold` or more.

    Args:
        vectors: Shape (n, d), float16, of about norm 1 as halfvec columns hold them.
        threshold: Above 0, up to 1.
        among: The rows to compare, ascending; all without.
        fast: Whether some pairs may be missed; how many is measured.
        max_pairs: Stop where there are more.
        found_before: Pairs that count too.
        devices: Where torch compares, such as "cuda:0"; without any numpy does, on all processors.
        block_rows: Rows compared together, times `block_columns`; they change no result.
        bytes_of_coordinates: What the coordinates of one row may take in memory; more helps where few axes tell little.
        progress: Called with comparisons done and all that are to be done.
        finished: Called, where no pair may be missed, with rows of which every pair has been looked at with each row not
            finished before, and with the pairs found so.

    Raises:
        UsageError: The threshold is out of range.
        TooManyPairsError: By a sample, or by what was found so far.
    """
    check_threshold(threshold)
    compare, threads, block = _means(devices)
    block = block_rows or block[0], block_columns or block[1]
    search = PairSearch(threshold, max_pairs, found_before, block, bytes_of_coordinates, compare, threads)
    given = np.arange(len(vectors)) if among is None else among
    rows = given[with_direction(vectors, given)]
    skipped = len(given) - len(rows)
    if len(rows) < 2:
        return as_pairs(no_pairs(), skipped)
    # One product a thread of ours: BLAS's own threads wait for each other, spinning, longer than such short products take.
    with threadpool_limits(1, user_api="blas"), float32_products(devices):
        plan = plan_pairs(vectors, rows, search.threshold, search.bytes_of_coordinates)
        refuse_too_many(search, plan.expected_pairs, "by a sample", about=True)
        projected = project_rows(vectors, rows, search.threshold, plan)
        if fast:
            found, checked, recall = fast_pairs(vectors, projected, search, progress, finished)
            return as_pairs(found, skipped, checked, recall)
        partition = exact_partition(vectors, projected, search)
        del projected
        return as_pairs(run_partition(partition, search, progress, finished), skipped)


def cross_pairs(
    vectors: Halves,
    threshold: float,
    some: Indices,
    others: Indices,
    *,
    max_pairs: int = 5_000_000,
    bytes_of_coordinates: int = COORDINATE_BYTES,
    progress: Progress = lambda done, total: None,
) -> Found:
    """Return the pairs of some rows with others, exactly; arguments as of `find_pairs`."""
    some, others = (rows[with_direction(vectors, rows)] for rows in (some, others))
    if not len(some) or not len(others):
        return no_pairs()
    search = PairSearch(threshold, max_pairs, 0, BLOCK, bytes_of_coordinates, Comparison, usable_cpus())
    rows = np.concatenate([some, others])
    with threadpool_limits(1, user_api="blas"):
        plan = plan_pairs(vectors, rows, threshold, bytes_of_coordinates)
        comparison = Comparison(vectors, threshold, project_rows(vectors, rows, threshold, plan))
        return run_partition(CrossPartition(comparison, len(some), BLOCK), search, progress)


def _means(devices: Sequence[str]) -> tuple[Callable[..., Comparison], int, tuple[int, int]]:
    """Return what compares, in how many threads, and how many rows and columns together."""
    if not devices:
        return Comparison, usable_cpus(), BLOCK
    threads = torch_comparison.THREADS_OF_A_DEVICE * len(devices)
    return partial(TorchComparison, devices=devices), threads, torch_comparison.BLOCK


def with_direction(vectors: Halves, rows: Indices) -> npt.NDArray[np.bool_]:
    """Say of rows whether they have a direction: not zero, and finite."""
    found = np.empty(len(rows), dtype=np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(rows), 8192):
            part = slice(first, first + 8192)
            block = vectors[rows[part]].astype(np.float32)
            squares = np.einsum("ij,ij->i", block, block)
            found[part] = np.isfinite(squares) & (squares > 0)
    return found


def check_threshold(threshold: float) -> None:
    """Refuse what cannot be a threshold.

    Raises:
        UsageError: It is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"the threshold is {threshold:g}; expected a cosine similarity above 0, up to 1")


def as_pairs(found: Found, skipped: int, checked: int | None = None, recall: float | None = None) -> Pairs:
    """Sort pairs, and keep each once."""
    first, second, values = found
    order = np.lexsort((second, first))
    first, second, values = first[order], second[order], values[order]
    kept = np.ones(len(first), dtype=np.bool_)
    kept[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Pairs(first[kept], second[kept], values[kept], skipped, checked, recall)
