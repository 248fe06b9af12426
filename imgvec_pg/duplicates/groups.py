"""Groups of near-duplicates by complete linkage: in a group every picture is near every other, so none is chained to it."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def complete_linkage(
    first: Indices, second: Indices, similarities: npt.NDArray[np.float64]
) -> list[list[int]]:
    """Join pairs into groups, the nearest first, as long as all pairs between two groups are there.

    Pairs are taken by falling similarity, ties by the first and then the second number; two groups become one with the last of
    the pairs between them. Pairs that are missing, since they are not near or people decided so, never come into one group.

    Args:
        first, second: Numbers of rows, each pair once. Their order decides ties, so it should mean the same in each run.
        similarities: Of each pair.

    Returns:
        The rows of each group of two or more, ascending; the groups by their first row.
    """
    members: dict[int, list[int]] = {}
    group_of: dict[int, int] = {}
    shared: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    order = np.lexsort((second, first, -similarities))
    for left, right in zip(first[order].tolist(), second[order].tolist(), strict=True):
        for row in (left, right):
            if row not in group_of:
                group_of[row], members[row] = row, [row]
        one, other = group_of[left], group_of[right]
        shared[one][other] += 1
        shared[other][one] += 1
        if shared[one][other] == len(members[one]) * len(members[other]):
            _join(one, other, members, group_of, shared)
    return sorted(sorted(rows) for rows in members.values() if len(rows) > 1)


def _join(
    one: int,
    other: int,
    members: dict[int, list[int]],
    group_of: dict[int, int],
    shared: defaultdict[int, defaultdict[int, int]],
) -> None:
    """Let the smaller group become part of the larger, with the pairs that each shares with others."""
    if len(members[one]) < len(members[other]):
        one, other = other, one
    for row in members[other]:
        group_of[row] = one
    members[one] += members.pop(other)
    for third, count in shared.pop(other).items():
        if third != one:
            shared[one][third] += count
            shared[third][one] += count
        shared[third].pop(other, None)


def without(pairs: Iterable[tuple[bytes, bytes]], decided: set[tuple[bytes, bytes]]) -> npt.NDArray[np.bool_]:
    """Say of each pair of content hashes whether nobody decided it to be no duplicate."""
    return np.array([(min(pair), max(pair)) not in decided for pair in pairs], dtype=np.bool_)
