"""Clusters of a map: scikit-learn's k-means over principal components, as many as fit best."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.maps.layout import BLOCK_ROWS, Floats
from imgvec_pg.maps.map_extra import require_module

Labels = npt.NDArray[np.intp]

COUNTS = (3, 4, 6, 8, 12, 16, 20, 24)
"""Numbers of clusters that are tried; more names than that do not fit beside each other."""
ROWS_PER_CLUSTER = 5
"""On average at least: fewer rows are one cluster each."""
SAMPLE_ROWS = 3000
"""Rows that numbers of clusters are compared by: the silhouette takes all pairs of them."""
MOST = 500


@dataclass(frozen=True)
class Clusters:
    """Clusters of rows, the largest first.

    Attributes:
        labels: Which cluster each row belongs to, shape (n,), from 0.
        centres: Shape (clusters, p).
        silhouette: Mean over a sample, -1 to 1 (Rousseeuw 1987): above 0 rows are nearer to their own cluster than to the next;
            None where there is one cluster.
    """

    labels: Labels
    centres: Floats
    silhouette: float | None


def find_clusters(coordinates: Floats, count: int | None = None, seed: int = 0) -> Clusters:
    """Cluster different pictures, shape (n, p); rows that all are equal, or few, are one cluster.

    Args:
        count: So many, or None for the number with the largest silhouette.

    Raises:
        UsageError: There are fewer different rows than clusters.
        MissingExtraError: The extra `map` is not installed.
    """
    rows = len(coordinates)
    if count is not None and not 1 <= count <= min(rows, MOST):
        raise UsageError(
            f"--clusters is {count}; expected 1 to {min(rows, MOST)}, the number of different pictures"
            if rows < MOST
            else f"--clusters is {count}; expected 1 to {MOST}"
        )
    counts = [n for n in COUNTS if n * ROWS_PER_CLUSTER <= rows] if count is None else [count]
    if not rows or counts in ([], [1]) or not np.ptp(coordinates, axis=0).any():
        return Clusters(np.zeros(rows, np.intp), coordinates[:1].copy(), None)
    sample = coordinates[np.random.default_rng(seed).permutation(rows)[:SAMPLE_ROWS]]
    fitted = [(_silhouette(sample, n, seed), n) for n in counts] if len(counts) > 1 else [(0.0, counts[0])]
    best = max(fitted)[1]
    means = _k_means(coordinates, best, seed)
    return _largest_first(means.labels_, means.cluster_centers_, _measured(sample, means.predict(sample)))


def nearest_cluster(centres: Floats, coordinates: Floats) -> Labels:
    """Return which centre is nearest to each row, shape (n,)."""
    found = np.empty(len(coordinates), dtype=np.intp)
    squares = np.einsum("ij,ij->i", centres, centres)
    for first in range(0, len(coordinates), BLOCK_ROWS):
        block = coordinates[first : first + BLOCK_ROWS]
        found[first : first + BLOCK_ROWS] = np.argmin(squares - 2 * block @ centres.T, axis=1)
    return found


def _k_means(coordinates: Floats, count: int, seed: int, starts: int = 3) -> Any:  # noqa: ANN401 - untyped there
    means = require_module("sklearn.cluster").KMeans(count, n_init=starts, random_state=seed)
    return means.fit(np.asarray(coordinates, dtype=np.float32))


def _silhouette(sample: Floats, count: int, seed: int) -> float:
    found = _measured(sample, _k_means(sample, count, seed).labels_)
    return -1.0 if found is None else found


def _measured(sample: Floats, labels: Labels) -> float | None:
    different = len(np.unique(labels))
    if not 2 <= different < len(sample):
        return None
    return float(require_module("sklearn.metrics").silhouette_score(sample, labels))


def _largest_first(labels: Labels, centres: Floats, silhouette: float | None) -> Clusters:
    order = np.argsort(-np.bincount(labels, minlength=len(centres)), kind="stable")
    place = np.empty(len(centres), dtype=np.intp)
    place[order] = np.arange(len(centres))
    return Clusters(place[labels], np.ascontiguousarray(centres[order], dtype=np.float32), silhouette)
