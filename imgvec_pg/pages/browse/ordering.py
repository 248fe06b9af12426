"""Near enough, then by a column: the nearest rows within a cut, in the order of one of the source's columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from imgvec_pg.search.nearest import Neighbour

NEAR_ENOUGH_ROWS = 2000
"""Among so many nearest rows those within the cut are ordered: the page says where there are more."""
SUITING_ROWS = 60
"""The cut that an answer gets by itself leaves about so many."""
STEP = 0.001
"""Of the cut, and of the slider that moves it."""


@dataclass(frozen=True)
class NearEnough:
    """The rows within a cut, in order.

    Attributes:
        cut: Cosine distance, 0 to 2.
        low, high: Between which the cut can be moved: the nearest row's distance and the furthest candidate's.
        is_bounded: Whether there may be rows within the cut beyond NEAR_ENOUGH_ROWS.
    """

    rows: Sequence[Neighbour]
    cut: float
    low: float
    high: float
    is_bounded: bool


def order_near_enough(
    candidates: Sequence[Neighbour], column: str, *, descending: bool, cut: float | None
) -> NearEnough:
    """Return the candidates within a cut, by a column; rows without a value last, equal ones the nearest first.

    Args:
        candidates: Nearest first.
        cut: None takes one that leaves SUITING_ROWS.
    """
    if not candidates:
        return NearEnough([], cut or 0.0, 0.0, 0.0, False)
    low = math.floor(candidates[0].distance / STEP) * STEP
    high = math.ceil(candidates[-1].distance / STEP) * STEP
    suiting = candidates[min(SUITING_ROWS, len(candidates)) - 1].distance
    used = round(math.ceil(suiting / STEP) * STEP, 3) if cut is None else cut
    within = [row for row in candidates if row.distance <= used]
    valued = [(rank_value(row.columns.get(column)), row) for row in within]
    # A stable sort, reversed too: of equal values the nearest comes first.
    ordered = sorted(
        ((value, row) for value, row in valued if value is not None),
        key=lambda item: item[0],
        reverse=descending,
    )
    rows = [row for _, row in ordered] + [row for value, row in valued if value is None]
    is_bounded = len(within) == len(candidates) >= NEAR_ENOUGH_ROWS
    return NearEnough(rows, used, max(low, 0.0), high, is_bounded)


def rank_value(value: object) -> float | None:
    """Return a column's JSON value, a number or a time, as a number that orders as PostgreSQL does; None for NULL."""
    if value is None:
        return None
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    text = str(value)
    if text in {"infinity", "-infinity", "Infinity", "-Infinity", "NaN"}:
        return -math.inf if text.startswith("-") else math.inf
    if text.endswith("BC"):
        return -1e17
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return 1e17
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
