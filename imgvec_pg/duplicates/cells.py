"""Order projected rows into cells of neighbours, so that pairs of cells that lie too far apart are never looked at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.projection import Floats


@dataclass(frozen=True)
class Cells:
    """Rows in an order by which each cell is one run of them.

    Attributes:
        order: The rows in that order, shape (n,).
        edges: Where the cells begin, and the end, shape (cells + 1,).
        lowest: Least coordinate of each cell, shape (cells, axes), float64.
        highest: Largest one.
    """

    order: npt.NDArray[np.intp]
    edges: npt.NDArray[np.intp]
    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]

    def near(self, cell: int, most: float) -> npt.NDArray[np.intp]:
        """Return the cells from this one on whose squared distance to it may be `most` or less."""
        gaps = np.maximum(self.lowest[cell:] - self.highest[cell], self.lowest[cell] - self.highest[cell:])
        np.maximum(gaps, 0.0, out=gaps)
        return cell + np.flatnonzero(np.einsum("ij,ij->i", gaps, gaps) <= most)


def make_cells(projected: Floats, rows_of_a_cell: int) -> Cells:
    """Halve the rows again and again at the median of their widest coordinate, until each cell has few enough."""
    pending, done = [np.arange(len(projected))], []
    while pending:
        rows = pending.pop()
        if len(rows) <= rows_of_a_cell:
            done.append(rows)
            continue
        inside = projected[rows]
        widest = int(np.argmax(inside.var(axis=0)))
        half = len(rows) // 2
        parted = np.argpartition(inside[:, widest], half)
        pending += [rows[parted[half:]], rows[parted[:half]]]
    bounds = [(projected[rows].min(axis=0), projected[rows].max(axis=0)) for rows in done]
    return Cells(
        np.concatenate(done),
        np.concatenate([[0], np.cumsum([len(rows) for rows in done])]).astype(np.intp),
        np.array([low for low, _ in bounds], dtype=np.float64),
        np.array([high for _, high in bounds], dtype=np.float64),
    )
