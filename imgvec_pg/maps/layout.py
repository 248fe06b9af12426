"""Places in a plane for vectors, so that like ones lie beside each other: PCA, then t-SNE of landmarks, then the others by those.

t-SNE is openTSNE's (Policar, Strazar and Zupan 2024, J. Stat. Softw. 109(3)); benchmarks/results/maps.txt has it beside
umap-learn and PaCMAP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.projection import Axes, Halves, principal_axes, project
from imgvec_pg.maps.map_extra import require_module
from imgvec_pg.processors import usable_cpus

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

COMPONENTS = 50
"""Principal components that neighbours are looked for in, as openTSNE's guide has it for vectors of hundreds of dimensions."""
LANDMARKS = 50_000
"""Pictures that t-SNE places; more are placed by them."""
PERPLEXITY = 30.0
"""openTSNE's default: about so many neighbours count."""
MANY = 10_000
"""Pictures from which on openTSNE interpolates on a grid, and threads gain more than they wait for each other: below it one
thread takes 4 s of processor time for 1,900, two take 4 to 30 on a busy machine."""
FEWEST = 16
"""Different pictures from which on there is a t-SNE; fewer lie by their first two components."""
NEAREST = 5
"""Landmarks that a picture is placed by."""
BESIDE = 0.02
"""Of SPAN: landmarks within it of the middle one have a say in a place."""
BLOCK_ROWS = 8192
SPAN = 100.0
"""Side of the square that landmarks are scaled to: most lie within -50 to 50."""


@dataclass(frozen=True)
class Layout:
    """Vectors in a plane.

    Attributes:
        places: Shape (n, 2), around 0.
        landmarks: Rows that were placed by all landmarks together, ascending; the others were placed by their nearest of these.
        coordinates: Principal components of all rows, shape (n, at most COMPONENTS).
        method: "t-SNE", or "PCA" where there are few different vectors.
    """

    places: Floats
    landmarks: Indices
    coordinates: Floats
    method: str


def distinct_vectors(vectors: Halves) -> tuple[Indices, Indices]:
    """Find equal vectors, by 128 bits of a hash.

    Returns:
        The first row of each different vector, ascending, and for each row which of them it is, shape (n,).
    """
    seen: dict[bytes, int] = {}
    firsts: list[int] = []
    which = np.empty(len(vectors), dtype=np.intp)
    for row in range(len(vectors)):
        number = seen.setdefault(blake2b(vectors[row].tobytes(), digest_size=16).digest(), len(firsts))
        if number == len(firsts):
            firsts.append(row)
        which[row] = number
    return np.array(firsts, dtype=np.intp), which


def usable_rows(vectors: Halves) -> npt.NDArray[np.bool_]:
    """Say which vectors have a direction: finite, and not 0. Shape (n,)."""
    found = np.empty(len(vectors), dtype=np.bool_)
    for first in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[first : first + BLOCK_ROWS]
        found[first : first + BLOCK_ROWS] = np.isfinite(block).all(axis=1) & block.any(axis=1)
    return found


def lay_out(
    vectors: Halves,
    *,
    landmarks: int = LANDMARKS,
    seed: int = 0,
    told: Callable[[str], None] = lambda step: None,
) -> Layout:
    """Place different vectors, shape (n, d), all of which have a direction.

    Args:
        landmarks: At most so many are placed by t-SNE, drawn by chance.
        seed: The same gives the same map on the same machine.
        told: Called with each step as it begins.

    Raises:
        MissingExtraError: The extra `map` is not installed.
    """
    count = len(vectors)
    chosen = np.arange(count)
    if count > landmarks:
        chosen = np.sort(np.random.default_rng(seed).choice(count, landmarks, replace=False))
    told("principal components")
    axes = components(vectors, chosen)
    coordinates = coordinates_of(vectors, axes)
    if len(chosen) < FEWEST:
        return Layout(_first_two(coordinates), chosen, coordinates, "PCA")
    told(f"t-SNE of {len(chosen):,} pictures")
    laid = _spread(_tsne(coordinates[chosen], seed))
    if len(chosen) == count:
        return Layout(laid, chosen, coordinates, "t-SNE")
    told(f"placing {count - len(chosen):,} others by their nearest")
    places = np.empty((count, 2), dtype=np.float32)
    places[chosen] = laid
    others = np.setdiff1d(np.arange(count), chosen, assume_unique=True)
    places[others] = place_among(laid, *nearest_landmarks(coordinates[chosen], coordinates[others]))
    return Layout(places, chosen, coordinates, "t-SNE")


def components(vectors: Halves, rows: Indices) -> Axes:
    """Return the principal axes of some rows."""
    return principal_axes(vectors, rows, COMPONENTS)


def coordinates_of(vectors: Halves, axes: Axes) -> Floats:
    """Return the principal components of all rows, shape (n, p)."""
    count = axes.directions.shape[1]
    found, _ = project(vectors, np.arange(len(vectors)), axes, [count])
    return np.ascontiguousarray(found[0][:, :count])


def nearest_landmarks(landmarks: Floats, others: Floats) -> tuple[npt.NDArray[np.float64], Indices]:
    """Find the nearest landmarks of rows.

    Args:
        landmarks: Coordinates, shape (m, p).
        others: Shape (n, p).

    Returns:
        Distances, ascending, and numbers of landmarks; both of shape (n, at most NEAREST).
    """
    k = min(NEAREST, len(landmarks))
    distances, nearest = np.empty((len(others), k)), np.empty((len(others), k), dtype=np.intp)
    neighbours = require_module("sklearn.neighbors").NearestNeighbors(n_neighbors=k, algorithm="brute")
    neighbours.fit(landmarks)
    for first in range(0, len(others), BLOCK_ROWS):
        place = slice(first, first + BLOCK_ROWS)
        distances[place], nearest[place] = neighbours.kneighbors(others[place])
    return distances, nearest


def place_among(places: Floats, distances: npt.NDArray[np.float64], nearest: Indices) -> Floats:
    """Place rows by their nearest landmarks; one that equals a landmark lies on it.

    Of the landmarks found, the one in the middle of the others is taken, and those beside it: the mean of places in two clusters
    lies in neither. Weights are 1 / distance^2.

    Args:
        places: Of landmarks, shape (m, 2).

    Returns:
        Shape (n, 2).
    """
    found = np.empty((len(nearest), 2), dtype=np.float32)
    for first in range(0, len(nearest), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        found[block] = _weighted(distances[block], places[nearest[block]])
    return found


def _weighted(distances: npt.NDArray[np.float64], places: Floats) -> Floats:
    """Return weighted means of places, shape (n, k, 2), about the one that lies most among the others."""
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=3)
    weights = 1.0 / np.maximum(distances, 1e-6) ** 2
    middle = np.argmin((apart * weights[:, None]).sum(axis=2), axis=1)
    near = apart[np.arange(len(places)), middle] <= SPAN * BESIDE
    weights = np.where(near, weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    mean: Floats = np.einsum("nk,nkd->nd", weights, places).astype(np.float32)
    return mean


def _tsne(coordinates: Floats, seed: int) -> Floats:
    """Return openTSNE's embedding, shape (n, 2)."""
    perplexity = min(PERPLEXITY, (len(coordinates) - 1) / 3)
    threads = usable_cpus() if len(coordinates) >= MANY else 1
    tsne = require_module("openTSNE").TSNE(
        perplexity=perplexity, initialization="pca", n_jobs=threads, random_state=seed
    )
    return np.asarray(tsne.fit(coordinates), dtype=np.float32)


def _first_two(coordinates: Floats) -> Floats:
    """Return the first two components, 0 where there is none."""
    found = np.zeros((len(coordinates), 2), dtype=np.float32)
    width = min(2, coordinates.shape[1])
    found[:, :width] = coordinates[:, :width]
    return _spread(found)


def _spread(places: Floats) -> Floats:
    """Turn places so that they are widest from left to right, centre and scale them: all but the outermost hundredth are SPAN.

    Equal ones stay at 0.
    """
    centred = (places - places.mean(axis=0)).astype(np.float64)
    if len(places) > 1:
        _, axes = np.linalg.eigh(centred.T @ centred)
        centred = centred @ axes[:, ::-1]
    low, high = np.quantile(centred, [0.005, 0.995], axis=0)
    width = float((high - low).max())
    scaled = (centred - (low + high) / 2) * (SPAN / width) if width > 1e-9 else np.zeros_like(centred)
    spread: Floats = scaled.astype(np.float32)
    return spread
