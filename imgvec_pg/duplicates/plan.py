"""How many axes to compare by, and how many pairs there will be, from a sample of rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.projection import Axes, Halves, principal_axes, project, slack, unit_blocks

SAMPLE_ROWS = 2000
COUNTS = (4, 6, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 512)
"""Numbers of axes to choose from, and all axes: then nothing is left out, and the first comparison is brute force."""
COORDINATE_BYTES = 1500
"""Enough for the coordinates of one row, and for its visits, in nearly every collection."""
VISITS_SHARE = 0.2
"""What of it the visits may take, `centres.bytes_of_visits`; the coordinates have the rest, by `coordinate_bytes`."""
# Nanoseconds of one processor: of a product's term, of a comparison with the threshold, of fetching a pair's finer coordinates,
# of one of those, and of a pair computed in full. They choose between ways that give the same pairs.
TERM, COMPARISON, FETCH, FINE_TERM, FULL = 0.03, 0.4, 60.0, 0.6, 3000.0


@dataclass(frozen=True)
class Plan:
    """Axes for the first comparison and the second, and pairs expected, by the sample's share."""

    axes: Axes
    coarse: int
    fine: int
    expected_pairs: float


def coordinate_bytes(coarse: int, fine: int) -> int:
    """Return what the coordinates of one row take: five times the coarse ones and twice the fine ones, float32."""
    return 4 * (5 * (coarse + 3) + 2 * (fine + 1))


def plan_pairs(
    vectors: Halves, rows: npt.NDArray[np.intp], threshold: float, most_bytes: int = COORDINATE_BYTES
) -> Plan:
    """Choose the axes that cost least for the share of pairs which they leave.

    Args:
        most_bytes: What the coordinates of one row and its visits may take, where that allows for 4 axes.
    """
    dimensions = vectors.shape[1]
    counts = sorted({min(count, dimensions) for count in (*COUNTS, dimensions)})
    counts = [
        count for count in counts if coordinate_bytes(count, count) <= (1 - VISITS_SHARE) * most_bytes
    ] or counts[:1]
    axes = principal_axes(vectors, rows, counts[-1])
    drawn = np.random.default_rng(0).choice(rows, min(SAMPLE_ROWS, len(rows)), replace=False)
    projected, largest = project(vectors, drawn, axes, counts)
    upper = np.triu_indices(len(drawn), 1)
    radius = 2 - 2 * threshold
    left = {}
    for count, coordinates in zip(counts, projected, strict=True):
        squares = np.einsum("ij,ij->i", coordinates, coordinates)
        distances = (squares[:, None] + squares[None, :] - 2 * coordinates @ coordinates.T)[upper]
        left[count] = float(np.mean(distances <= radius + slack(count, largest)))
    costs = {
        (coarse, fine): (coarse + 3) * TERM
        + COMPARISON
        + left[coarse] * (FETCH + fine * FINE_TERM)
        + left[fine] * FULL
        for coarse in counts
        for fine in counts
        if fine >= coarse
    }
    coarse, fine = min(costs, key=costs.__getitem__)
    units = np.vstack([block for _, block in unit_blocks(vectors, drawn)])
    near = float(np.mean((units @ units.T)[upper] >= threshold))
    return Plan(axes, coarse, fine, near * len(rows) * (len(rows) - 1) / 2)
