"""Find the vectors of a column that another model made, without their pictures: a direction in which the two makers differ.

A sample says of some rows which maker they have. Fisher's discriminant (covariance shrunk towards a multiple of the identity)
gives the direction; what it is worth is measured on rows that it was not made from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SHRINKAGE = 0.05
"""Share of the identity in the covariance: a few thousand vectors do not fill 512 dimensions."""
FOLDS = 5
FEWEST_OTHERS = 5
"""Vectors of another maker below which no direction is looked for."""
MARGIN = 3.0
"""Standard deviations from the other maker's scores at which a row is kept: of a normal distribution 1 in 1,000 reaches it."""
LEAST_KEPT = 0.3
"""Share of the right rows that must be kept, or adopting is not worth it."""
LEAST_RUN = 10
"""Rows of one maker in a row, in the order of the key, that make a range of keys his."""
LEAST_OTHERS_A_RUN = 3
"""Other rows for each run of them, on average, below which they lie about like pictures that changed."""
TAIL = 6.0
"""Standard deviations from the middle at which a row of an even column stands out."""


@dataclass(frozen=True)
class Separation:
    """A direction and how far along it a unit vector must lie to be kept.

    Attributes:
        direction: Shape (dimensions,), norm 1; higher scores are the right maker's.
        least: The lowest score that is kept.
        kept_share: Share of the right rows of the sample that are kept.
    """

    direction: Float64Array
    least: float
    kept_share: float

    def keeps(self, vectors: Float64Array) -> BoolArray:
        """Whether unit vectors are kept: shape (n, dimensions) to (n,)."""
        kept: BoolArray = vectors @ self.direction >= self.least
        return kept


def find_outliers(vectors: Float64Array) -> Separation:
    """Return what keeps all vectors that are not far from the middle of these.

    Args:
        vectors: Of one maker, shape (n, dimensions), norm 1.
    """
    middle = vectors.mean(axis=0)
    length = float(np.linalg.norm(middle))
    if length == 0.0:
        return Separation(middle, -1.0, 1.0)
    direction = middle / length
    scores = vectors @ direction
    return Separation(direction, float(scores.mean() - TAIL * max(scores.std(), 1e-3)), 1.0)


def separate(
    right: Float64Array, others: Float64Array, differences: Float64Array, all_vectors: Float64Array
) -> Separation | None:
    """Return what keeps the vectors of one maker and leaves out those of another; None where they cannot be told apart.

    Args:
        right: Of the right maker, shape (n, dimensions), norm 1.
        others: Of the other maker, shape (m, dimensions), norm 1.
        differences: Those less what the right maker gives for the same pictures, shape (m, dimensions).
        all_vectors: A sample of the column, whoever made them, shape (rows, dimensions), norm 1.
    """
    if len(others) < FEWEST_OTHERS or len(right) < FEWEST_OTHERS:
        return None
    covariance: Float64Array = np.cov(all_vectors, rowvar=False).astype(np.float64)
    dimensions = covariance.shape[0]
    covariance += SHRINKAGE * np.trace(covariance) / dimensions * np.eye(dimensions)
    inverse: Float64Array = np.linalg.inv(covariance).astype(np.float64)
    folds = np.arange(len(others)) % FOLDS
    right_scores: list[Float64Array] = []
    other_scores: list[Float64Array] = []
    for fold in range(FOLDS):
        direction = _direction(inverse, differences[folds != fold])
        ours = right @ direction
        scale = max(float(ours.std()), 1e-12)
        right_scores.append((ours - ours.mean()) / scale)
        other_scores.append((others[folds == fold] @ direction - ours.mean()) / scale)
    held_out = np.concatenate(other_scores)
    # In standard deviations of the right maker's scores, which each fold has its own scale of.
    least = float(held_out.mean() + MARGIN * max(held_out.std(), 0.25))
    kept_share = float((np.concatenate(right_scores) >= least).mean())
    if kept_share < LEAST_KEPT:
        return None
    direction = _direction(inverse, differences)
    scores = right @ direction
    return Separation(direction, float(scores.mean() + least * scores.std()), kept_share)


def _direction(inverse: Float64Array, differences: Float64Array) -> Float64Array:
    direction: Float64Array = inverse @ -differences.mean(axis=0)
    return direction / np.linalg.norm(direction)


def find_runs(right: Sequence[bool]) -> list[tuple[int, int]] | None:
    """Return where a column is one maker's, of a sample in the order of its keys; None where makers alternate.

    Args:
        right: Of each row, whether it is the right maker's.

    Returns:
        First and last position of each long run of right ones. What lies between two runs is left out: where in a gap the
        other maker begins, nobody knows.
    """
    runs: list[tuple[bool, int, int]] = []
    for position, value in enumerate(right):
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1], position)
        else:
            runs.append((value, position, position))
    others = sum(not value for value in right)
    other_runs = sum(not value for value, _, _ in runs)
    if others < FEWEST_OTHERS or other_runs * LEAST_OTHERS_A_RUN > others:
        return None
    found = [(first, last) for value, first, last in runs if value and last - first + 1 >= LEAST_RUN]
    kept = sum(last - first + 1 for first, last in found)
    return found if kept >= LEAST_KEPT * (len(right) - others) else None


def unit(vectors: Sequence[npt.NDArray[np.floating]] | Float64Array) -> Float64Array:
    """Return vectors of norm 1, shape (n, dimensions)."""
    rows = np.asarray(vectors, dtype=np.float64)
    made: Float64Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made
