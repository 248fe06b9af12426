"""Groups by complete linkage."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imgvec_pg.duplicates.groups import complete_linkage, without

Pairs = dict[tuple[int, int], float]


def grouped(pairs: Pairs) -> list[list[int]]:
    first = np.array([pair[0] for pair in pairs], dtype=np.intp)
    second = np.array([pair[1] for pair in pairs], dtype=np.intp)
    return complete_linkage(first, second, np.array(list(pairs.values()), dtype=np.float64))


def agglomerated(pairs: Pairs) -> list[list[int]]:
    """Join the two groups whose furthest pair is nearest, again and again: the definition, in the slowest way."""
    groups = [[row] for row in sorted({row for pair in pairs for row in pair})]
    while True:
        joinable = []
        for one, other in combinations(range(len(groups)), 2):
            between = [
                (-pairs.get((min(a, b), max(a, b)), -9.0), min(a, b), max(a, b))
                for a in groups[one]
                for b in groups[other]
            ]
            if max(between)[0] < 9:
                joinable.append((max(between), one, other))
        if not joinable:
            return sorted(sorted(group) for group in groups if len(group) > 1)
        _, one, other = min(joinable)
        groups[one] += groups.pop(other)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]),
        st.sampled_from([0.9, 0.95, 0.96, 0.97, 0.99, 1.0]),
        max_size=40,
    )
)
def test_groups_are_those_of_the_definition_and_all_their_pairs_are_near(pairs: Pairs) -> None:
    groups = grouped(pairs)
    assert groups == agglomerated(pairs)
    rows = [row for group in groups for row in group]
    assert len(rows) == len(set(rows))
    assert all(pair in pairs for group in groups for pair in combinations(group, 2))


def test_a_chain_is_no_group() -> None:
    assert grouped({(1, 2): 0.96, (2, 3): 0.97, (3, 4): 0.96}) == [[2, 3]]


def test_a_thousand_copies_are_one_group() -> None:
    first, second = np.triu_indices(1000, 1)
    assert complete_linkage(first, second, np.ones(len(first))) == [list(range(1000))]


def test_decided_pairs_are_left_out_whichever_comes_first() -> None:
    pairs = [(b"a", b"b"), (b"c", b"a"), (b"b", b"b")]
    assert without(pairs, {(b"a", b"c"), (b"b", b"b")}).tolist() == [True, False, False]
    assert without([], set()).tolist() == []
