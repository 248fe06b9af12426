"""Cells around centres: which rows visit which cell, so that rows that lie near each other meet in one.

A row's home is the cell of its nearest centre. Let x have the home c, and y the home h. f(z) = |z - c|^2 - |z - h|^2 is linear
with a gradient of length 2 |c - h|, f(x) <= 0, and so f(y) <= 2 |c - h| |x - y|. A row y that visits every cell c with
f(y) <= 2 |c - h| r meets every row within r of it, and is met by it. With a part of r, the reach, it visits fewer cells and
misses only pairs that lie nearly straight across a border: in many dimensions few do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.pair_search.comparison import Projected
from imgvec_pg.duplicates.plan import VISITS_SHARE
from imgvec_pg.duplicates.projection import UNIT_ROUNDOFF, Floats

Indices = npt.NDArray[np.intp]

TRAINED_BY = 16
"""Rows for each centre from which the centres are found."""
ROUNDS = 2
CENTRES_OF_ROOT = 2.0
"""Centres for the root of the number of rows: comparing rows with centres then costs about what comparing visitors does."""
WEIGHED_ROWS = 500
ROWS_TOGETHER = 256
"""A multiple of 8. Their distances from 1,000 centres stay in a processor's cache."""


@dataclass(frozen=True)
class Centres:
    """Centres of cells.

    Attributes:
        places: Shape (k, axes).
        halves: Half of the squared length of each, shape (k,).
        apart: Distances between them, shape (k, k).
        slack: By how much float32 may raise the difference of two squared distances from centres above the true one.
    """

    places: Floats
    halves: Floats
    apart: Floats
    slack: float

    def leads(self, rows: Floats) -> tuple[Indices, Floats]:
        """Return the home of each row, and how much nearer its centre is than each other, as f of the module's first lines.

        Args:
            rows: Shape (n, axes).

        Returns:
            Shape (n,); shape (n, k), 0 at home.
        """
        leads = self.halves - rows @ self.places.T
        homes = leads.argmin(axis=1)
        leads -= leads[np.arange(len(rows)), homes][:, None]
        leads *= 2
        return homes, leads

    def visits(self, rows: Floats, radius: float) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Return the home of each row, and which cells it visits, its home among them; shape (n, k)."""
        homes, leads = self.leads(rows)
        most = self.apart[homes]
        most *= np.float32(2 * radius * (1 + 8 * UNIT_ROUNDOFF))
        most += np.float32(self.slack)
        return homes, leads <= most


def find_centres(rows: Floats, count: int) -> Centres:
    """Find centres by some rounds of Lloyd's algorithm from rows drawn at random, always the same.

    Args:
        rows: Shape (n, axes).
        count: At most n.
    """
    random = np.random.default_rng(0)
    sample = rows[random.choice(len(rows), min(len(rows), count * TRAINED_BY), replace=False)]
    places = sample[:count].copy()
    for _ in range(ROUNDS):
        halves = _halves(places)
        blocks = range(0, len(sample), ROWS_TOGETHER)
        homes = np.concatenate(
            [(halves - sample[first : first + ROWS_TOGETHER] @ places.T).argmin(axis=1) for first in blocks]
        )
        order = np.argsort(homes, kind="stable")
        sizes = np.bincount(homes, minlength=count)
        filled = np.flatnonzero(sizes)
        sums = np.add.reduceat(sample[order].astype(np.float64), (np.cumsum(sizes) - sizes)[filled], axis=0)
        places[filled] = sums / sizes[filled][:, None]
    squares = 2 * _halves(places).astype(np.float64)
    apart = squares[:, None] + squares[None, :] - 2 * (places @ places.T).astype(np.float64)
    largest_square = float(np.einsum("ij,ij->i", rows, rows).max())
    # Of f(x) and of f(y): axes + 2 terms of at most 3/2 of the square, for c and for h, doubled. That is 12 (axes + 2); the rest
    # is for the differences, for the square itself and for centres, which rounding may put outside of their rows.
    slack = 16 * (rows.shape[1] + 8) * UNIT_ROUNDOFF * largest_square
    # Raised, so that rounding never shortens a distance: too long a one only means more visits.
    raised = np.sqrt(np.maximum(apart, 0.0) + slack)
    return Centres(places, _halves(places), raised.astype(np.float32), slack)


def _halves(places: Floats) -> Floats:
    halves: Floats = (0.5 * np.einsum("ij,ij->i", places, places, dtype=np.float64)).astype(np.float32)
    return halves


class CentreCells:
    """Rows in an order by which each cell is one run of them, and who visits.

    Visits are kept as bits, n for each cell, so that they take the same memory however many there are.

    Attributes:
        order: The rows in that order, shape (n,).
        edges: Where the cells begin, and the end, shape (k + 1,).
    """

    def __init__(self, rows: Floats, centres: Centres, radius: float) -> None:
        count = len(centres.places)
        homes = np.empty(len(rows), dtype=np.intp)
        self._bits = np.empty((count, (len(rows) + 7) // 8), dtype=np.uint8)
        for first in range(0, len(rows), ROWS_TOGETHER):
            block = slice(first, first + ROWS_TOGETHER)
            homes[block], visits = centres.visits(rows[block], radius)
            visits[np.arange(len(visits)), homes[block]] = False
            packed = np.packbits(visits, axis=0)
            self._bits[:, first // 8 : first // 8 + len(packed)] = packed.T
        self.order = np.argsort(homes, kind="stable")
        self.edges = np.concatenate([[0], np.cumsum(np.bincount(homes, minlength=count))]).astype(np.intp)
        self._place_of = np.empty_like(self.order)
        self._place_of[self.order] = np.arange(len(rows))

    def visitors(self, cell: int) -> Indices:
        """Return the places of rows that visit a cell and live elsewhere, ascending."""
        rows = np.flatnonzero(np.unpackbits(self._bits[cell], count=len(self.order)))
        return np.sort(self._place_of[rows])


def bytes_of_visits(rows: int, cells: int) -> int:
    """Return what CentreCells takes."""
    return rows * (cells // 8 + 24)


def centre_count(rows: int, most_bytes: int) -> int:
    """Return how many centres there shall be, 1 at least, within the memory for each row's visits."""
    count = max(1, min(int(CENTRES_OF_ROOT * rows**0.5), rows))
    while count > 1 and bytes_of_visits(1, count) > VISITS_SHARE * most_bytes:
        count //= 2
    return count


def centres_of(projected: Projected, most_bytes: int) -> Centres:
    """Return centres of the finer coordinates."""
    return find_centres(projected.fine, centre_count(len(projected.rows), most_bytes))


def share_of_pairs(projected: Projected, centres: Centres, reach: float) -> float:
    """Return the share of all pairs that would be multiplied, about: of a sample's rows with those of the cells they visit."""
    drawn = np.random.default_rng(3).choice(
        len(projected.rows), min(WEIGHED_ROWS, len(projected.rows)), replace=False
    )
    radius = float(np.sqrt(projected.fine_most)) * reach
    homes, visits = centres.visits(projected.fine[drawn], radius)
    sizes = np.bincount(homes, minlength=len(centres.places)) / len(homes)
    # Each pair of cells is looked at from one side only where all visits count, else from both.
    return float(np.mean(visits @ sizes)) * (1 if reach >= 1 else 2)
