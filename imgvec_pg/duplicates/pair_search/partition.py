"""Ways to part rows into cells, each compared with what may be near it: by boxes, or by centres and visits."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.cells import Cells
from imgvec_pg.duplicates.pair_search.centres import CentreCells
from imgvec_pg.duplicates.pair_search.comparison import Comparison, Found, joined

Indices = npt.NDArray[np.intp]


class Partition(Protocol):
    """Cells to be compared one by one. Once cells 0 to i are done, every pair with a row of theirs has been looked at.

    Attributes:
        work: How many pairs are multiplied for each cell.
    """

    work: list[int]

    def compare(self, cell: int) -> Found:
        """Return the pairs of a cell's rows with those that may be near."""

    def rows(self, cell: int) -> Indices:
        """Return the rows of a cell."""


def cells_to_compare(cells: Cells, most: float) -> tuple[list[Indices], list[int]]:
    """Return for each cell those from it on that may be within a squared distance of it, and how many pairs that makes."""
    widths = np.diff(cells.edges)
    near = [cells.near(cell, most) for cell in range(len(widths))]
    return near, [int(widths[cell] * widths[others].sum()) for cell, others in enumerate(near)]


class BoxPartition:
    """Cells between bounds along each axis: a cell is compared with those behind it whose box may be near."""

    def __init__(self, cells: Cells, comparison: Comparison, block_columns: int) -> None:
        """Take cells and a comparison of the rows in their order."""
        self.cells, self.comparison, self.columns = cells, comparison, block_columns
        self.near, self.work = cells_to_compare(cells, comparison.near_most)

    def compare(self, cell: int) -> Found:
        """Return the pairs of a cell's rows with those of its own and of cells behind it."""
        start, end = int(self.cells.edges[cell]), int(self.cells.edges[cell + 1])
        runs = self._runs(self.near[cell])
        return joined([self.comparison.pairs_behind(start, end, low, high) for low, high in runs])

    def rows(self, cell: int) -> Indices:
        """Return the rows of a cell."""
        return self.comparison.rows[self.cells.edges[cell] : self.cells.edges[cell + 1]]

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


class CentrePartition:
    """Cells around centres: a cell is compared with the rows that visit it."""

    def __init__(
        self, cells: CentreCells, comparison: Comparison, only_behind: bool, block: tuple[int, int]
    ) -> None:
        """Take cells and a comparison of the rows in their order.

        Args:
            only_behind: Whether rows visit as far as pairs reach: then each cell has to see only visitors from cells behind it.
                Else both rows of a pair may visit, and either is enough.
            block: Rows and columns compared together.
        """
        self.cells, self.comparison, self.only_behind, self.block = cells, comparison, only_behind, block
        count = len(cells.edges) - 1
        widths = np.diff(cells.edges)
        self.work = [int(widths[cell] * (widths[cell] + len(self._visitors(cell)))) for cell in range(count)]

    def compare(self, cell: int) -> Found:
        """Return the pairs of a cell's rows with each other and with visitors; where not only_behind, some twice in all."""
        edges, (rows, columns) = self.cells.edges, self.block
        start, end = int(edges[cell]), int(edges[cell + 1])
        visitors, found = self._visitors(cell), []
        for low in range(start, end, columns):
            high = min(low + columns, end)
            for first in range(start, high, rows):
                found.append(self.comparison.pairs_behind(first, min(first + rows, end), low, high))
            for first in range(0, len(visitors), rows):
                found.append(self.comparison.pairs_of(visitors[first : first + rows], low, high))
        return joined(found)

    def rows(self, cell: int) -> Indices:
        """Return the rows of a cell."""
        return self.comparison.rows[self.cells.edges[cell] : self.cells.edges[cell + 1]]

    def _visitors(self, cell: int) -> Indices:
        visitors = self.cells.visitors(cell)
        return visitors[visitors >= self.cells.edges[cell + 1]] if self.only_behind else visitors


class CrossPartition:
    """The first rows, some at a time, each compared with all the others."""

    def __init__(self, comparison: Comparison, first: int, block: tuple[int, int]) -> None:
        """Take a comparison of rows, how many of them are the first, and how many rows and columns are compared together."""
        self.comparison, self.block = comparison, block
        self.starts, self.first = range(0, first, block[0]), first
        others = len(comparison.rows) - first
        self.work = [(min(start + block[0], first) - start) * others for start in self.starts]

    def compare(self, cell: int) -> Found:
        """Return the pairs of some of the first rows with the others."""
        start, count, columns = self.starts[cell], len(self.comparison.rows), self.block[1]
        end = min(start + self.block[0], self.first)
        runs = range(self.first, count, columns)
        return joined(
            [self.comparison.pairs_behind(start, end, low, min(low + columns, count)) for low in runs]
        )

    def rows(self, cell: int) -> Indices:
        """Return those of the first rows."""
        start = self.starts[cell]
        return self.comparison.rows[start : min(start + self.block[0], self.first)]
