"""Groups by links, by the share of near pairs, and by complete linkage."""

from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgvec_pg.duplicates.groups import ENOUGH, LINKAGES, check_linkage, link, without
from imgvec_pg.errors import UsageError

Pairs = dict[tuple[int, int], float]
MISSING = 9.0


def grouped(pairs: Pairs, linkage: str = "complete", **options: Any) -> list[list[int]]:
    first = np.array([pair[0] for pair in pairs], dtype=np.intp)
    second = np.array([pair[1] for pair in pairs], dtype=np.intp)
    return link(first, second, np.array(list(pairs.values()), dtype=np.float64), linkage, **options)


def agglomerated(pairs: Pairs, linkage: str, apart: set[tuple[int, int]]) -> list[list[int]]:
    """Join the two groups that are nearest, again and again: the definition, in the slowest way."""
    groups = [[row] for row in sorted({row for pair in pairs for row in pair})]
    while True:
        joinable = []
        for one, other in combinations(range(len(groups)), 2):
            both = [(min(a, b), max(a, b)) for a in groups[one] for b in groups[other]]
            between = sorted((-pairs.get(pair, -MISSING), *pair) for pair in both)
            # The furthest pair, or that by which more than half are counted.
            decisive = between[-1] if linkage == "complete" else between[len(between) // 2]
            if decisive[0] < MISSING and not apart & set(both):
                joinable.append((decisive, one, other))
        if not joinable:
            return sorted(sorted(group) for group in groups if len(group) > 1)
        _, one, other = min(joinable)
        groups[one] += groups.pop(other)


def joined_as_pairs_come(pairs: Pairs, linkage: str, apart: set[tuple[int, int]]) -> list[list[int]]:
    """Take pairs by falling similarity, and after each join groups until none can be: what `link` says of itself."""
    groups = [[row] for row in sorted({row for pair in pairs for row in pair})]
    come: set[tuple[int, int]] = set()
    for pair in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        come.add(pair)
        while True:
            joinable = []
            for one, other in combinations(sorted(groups), 2):
                both = {(min(a, b), max(a, b)) for a in one for b in other}
                if ENOUGH[linkage](len(both & come), len(both)) and not apart & both:
                    joinable.append((one, other))
            if not joinable:
                break
            one, other = joinable[0]
            groups = [group for group in groups if group not in (one, other)] + [sorted(one + other)]
    return sorted(group for group in groups if len(group) > 1)


NUMBERS = st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda pair: pair[0] < pair[1])


@settings(deadline=None, max_examples=120)
@given(
    st.dictionaries(NUMBERS, st.sampled_from([0.9, 0.95, 0.96, 0.97, 0.99, 1.0]), min_size=8, max_size=21),
    st.sets(NUMBERS, max_size=4),
    st.sampled_from(LINKAGES),
    st.randoms(use_true_random=False),
)
def test_groups_are_those_of_the_definition_whatever_the_order(
    pairs: Pairs, apart: set[tuple[int, int]], linkage: str, random: Random
) -> None:
    pairs = {pair: similarity for pair, similarity in pairs.items() if pair not in apart}
    contents = [bytes([row]) for row in range(7)]
    decided = {(contents[a], contents[b]) for a, b in apart}
    groups = grouped(pairs, linkage, contents=contents, apart=decided)
    assert groups == joined_as_pairs_come(pairs, linkage, apart)
    if linkage != "links":
        assert groups == agglomerated(pairs, linkage, apart)
    rows = [row for group in groups for row in group]
    assert len(rows) == len(set(rows))
    for group in groups:
        found = [pair in pairs for pair in combinations(group, 2)]
        if linkage == "links":
            assert len(group) == 2 or sum(found) >= len(group)
        else:
            assert all(found) if linkage == "complete" else 2 * sum(found) > len(found)
        assert not apart & set(combinations(group, 2))
    shuffled = list(pairs.items())
    random.shuffle(shuffled)
    assert grouped(dict(shuffled), linkage, contents=contents, apart=decided) == groups


@pytest.mark.parametrize("linkage", LINKAGES)
def test_a_chain_is_no_group(linkage: str) -> None:
    assert grouped({(1, 2): 0.96, (2, 3): 0.97, (3, 4): 0.96}, linkage) == [[2, 3]]


def test_a_picture_near_more_than_half_of_a_group_comes_to_it_by_share() -> None:
    pairs = {(1, 2): 0.99, (1, 3): 0.99, (2, 3): 0.99, (1, 4): 0.96, (2, 4): 0.96}
    assert grouped(pairs, "share") == [[1, 2, 3, 4]]
    assert grouped(pairs, "complete") == [[1, 2, 3]]
    # Not where people decided that it is another than 3, near others as it is.
    contents = [b"", b"a", b"b", b"c", b"d"]
    assert grouped(pairs, "share", contents=contents, apart={(b"c", b"d")}) == [[1, 2, 3]]


def test_two_pairs_join_groups_by_links_and_one_does_not() -> None:
    pairs = {(1, 2): 0.99, (3, 4): 0.99, (1, 3): 0.96}
    assert grouped(pairs, "links") == [[1, 2], [3, 4]]
    assert grouped({**pairs, (2, 4): 0.96}, "links") == [[1, 2, 3, 4]]
    # What comes last need not be between them: 1 and 2 become one, and each had a pair with the other group.
    assert grouped({(3, 4): 0.99, (1, 3): 0.98, (2, 4): 0.97, (1, 2): 0.96}, "links") == [[1, 2, 3, 4]]


def test_a_series_in_which_each_is_near_the_next_two_is_several_groups_by_links() -> None:
    groups = grouped({(a, a + gap): 0.99 - gap / 100 for a in range(100) for gap in (1, 2)}, "links")
    assert max(map(len, groups)) <= 20
    assert sum(map(len, groups)) >= 100


@pytest.mark.parametrize("linkage", LINKAGES)
def test_a_thousand_copies_are_one_group(linkage: str) -> None:
    first, second = np.triu_indices(1000, 1)
    assert link(first, second, np.ones(len(first)), linkage) == [list(range(1000))]


def test_what_is_no_linkage_is_refused() -> None:
    with pytest.raises(UsageError, match="the linkage is 'single'; expected links, share or complete"):
        check_linkage("single")


def test_decided_pairs_are_left_out_whichever_comes_first() -> None:
    pairs = [(b"a", b"b"), (b"c", b"a"), (b"b", b"b")]
    assert without(pairs, {(b"a", b"c"), (b"b", b"b")}).tolist() == [True, False, False]
    assert without([], set()).tolist() == []
