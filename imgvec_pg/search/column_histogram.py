"""Small histograms of a column's values from what ANALYZE left in the catalogue."""

from collections.abc import Sequence
from itertools import pairwise

BARS = 24


def histogram(
    common: Sequence[tuple[float, float]], bounds: Sequence[float], null_share: float = 0.0, bars: int = BARS
) -> tuple[float, ...]:
    """Return how many values lie in each of equally wide parts between the lowest and the highest, relative to the fullest part.

    Args:
        common: The most common values, each with its share of the rows, 0 to 1 (pg_stats.most_common_vals and _freqs).
        bounds: Between two neighbours lie equally many of the other values (pg_stats.histogram_bounds), ascending.
        null_share: Share of rows without a value.

    Returns:
        `bars` numbers from 0 to 1; empty where there is no width to divide.
    """
    values = [value for value, _ in common] + list(bounds)
    low, high = min(values, default=0.0), max(values, default=0.0)
    width = (high - low) / bars
    if not width > 0:
        return ()
    held = [0.0] * bars

    def part_of(value: float) -> int:
        return min(int((value - low) / width), bars - 1)

    for value, share in common:
        held[part_of(value)] += share
    each = max(0.0, 1 - null_share - sum(share for _, share in common)) / max(len(bounds) - 1, 1)
    for begin, end in pairwise(bounds):
        first, last = part_of(begin), part_of(end)
        for part in range(first, last + 1):
            overlap = min(end, low + (part + 1) * width) - max(begin, low + part * width)
            held[part] += each if end == begin else each * max(overlap, 0.0) / (end - begin)
    fullest = max(held)
    return tuple(round(share / fullest, 3) for share in held) if fullest > 0 else ()
