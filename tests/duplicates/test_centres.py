"""Cells around centres: no pair is missed by visits as far as pairs reach, few by shorter ones, and the share is measured."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgvec_pg.duplicates.pair_search.centres import CentreCells, find_centres
from imgvec_pg.duplicates.pair_search.comparison import Comparison, project_rows
from imgvec_pg.duplicates.pair_search.fast import choose_reach
from imgvec_pg.duplicates.pair_search.partition import CentrePartition
from imgvec_pg.duplicates.pairs import cross_pairs, find_pairs
from imgvec_pg.duplicates.plan import plan_pairs

Halves = npt.NDArray[np.float16]
Keys = set[tuple[int, int]]


def clustered(seed: int, rows: int, clusters: int, spread: float, inner_dimensions: int = 12) -> Halves:
    """Clusters in some dimensions turned into 48, and noise; a tenth are others with a little noise."""
    random = np.random.default_rng(seed)
    inner = random.normal(size=(clusters, inner_dimensions))[random.integers(clusters, size=rows)]
    inner = inner + random.normal(size=inner.shape) * spread
    vectors = (
        inner @ np.linalg.qr(random.normal(size=(48, inner_dimensions)))[0].T
        + random.normal(size=(rows, 48)) / 100
    )
    near = random.integers(rows, size=rows // 10)
    vectors[: len(near)] = vectors[near] + random.normal(size=(len(near), 48)) / 20
    halves: Halves = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return halves


def brute_force(vectors: Halves, threshold: float) -> Keys:
    wide = vectors.astype(np.float64)
    squares = np.einsum("ij,ij->i", wide, wide)
    near = (wide @ wide.T) / np.sqrt(squares[:, None] * squares[None, :]) >= threshold
    return set(zip(*(places.tolist() for places in np.nonzero(np.triu(near, 1))), strict=True))


def keys(first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> Keys:
    return set(zip(first.tolist(), second.tolist(), strict=True))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(2, 300),
    centres=st.integers(1, 40),
    spread=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    # Of two dimensions pairs lie straight across borders.
    inner=st.sampled_from([2, 12]),
    threshold=st.sampled_from([0.3, 0.9, 0.97, 1.0]),
)
def test_visits_as_far_as_pairs_reach_miss_none(
    seed: int, rows: int, centres: int, spread: float, inner: int, threshold: float
) -> None:
    vectors = clustered(seed, rows, 7, spread, inner)
    every = np.arange(rows)
    projected = project_rows(vectors, every, threshold, plan_pairs(vectors, every, threshold))
    found = find_centres(projected.fine, min(centres, rows))
    cells = CentreCells(projected.fine, found, float(np.sqrt(projected.fine_most)))
    assert sorted(cells.order) == list(range(rows))
    comparison = Comparison(vectors, threshold, projected.ordered(cells.order))
    partition = CentrePartition(cells, comparison, True, (16, 32))
    seen: list[tuple[int, int]] = []
    for cell in range(len(cells.edges) - 1):
        first, second, _ = partition.compare(cell)
        seen += zip(first.tolist(), second.tolist(), strict=True)
    assert len(seen) == len(set(seen))
    assert set(seen) == brute_force(vectors, threshold)


def test_cells_around_centres_leave_out_most_pairs_of_clusters() -> None:
    vectors = clustered(3, 4000, 60, 0.1)
    every = np.arange(4000)
    projected = project_rows(vectors, every, 0.97, plan_pairs(vectors, every, 0.97))
    cells = CentreCells(
        projected.fine, find_centres(projected.fine, 120), float(np.sqrt(projected.fine_most))
    )
    comparison = Comparison(vectors, 0.97, projected.ordered(cells.order))
    assert sum(CentrePartition(cells, comparison, True, (512, 1024)).work) < 0.1 * 4000**2 / 2
    found = find_pairs(vectors, 0.97)
    expected = brute_force(vectors, 0.97)
    assert len(expected) > 1000 and keys(found.first, found.second) == expected


def test_fast_misses_at_most_one_in_a_thousand_and_finds_nothing_that_is_no_pair() -> None:
    random = np.random.default_rng(1)
    scales = np.sqrt(1 / np.arange(1, 129))
    vectors = random.normal(size=128) / 11 + random.normal(size=(12_000, 128)) * scales / np.linalg.norm(
        scales
    )
    copied = random.integers(6000, size=3000)
    vectors[-3000:] = vectors[copied] + random.normal(size=(3000, 128)) * 0.02
    halves = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    exact, fast = find_pairs(halves, 0.95), find_pairs(halves, 0.95, fast=True)
    assert exact.checked is None and len(exact.first) > 2000
    expected, found = keys(exact.first, exact.second), keys(fast.first, fast.second)
    assert found <= expected and len(found) >= 0.999 * len(expected)
    assert fast.checked is not None and fast.checked > 100
    assert fast.recall is not None and fast.recall >= 0.999


def test_fast_becomes_exact_where_no_cell_could_be_left_out() -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(1500, 64))
    vectors[:100] = vectors[100:200] + random.normal(size=(100, 64)) * 0.3
    halves = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    fast = find_pairs(halves, 0.3, fast=True)
    assert fast.checked is None and fast.recall is None
    assert keys(fast.first, fast.second) == brute_force(halves, 0.3)


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_fast_takes_few_rows(rows: int) -> None:
    vectors = clustered(2, 40, 3, 0.1)[:rows]
    fast = find_pairs(vectors, 0.95, fast=True)
    assert keys(fast.first, fast.second) == brute_force(vectors, 0.95)


def test_a_reach_has_a_margin_and_more_of_it_where_few_pairs_tell() -> None:
    many = np.linspace(0, 0.2, 100).astype(np.float32)
    assert choose_reach(many) == pytest.approx(0.26)
    assert choose_reach(many[-10:]) == pytest.approx(0.4)
    assert choose_reach(many[:0]) > choose_reach(many / np.float32(10))
    assert choose_reach(many * np.float32(5)) == 1


def test_rows_are_compared_with_others_and_not_among_themselves() -> None:
    vectors = clustered(8, 300, 5, 0.2)
    random = np.random.default_rng(0)
    some = np.sort(random.choice(300, 40, replace=False))
    others = np.setdiff1d(np.arange(300), some)
    first, second, _ = cross_pairs(vectors, 0.95, some, others)
    expected = {pair for pair in brute_force(vectors, 0.95) if (pair[0] in some) != (pair[1] in some)}
    assert len(expected) > 50 and keys(first, second) == expected
