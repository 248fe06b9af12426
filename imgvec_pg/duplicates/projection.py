"""Project unit vectors to a few principal axes, so that a short product tells which pairs cannot be near.

For a projection P to orthonormal axes, whatever they are, and any centre c:
|Px - Py|^2 + (|x - Px| - |y - Py|)^2 <= |x - y|^2 (the triangle inequality in what P leaves out). So the coordinates along the
axes, and as one more the length of what is left out, lie no further apart than the vectors do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

SAMPLE_ROWS = 20_000
"""Rows that the axes are found from: any axes are right, better ones only discard more."""
BLOCK_ROWS = 4096
UNIT_ROUNDOFF = 2.0**-24
"""Of float32: the largest relative error of one rounding."""


@dataclass(frozen=True)
class Axes:
    """A centre, shape (d,), and orthonormal axes by falling variance, shape (d, p); float64."""

    centre: Doubles
    directions: Doubles


def unit_blocks(vectors: Halves, rows: npt.NDArray[np.intp]) -> Iterator[tuple[slice, Doubles]]:
    """Give rows block by block as float64 of norm 1, with their places among `rows`."""
    for first in range(0, len(rows), BLOCK_ROWS):
        place = slice(first, min(first + BLOCK_ROWS, len(rows)))
        block = vectors[rows[place]].astype(np.float64)
        block /= np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
        yield place, block


def principal_axes(vectors: Halves, rows: npt.NDArray[np.intp], count: int) -> Axes:
    """Return the first `count` principal axes, at most d, of up to SAMPLE_ROWS evenly spaced rows."""
    sample = rows[:: max(1, len(rows) // SAMPLE_ROWS)]
    dimensions = vectors.shape[1]
    total, products = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    for _, block in unit_blocks(vectors, sample):
        total += block.sum(axis=0)
        products += block.T @ block
    centre = total / len(sample)
    _, directions = np.linalg.eigh(products / len(sample) - np.outer(centre, centre))
    return Axes(centre, np.ascontiguousarray(directions[:, ::-1][:, : min(count, dimensions)]))


def project(
    vectors: Halves, rows: npt.NDArray[np.intp], axes: Axes, counts: Sequence[int]
) -> tuple[list[Floats], float]:
    """Project rows to the first axes, for each of some counts of axes.

    Computed in float64 and rounded once: a length left out that came of rounded coordinates would be wrong by a root of a
    rounding error, which is much where it is near 0.

    Returns:
        For each count the coordinates and the length of what they leave out, shape (n, count + 1); and the largest squared
        distance from the centre.
    """
    found = [np.empty((len(rows), count + 1), dtype=np.float32) for count in counts]
    largest = 0.0
    for place, block in unit_blocks(vectors, rows):
        block -= axes.centre
        squares = np.einsum("ij,ij->i", block, block)
        largest = max(largest, float(squares.max()))
        coordinates = block @ axes.directions
        for count, kept in zip(counts, found, strict=True):
            left = squares - np.einsum("ij,ij->i", coordinates[:, :count], coordinates[:, :count])
            kept[place, :count] = coordinates[:, :count]
            kept[place, count] = np.sqrt(np.maximum(left, 0.0))
    return found, largest


def slack(axes: int, largest_square: float) -> float:
    """Return by how much float32 may raise the squared distance of two projected rows above the true one.

    Coordinates are rounded once, and the product that `search_form` makes adds axes + 3 terms, whose sizes add up to at most
    twice the largest square (Cauchy and Schwarz); the squared distance is twice the product. Doubled, for what float64 leaves.
    """
    return 2 * (2 * (axes + 8) * UNIT_ROUNDOFF * 2 * largest_square) + 1e-9


def search_form(projected: Floats) -> tuple[Floats, Floats]:
    """Return left and right factors, shape (n, axes + 3): left[i] . right[j] is -1/2 of the squared distance of i and j."""
    halves = (-0.5 * np.einsum("ij,ij->i", projected, projected, dtype=np.float64)).astype(np.float32)[
        :, None
    ]
    ones = np.ones_like(halves)
    return np.hstack([projected, halves, ones]), np.hstack([projected, ones, halves])
