"""Groups of near-duplicates: two become one where enough of the pairs between their rows are near, or all of them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError

Indices = npt.NDArray[np.intp]
Members = dict[int, list[int]]
Shared = defaultdict[int, defaultdict[int, int]]
Contents = tuple[bytes, bytes]

LINKAGES = ("links", "share", "complete")
"""The first is the default. benchmarks/results/duplicate_groups.txt has what they make of altered pictures."""
LINKS = 2
"""So many near pairs at least, where two groups have as many: one picture alone chains nothing (k-linkage, Sneath 1966)."""
LINKS_PER_PAIR = 10
"""And more than one in so many of the pairs between them: a long series makes several groups (proportional linkage)."""
NEVER = -(2**62)
"""Pairs between two groups that may not become one: no count of pairs makes up for it."""


def link(
    first: Indices,
    second: Indices,
    similarities: npt.NDArray[np.float64],
    linkage: str = LINKAGES[0],
    contents: Sequence[bytes] = (),
    apart: Collection[Contents] = (),
) -> list[list[int]]:
    """Join rows into groups by the pairs that are near, the nearest first.

    Two groups become one as soon as enough of the pairs between them have come: all (complete); more than half (share); two,
    where there are two, and more than a tenth (links). What a union makes possible follows at once, the group with the lowest
    row first. By share and complete that is nothing: where at most half of the pairs of two groups with a third are near, so
    are at most half of those of both. There it is agglomerative clustering, where the distance of two groups is that of the
    last pair between them, or of the pair by which more than half are counted. By any linkage a chain of three, where only
    neighbours are near, is none; and pairs come by falling similarity, ties by the first and then the second number, so
    groups do not depend on the order in which rows are read.

    Args:
        first, second: Numbers of rows, each pair once. Their order decides ties, so it should mean the same in each run.
        similarities: Of each pair.
        linkage: One of LINKAGES.
        contents: What each row's picture is known by; needed with `apart`.
        apart: Pairs of contents, the lower first, that come into no group, whatever others are near both. Pairs of rows that
            have them are not among those given.

    Returns:
        The rows of each group of two or more, ascending; the groups by their first row.
    """
    members: Members = {}
    group_of: dict[int, int] = {}
    shared: Shared = defaultdict(lambda: defaultdict(int))
    others = _others(apart)
    is_enough = ENOUGH[linkage]
    order = np.lexsort((second, first, -similarities))
    for left, right in zip(first[order].tolist(), second[order].tolist(), strict=True):
        for row in (left, right):
            if row not in group_of:
                group_of[row], members[row] = row, [row]
        one, other = group_of[left], group_of[right]
        if one == other:
            continue
        shared[one][other] += 1
        shared[other][one] += 1
        waiting = {other}
        while joinable := [
            third
            for third in waiting
            if third in members
            and third != one
            and is_enough(shared[one][third], len(members[one]) * len(members[third]))
        ]:
            other = min(joinable, key=lambda group: min(members[group]))
            if _may_join(members[one], members[other], contents, others):
                one, nearer = _join(one, other, members, group_of, shared)
                waiting = nearer.union(joinable)
            else:
                shared[one][other] = shared[other][one] = NEVER
    return sorted(sorted(rows) for rows in members.values() if len(rows) > 1)


def check_linkage(linkage: str) -> None:
    """Refuse what is no linkage.

    Raises:
        UsageError: It is none of LINKAGES.
    """
    if linkage not in LINKAGES:
        raise UsageError(f"the linkage is {linkage!r}; expected {', '.join(LINKAGES[:-1])} or {LINKAGES[-1]}")


def _others(apart: Collection[Contents]) -> dict[bytes, set[bytes]]:
    """Return the contents that each is to be kept apart from."""
    others: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for one, other in apart:
        others[one].add(other)
        others[other].add(one)
    return dict(others)


def _may_join(
    one: list[int], other: list[int], contents: Sequence[bytes], others: dict[bytes, set[bytes]]
) -> bool:
    """Say whether no picture of one group is to be kept apart from one of the other."""
    if not others:
        return True
    few, many = sorted((one, other), key=len)
    decided = {contents[row] for row in few} & others.keys()
    return not decided or set().union(*(others[content] for content in decided)).isdisjoint(
        contents[row] for row in many
    )


def _join(
    one: int, other: int, members: Members, group_of: dict[int, int], shared: Shared
) -> tuple[int, set[int]]:
    """Let the smaller group become part of the larger, with the pairs that each shares with others.

    Returns:
        The larger, and the groups that both shared pairs with.
    """
    if len(members[one]) < len(members[other]):
        one, other = other, one
    for row in members[other]:
        group_of[row] = one
    members[one] += members.pop(other)
    nearer = set()
    for third, count in shared.pop(other).items():
        if third != one:
            if third in shared[one]:
                nearer.add(third)
            shared[one][third] += count
            shared[third][one] += count
        shared[third].pop(other, None)
    return one, nearer


def _all(near: int, pairs: int) -> bool:
    return near == pairs


def _more_than_half(near: int, pairs: int) -> bool:
    return 2 * near > pairs


def _two_and_a_tenth(near: int, pairs: int) -> bool:
    return near >= min(LINKS, pairs) and LINKS_PER_PAIR * near > pairs


ENOUGH: dict[str, Callable[[int, int], bool]] = dict(
    zip(LINKAGES, (_two_and_a_tenth, _more_than_half, _all), strict=True)
)
"""Whether two groups become one, of the near pairs between them and of all; for each of LINKAGES."""


def without(pairs: Iterable[Contents], decided: set[Contents]) -> npt.NDArray[np.bool_]:
    """Say of each pair of content hashes whether nobody decided it to be no duplicate."""
    return np.array([(min(pair), max(pair)) not in decided for pair in pairs], dtype=np.bool_)
