"""Check vectors of others, and bring them to norm 1 in half precision."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

NORM_TOLERANCE = 5e-4
"""Above it a vector is divided by its norm; the table's CHECK allows 1e-3, and halves round by less than 5e-4."""
LEAST_NORM = 1e-6
"""A shorter vector has no direction that its rounding leaves."""
HALF = np.dtype(">f2")
"""As PostgreSQL takes them."""

NO_VECTOR, INFINITE, ZERO = (
    "with NaN, or without a vector of this length",
    "with infinity: beyond float16's 65,504, most likely",
    "of length 0",
)


@dataclass(frozen=True)
class CheckedVectors:
    """Vectors of n rows.

    Attributes:
        halves: Shape (n, dimensions), big-endian float16, each good row of L2 norm 1.
        is_good: Shape (n,).
        reasons: Why rows are not good, and their places.
        normalised: Good rows that had another norm than 1.
    """

    halves: npt.NDArray[np.float16]
    is_good: npt.NDArray[np.bool_]
    reasons: dict[str, npt.NDArray[np.intp]] = field(default_factory=dict)
    normalised: int = 0


def check_vectors(vectors: npt.NDArray[Any]) -> CheckedVectors:
    """Divide each vector by its norm where that is not 1, and say which have none.

    Args:
        vectors: Shape (n, dimensions), float16, float32 or float64.
    """
    exact: npt.NDArray[np.floating[Any]] = vectors.astype(
        np.float64 if vectors.dtype == np.float64 else np.float32, copy=False
    )
    squares = np.einsum("ij,ij->i", exact, exact).astype(np.float64)
    if not np.isfinite(squares).all():
        # The square of a float32 above 1.8e19 is infinite, and so its norm would be.
        squares = (exact.astype(np.float64) ** 2).sum(axis=1)
    norms = np.sqrt(squares)
    is_nan = np.isnan(norms)
    is_infinite = np.isinf(norms)
    is_zero = norms < LEAST_NORM
    is_good = ~(is_nan | is_infinite | is_zero)
    is_long = is_good & (np.abs(norms - 1) > NORM_TOLERANCE)
    if is_long.any():
        exact = exact.copy() if exact is vectors else exact
        exact[is_long] = exact[is_long] / norms[is_long, None]
    with np.errstate(over="ignore", invalid="ignore"):  # of rows that are not good
        halves = exact.astype(HALF)
    bad = {NO_VECTOR: is_nan, INFINITE: is_infinite, ZERO: is_zero}
    reasons = {reason: np.flatnonzero(rows) for reason, rows in bad.items() if rows.any()}
    return CheckedVectors(halves, is_good, reasons, int(is_long.sum()))


def as_given(vectors: npt.NDArray[np.float16]) -> CheckedVectors:
    """Return halves as they are: PostgreSQL itself refuses NaN, infinity and norms other than 1, which then are looked for."""
    return CheckedVectors(vectors.astype(HALF), np.ones(len(vectors), dtype=np.bool_))
