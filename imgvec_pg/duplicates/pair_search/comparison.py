"""Which pairs of projected rows are near: a product over few axes, distances over more, then the stored vectors.

Components of a halfvec are multiples of 2^-24 and a vector's norm is about 1, so every product of two components, and every sum
of such products, is a multiple of 2^-48 below 2: float64 has it exactly, in whatever order it is added. So the similarity
of a pair is the same number in every run, on every machine and with any size of blocks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.plan import Plan
from imgvec_pg.duplicates.projection import Floats, Halves, project, search_form, slack

Indices = npt.NDArray[np.intp]
Found = tuple[Indices, Indices, npt.NDArray[np.float64]]
"""First rows, second rows, cosine similarities."""

VERIFIED_TOGETHER = 4096
PRODUCT_OF_PAIRS = 16
"""How many terms of a product of all rows cost what one pair by itself does."""


@dataclass(frozen=True)
class Projected:
    """Rows in an order, with their coordinates along few axes and along more.

    Attributes:
        rows: Their numbers among the vectors, shape (n,).
        near: Shape (n, coarse + 1).
        fine: Shape (n, fine + 1).
        near_most: Rows further apart than this squared distance in `near` are no pair.
        fine_most: The same of `fine`.
    """

    rows: Indices
    near: Floats
    fine: Floats
    near_most: float
    fine_most: float

    def ordered(self, order: Indices) -> "Projected":
        """Return the rows in another order."""
        return Projected(self.rows[order], self.near[order], self.fine[order], self.near_most, self.fine_most)

    def by_fine(self, order: Indices) -> "Projected":
        """Return the rows in another order, with the finer coordinates only: within a cell the others discard little."""
        fine = self.fine[order]
        return Projected(self.rows[order], fine, fine, self.fine_most, self.fine_most)


def project_rows(vectors: Halves, rows: Indices, threshold: float, plan: Plan) -> Projected:
    """Project rows to the axes of a plan."""
    (near, fine), largest = project(vectors, rows, plan.axes, (plan.coarse, plan.fine))
    # Of vectors of norm 1 at this similarity.
    radius = 2 - 2 * threshold
    return Projected(
        rows, near, fine, radius + slack(plan.coarse, largest), radius + slack(plan.fine, largest)
    )


def similarities(vectors: Halves, first: Indices, second: Indices) -> npt.NDArray[np.float64]:
    """Return the cosine similarity of each pair, as the module's first lines say it is exact up to the final division."""
    found = np.empty(len(first))
    for start in range(0, len(first), VERIFIED_TOGETHER):
        part = slice(start, start + VERIFIED_TOGETHER)
        # Pairs of a crowd share their rows, which are widened once.
        rows, places = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        left, right = places[: len(places) // 2], places[len(places) // 2 :]
        wide = vectors[rows].astype(np.float64)
        squares = np.einsum("ij,ij->i", wide, wide)
        if len(rows) ** 2 <= PRODUCT_OF_PAIRS * len(left):
            products = (wide @ wide.T)[left, right]
        else:
            products = np.einsum("ij,ij->i", wide[left], wide[right])
        found[part] = products / np.sqrt(squares[left] * squares[right])
    return found


def no_pairs() -> Found:
    """Return an empty result, which others can be joined to."""
    return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0)


def joined(found: list[Found]) -> Found:
    """Return several results as one."""
    first, second, values = (np.concatenate(parts) for parts in zip(*([no_pairs(), *found]), strict=True))
    return first, second, values


class Comparison:
    """Compares runs of projected rows on this machine's processors.

    Attributes:
        left, right: As `search_form` makes them, `right` with a row for each axis.
    """

    def __init__(self, vectors: Halves, threshold: float, projected: Projected) -> None:
        self.vectors, self.threshold = vectors, threshold
        self.rows, self.fine = projected.rows, projected.fine
        self.near_most, self.fine_most = projected.near_most, projected.fine_most
        self.left, right = search_form(projected.near)
        self.right = np.ascontiguousarray(right.T)

    def pairs_behind(self, start: int, end: int, low: int, high: int) -> Found:
        """Return the pairs of two runs of places, of those in both each once."""
        first, second = self.candidates(slice(start, end), low, high)
        first += start
        behind = first < second
        return self.verified(first[behind], second[behind])

    def pairs_of(self, places: Indices, low: int, high: int) -> Found:
        """Return the pairs of some places with a run of them, none with itself."""
        first, second = self.candidates(places, low, high)
        first = places[first]
        others = first != second
        return self.verified(first[others], second[others])

    def candidates(self, places: slice | Indices, low: int, high: int) -> tuple[Indices, Indices]:
        """Return pairs that the product over few axes does not discard: numbers among `places`, and places."""
        products = self.left[places] @ self.right[:, low:high]
        marks = products >= np.float32(-self.near_most / 2)
        found = marked(marks.reshape(-1))
        return found // (high - low), found % (high - low) + low

    def verified(self, first: Indices, second: Indices) -> Found:
        """Return the rows of those pairs of places that are near, the lower row first."""
        kept = self._is_near(first, second)
        first, second = self.rows[first[kept]], self.rows[second[kept]]
        first, second = np.minimum(first, second), np.maximum(first, second)
        values = similarities(self.vectors, first, second)
        near = values >= self.threshold
        return first[near], second[near], values[near]

    def _is_near(self, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
        """Say which pairs the distance over more axes does not discard."""
        kept = np.empty(len(first), dtype=np.bool_)
        for start in range(0, len(first), VERIFIED_TOGETHER):
            part = slice(start, start + VERIFIED_TOGETHER)
            differences: Floats = self.fine[first[part]] - self.fine[second[part]]
            kept[part] = np.einsum("ij,ij->i", differences, differences) <= self.fine_most
        return kept


def marked(marks: npt.NDArray[np.bool_]) -> Indices:
    """Return where marks are set; eight are looked at together, as nearly none is."""
    whole = len(marks) // 8 * 8
    words = np.flatnonzero(marks[:whole].view(np.uint64))
    places = (words[:, None] * 8 + np.arange(8)).reshape(-1)
    return np.concatenate([places[marks[places]], whole + np.flatnonzero(marks[whole:])])
