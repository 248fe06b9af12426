"""Coordinates of rows along a few axes, in half precision, which a run keeps: what comes later is compared by them first.

By them as by `projection` no pair is discarded wrongly. Rounding a row's coordinates, float64 to float32 to float16, moves it
by at most 2^-11 of its distance from the centre, and 2^-25 an axis where a half is subnormal; so two rows may come closer, or
go further apart, by twice that, which `_most` adds to the radius.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from imgvec_pg.duplicates.projection import Axes, Floats, Halves, principal_axes, project, search_form, slack
from imgvec_pg.processors import usable_cpus

Indices = npt.NDArray[np.intp]

AXES = 64
COARSE_AXES = 16
"""Compared first, by a product; what that leaves, over all axes."""
BLOCK_ROWS = 8192
"""Of coordinates stored together: about 1 MB."""
LEFT_ROWS = 128
"""Their products with a block take 4 MB; those of 1,024 leave the processor's caches before they are compared with the threshold,
and took 1.8 times as long."""
HALF_ROUNDOFF = 2.0**-11
SUBNORMAL_ROUNDOFF = 2.0**-25


@dataclass(frozen=True)
class Sketch:
    """Axes, and how far from their centre a row lies at most.

    Attributes:
        largest_square: Largest squared distance of a row from the centre.
    """

    axes: Axes
    largest_square: float

    @property
    def width(self) -> int:
        """Coordinates of a row: one an axis, and the length of what they leave out."""
        return int(self.axes.directions.shape[1]) + 1

    @property
    def row_bytes(self) -> int:
        """What the coordinates of one row take, halves."""
        return 2 * self.width

    def to_bytes(self) -> bytes:
        """Return the centre and the axes, float64."""
        return self.axes.centre.tobytes() + self.axes.directions.tobytes()

    @staticmethod
    def from_bytes(stored: bytes, dimensions: int, largest_square: float) -> "Sketch":
        """Return what `to_bytes` stored."""
        numbers = np.frombuffer(stored, dtype=np.float64)
        axes = Axes(numbers[:dimensions], numbers[dimensions:].reshape(dimensions, -1))
        return Sketch(axes, largest_square)


def directed_rows(vectors: Halves) -> Indices:
    """Return the rows that have a direction: neither zero nor without end."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    return np.flatnonzero(np.isfinite(squares) & (squares > 0))


def make_sketch(vectors: Halves) -> tuple[Sketch, Halves]:
    """Find axes that suit rows, and their coordinates, shape (n, axes + 1)."""
    rows = directed_rows(vectors)
    sample = rows if len(rows) else np.arange(0)
    dimensions = vectors.shape[1]
    if not len(sample):
        axes = Axes(np.zeros(dimensions), np.eye(dimensions)[:, : min(AXES, dimensions)])
    else:
        axes = principal_axes(vectors, sample, AXES)
    return add_rows(Sketch(axes, 0.0), vectors)


def add_rows(sketch: Sketch, vectors: Halves) -> tuple[Sketch, Halves]:
    """Return the coordinates of more rows, and the sketch that holds for them too.

    A row without a direction has NaN, which is near none.
    """
    rows = directed_rows(vectors)
    coordinates = np.full((len(vectors), sketch.width), np.nan, dtype=np.float16)
    (found,), largest = project(vectors, rows, sketch.axes, (sketch.width - 1,))
    coordinates[rows] = found
    return Sketch(sketch.axes, max(sketch.largest_square, largest)), coordinates


class CrossSearch:
    """Find which of many rows may be near some rows, by coordinates of both."""

    def __init__(self, sketch: Sketch, coordinates: Halves, threshold: float) -> None:
        """Prepare.

        Args:
            sketch: Holds for both.
            coordinates: Of the rows that others are compared with, shape (n, width).
        """
        self.fine = coordinates.astype(np.float32)
        self.fine_most = _most(threshold, sketch, sketch.width - 1)
        self.coarse = min(COARSE_AXES, sketch.width - 1)
        self.coarse_most = _most(threshold, sketch, self.coarse)
        self.left, _ = search_form(_fewer(self.fine, self.coarse))

    def candidates(self, block: Halves) -> tuple[Indices, Indices]:
        """Return pairs of a row, and one of a block of rows, that are not proved to be further apart than the threshold."""
        fine = block.astype(np.float32)
        right = np.ascontiguousarray(search_form(_fewer(fine, self.coarse))[1].T)
        found = [(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))]
        for start in range(0, len(self.left), LEFT_ROWS):
            marks = self.left[start : start + LEFT_ROWS] @ right >= np.float32(-self.coarse_most / 2)
            places = _marked(marks.reshape(-1))
            first, second = places // len(block) + start, places % len(block)
            kept = self._is_near(fine, first, second)
            found.append((first[kept], second[kept]))
        return np.concatenate([first for first, _ in found]), np.concatenate([second for _, second in found])

    def all_candidates(self, blocks: Iterable[Halves]) -> Iterator[tuple[Indices, Indices]]:
        """Give `candidates` of each block, in order, on all processors."""
        processors = usable_cpus()
        waiting: deque[Future[tuple[Indices, Indices]]] = deque()
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(processors) as pool:
            for block in blocks:
                waiting.append(pool.submit(self.candidates, block))
                if len(waiting) > 2 * processors:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _is_near(self, fine: Floats, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
        kept = np.empty(len(first), dtype=np.bool_)
        for start in range(0, len(first), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            differences = self.fine[first[part]] - fine[second[part]]
            kept[part] = np.einsum("ij,ij->i", differences, differences) <= self.fine_most
        return kept


def _fewer(coordinates: Floats, count: int) -> Floats:
    """Return the first coordinates, and the length of all others as one more."""
    rest = np.einsum("ij,ij->i", coordinates[:, count:], coordinates[:, count:], dtype=np.float64)
    return np.hstack([coordinates[:, :count], np.sqrt(rest).astype(np.float32)[:, None]])


def _most(threshold: float, sketch: Sketch, axes: int) -> float:
    """Return the largest squared distance of coordinates of two rows at the threshold or above."""
    furthest = np.sqrt(sketch.largest_square) + 1e-6
    # 1.01: float32 came between. What is rounded is every coordinate stored, however few are compared.
    moved = 2 * (1.01 * HALF_ROUNDOFF * furthest + np.sqrt(sketch.width) * SUBNORMAL_ROUNDOFF)
    return float((np.sqrt(2 - 2 * threshold) + moved) ** 2 + slack(axes, 1.01 * furthest**2))


def _marked(marks: npt.NDArray[np.bool_]) -> Indices:
    """Return where marks are set; where few are, eight are looked at together."""
    if len(marks) % 8:
        return np.flatnonzero(marks)
    words = np.flatnonzero(marks.view(np.uint64))
    places = (words[:, None] * 8 + np.arange(8)).reshape(-1)
    found: Indices = places[marks[places]]
    return found
