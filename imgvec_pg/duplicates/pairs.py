"""All pairs of vectors at a cosine similarity or above, exactly: most are discarded by a bound, the rest computed.

Components of a halfvec are multiples of 2^-24 and a vector's norm is about 1, so every product of two components, and every sum
of such products, is a multiple of 2^-48 below 2: float64 has it exactly, in whatever order it is added. So the similarity
of a pair is the same number in every run, on every machine and with any size of blocks.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imgvec_pg.duplicates.cells import Cells, make_cells
from imgvec_pg.duplicates.plan import COORDINATE_BYTES, Plan, plan_pairs
from imgvec_pg.duplicates.projection import Floats, Halves, project, search_form, slack
from imgvec_pg.errors import UsageError

Indices = npt.NDArray[np.intp]
Progress = Callable[[int, int], None]

VERIFIED_TOGETHER = 4096


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once, by the first row and then the second.

    Attributes:
        first: Shape (n,); below `second`.
        second: Shape (n,).
        similarities: Cosine similarity, float64.
        skipped: Rows that have no direction: zero, or not finite.
    """

    first: Indices
    second: Indices
    similarities: npt.NDArray[np.float64]
    skipped: int = 0


class TooManyPairsError(UsageError):
    """More pairs are near than were allowed for."""


def find_pairs(
    vectors: Halves,
    threshold: float,
    *,
    max_pairs: int = 5_000_000,
    block_rows: int = 512,
    block_columns: int = 4096,
    bytes_of_coordinates: int = COORDINATE_BYTES,
    progress: Progress = lambda done, total: None,
) -> Pairs:
    """Find every pair of rows whose cosine similarity is `threshold` or more.

    Args:
        vectors: Shape (n, d), float16, of about norm 1 as halfvec columns hold them.
        threshold: Above 0, up to 1.
        max_pairs: Stop where there are more.
        block_rows: Rows compared together, times `block_columns`; they change no result.
        bytes_of_coordinates: What the coordinates of one row may take in memory; more helps where few axes tell little.
        progress: Called with comparisons done and all that are to be done.

    Raises:
        UsageError: The threshold is out of range.
        TooManyPairsError: By a sample, or by what was found so far.
    """
    check_threshold(threshold)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    rows = np.flatnonzero(np.isfinite(squares) & (squares > 0))
    skipped = len(vectors) - len(rows)
    if len(rows) < 2:
        empty = np.empty(0, dtype=np.intp)
        return Pairs(empty, empty, np.empty(0), skipped)
    # One product a thread of ours: BLAS's own threads wait for each other, spinning, longer than such short products take.
    with threadpool_limits(1, user_api="blas"):
        plan = plan_pairs(vectors, rows, threshold, bytes_of_coordinates)
        search = _PairSearch(vectors, rows, threshold, plan, block_rows, block_columns)
        return _sorted(search.run(max_pairs, progress), skipped)


def check_threshold(threshold: float) -> None:
    """Refuse what cannot be a threshold.

    Raises:
        UsageError: It is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"the threshold is {threshold:g}; expected a cosine similarity above 0, up to 1")


def similarities(vectors: Halves, first: Indices, second: Indices) -> npt.NDArray[np.float64]:
    """Return the cosine similarity of each pair, as the module's first lines say it is exact up to the final division."""
    found = np.empty(len(first))
    for start in range(0, len(first), VERIFIED_TOGETHER):
        part = slice(start, start + VERIFIED_TOGETHER)
        left, right = vectors[first[part]].astype(np.float64), vectors[second[part]].astype(np.float64)
        norms = np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right)
        found[part] = np.einsum("ij,ij->i", left, right) / np.sqrt(norms)
    return found


def _sorted(found: list[tuple[Indices, Indices, npt.NDArray[np.float64]]], skipped: int) -> Pairs:
    first, second, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], values[order], skipped)


class _PairSearch:
    """One search: rows in the order of their cells, projected twice."""

    def __init__(
        self,
        vectors: Halves,
        rows: Indices,
        threshold: float,
        plan: Plan,
        block_rows: int,
        block_columns: int,
    ) -> None:
        self.vectors, self.threshold = vectors, threshold
        self.columns, self.expected_pairs = block_columns, plan.expected_pairs
        (near, self.fine), largest = project(vectors, rows, plan.axes, (plan.coarse, plan.fine))
        # Of vectors of norm 1 at this similarity.
        radius = 2 - 2 * threshold
        self.coarse_most = radius + slack(plan.coarse, largest)
        self.fine_most = radius + slack(plan.fine, largest)
        self.cells: Cells = make_cells(near, block_rows)
        self.fine = self.fine[self.cells.order]
        self.rows = rows[self.cells.order]
        self.left, right = search_form(near[self.cells.order])
        self.right = np.ascontiguousarray(right.T)

    def run(
        self, max_pairs: int, progress: Progress
    ) -> list[tuple[Indices, Indices, npt.NDArray[np.float64]]]:
        """Compare each cell with those behind it, on all processors."""
        if self.expected_pairs > max_pairs:
            raise TooManyPairsError(
                f"about {self.expected_pairs:,.0f} pairs are within the threshold {self.threshold:g}, by a sample; expected at "
                f"most {max_pairs:,}: raise the threshold, or --max-pairs"
            )
        count = len(self.cells.edges) - 1
        widths = np.diff(self.cells.edges)
        near = [self.cells.near(cell, self.coarse_most) for cell in range(count)]
        work = [int(widths[cell] * widths[others].sum()) for cell, others in enumerate(near)]
        total, done, pairs = sum(work), 0, 0
        found = [(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pending: dict[Future[tuple[Indices, Indices, npt.NDArray[np.float64]]], int] = {}
            remaining = iter(range(count))
            try:
                while True:
                    for cell in remaining:
                        pending[pool.submit(self._compare, cell, near[cell])] = cell
                        if len(pending) >= 4 * (os.cpu_count() or 1):
                            break
                    if not pending:
                        return found
                    ready, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in ready:
                        done += work[pending.pop(future)]
                        found.append(future.result())
                        pairs += len(found[-1][0])
                    if pairs > max_pairs:
                        raise TooManyPairsError(
                            f"{pairs:,} pairs are within the threshold {self.threshold:g} after {done / max(total, 1):.0%} of "
                            f"the comparisons; expected at most {max_pairs:,}: raise the threshold, or --max-pairs"
                        )
                    progress(done, total)
            finally:
                for future in pending:
                    future.cancel()

    def _compare(self, cell: int, others: Indices) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
        """Return the pairs of one cell's rows with their own cell's and the others'."""
        start, end = int(self.cells.edges[cell]), int(self.cells.edges[cell + 1])
        found = [self._pairs(start, end, low, high) for low, high in self._runs(others)]
        first, second, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return first, second, values

    def _pairs(
        self, start: int, end: int, low: int, high: int
    ) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
        """Return the pairs of two runs of rows."""
        first, second = self._candidates(start, end, low, high)
        kept = self._is_near(first, second)
        first, second = self.rows[first[kept]], self.rows[second[kept]]
        first, second = np.minimum(first, second), np.maximum(first, second)
        values = similarities(self.vectors, first, second)
        near = values >= self.threshold
        return first[near], second[near], values[near]

    def _runs(self, cells: Indices) -> Iterator[tuple[int, int]]:
        """Give runs of rows that these cells are, each of at most the block's columns, or one cell."""
        edges = self.cells.edges
        low, high = int(edges[cells[0]]), int(edges[cells[0] + 1])
        for cell in cells[1:]:
            begin, end = int(edges[cell]), int(edges[cell + 1])
            if begin != high or end - low > self.columns:
                yield low, high
                low = begin
            high = end
        yield low, high

    def _candidates(self, start: int, end: int, low: int, high: int) -> tuple[Indices, Indices]:
        """Return pairs that the product over few axes does not discard."""
        products = self.left[start:end] @ self.right[:, low:high]
        marks = products >= np.float32(-self.coarse_most / 2)
        places = _marked(marks.reshape(-1))
        first, second = places // (high - low) + start, places % (high - low) + low
        behind = first < second
        return first[behind], second[behind]

    def _is_near(self, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
        """Say which pairs the distance over more axes does not discard."""
        kept = np.empty(len(first), dtype=np.bool_)
        for start in range(0, len(first), VERIFIED_TOGETHER):
            part = slice(start, start + VERIFIED_TOGETHER)
            differences: Floats = self.fine[first[part]] - self.fine[second[part]]
            kept[part] = np.einsum("ij,ij->i", differences, differences) <= self.fine_most
        return kept


def _marked(marks: npt.NDArray[np.bool_]) -> Indices:
    """Return where marks are set; eight are looked at together, as nearly none is."""
    whole = len(marks) // 8 * 8
    words = np.flatnonzero(marks[:whole].view(np.uint64))
    places = (words[:, None] * 8 + np.arange(8)).reshape(-1)
    return np.concatenate([places[marks[places]], whole + np.flatnonzero(marks[whole:])])
