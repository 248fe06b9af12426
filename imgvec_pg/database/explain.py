"""Read the JSON of EXPLAIN."""

from collections.abc import Iterator, Mapping
from typing import Any


def has_ordered_scan(plan: object) -> bool:
    """Tell whether a plan reads an index in the order of the distance: only such scans carry "Order By"."""
    if isinstance(plan, dict):
        return "Order By" in plan or any(map(has_ordered_scan, plan.values()))
    return isinstance(plan, list) and any(map(has_ordered_scan, plan))


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give a plan's nodes, the top one first."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
