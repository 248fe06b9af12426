"""How far apart the stored coordinates of two rows can lie that pgvector finds within a cosine distance of each other.

Let A be the axes, p rows of d halves with operator norm at most 1 (`contracted` of store/radius/axes.py sees to that), and x, y
of norm 1: |Ax - Ay| <= |x - y| = sqrt(2 c) where c is their cosine distance. What is computed differs from that:

- pgvector adds products of halves in float32, in an order that depends on the processor. Each sum of d is off by at most
  g = d u / (1 - d u), u = 2^-24, times the norms of both factors (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
- A cosine distance is made of three such sums, so it is off by at most 3 g: c <= distance + 3 g (`product_error`).
- A coordinate is one such sum, and an axis has norm at most 1: all p together are off by at most g sqrt(p). The norm that a row
  is divided by moves it by at most g. Then each is rounded to a half: by 2^-11 of itself, or 2^-25 below the least normal one.
  All of it happens to both rows (`moved`).
- The distance of two places is a sum of p squares in float32: off by less than a part in 100,000 (`stretch`).
"""

from dataclasses import dataclass
from math import sqrt

from psycopg import sql

AXES = 32
"""Coordinates of a row. Of 100,000 rows of 512 dimensions they leave one to ten to compare (benchmarks/results/within.txt)."""
FLOAT32_ROUNDOFF = 2.0**-24
HALF_ROUNDOFF = 2.0**-11
SUBNORMAL_ROUNDOFF = 2.0**-25
STRETCH = 1 + 1e-5


@dataclass(frozen=True)
class RadiusBound:
    """What rounding adds for vectors of some dimensions.

    Attributes:
        product_error: Added to the cosine distance asked for.
        moved: Added to the Euclidean distance that this is, times `STRETCH`.
    """

    product_error: float
    moved: float

    def reach(self, distance: float) -> float:
        """Return the largest Euclidean distance of coordinates of rows within a cosine distance, 0 to 2."""
        return (sqrt(2 * (distance + self.product_error)) + self.moved) * STRETCH

    def parts(self) -> dict[str, sql.Composable]:
        """Return the `{parts}` of sql/collection/within_by_coordinates.sql, which computes `reach`."""
        numbers = {"product_error": self.product_error, "moved": self.moved, "stretch": STRETCH}
        return {name: sql.SQL(f"'{number!r}'::pg_catalog.float8") for name, number in numbers.items()}


def axis_count(dimensions: int) -> int:
    """Return how many coordinates a row has."""
    return min(AXES, dimensions)


def radius_bound(dimensions: int) -> RadiusBound:
    """Return the bound for halves of so many dimensions, 1 to 4,000."""
    axes = axis_count(dimensions)
    # Two more roundings than d: of the quotient, and of the difference from 1.
    terms = (dimensions + 2) * FLOAT32_ROUNDOFF
    product = terms / (1 - terms)
    rounded = 1.01 * HALF_ROUNDOFF + sqrt(axes) * SUBNORMAL_ROUNDOFF
    return RadiusBound(3 * product, 2 * (product * (sqrt(axes) + 1) + rounded))
