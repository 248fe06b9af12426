"""All pairs by the bound, against every pair computed."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgvec_pg.duplicates.cells import make_cells
from imgvec_pg.duplicates.pairs import TooManyPairsError, find_pairs
from imgvec_pg.duplicates.plan import plan_pairs
from imgvec_pg.duplicates.projection import principal_axes, project, slack
from imgvec_pg.errors import UsageError

Halves = npt.NDArray[np.float16]
Found = dict[tuple[int, int], float]


def unit(vectors: npt.NDArray[np.float64]) -> Halves:
    """Norm 1, rounded to halves as the embedding table holds them."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def made(seed: int, rows: int, dimensions: int, decay: float, planted: int) -> Halves:
    """A mean, a spectrum that falls as i^-decay, and rows that are others with noise, some exact copies."""
    random = np.random.default_rng(seed)
    scales = np.arange(1, dimensions + 1) ** -decay
    vectors = random.normal(size=dimensions) / np.sqrt(dimensions) + random.normal(
        size=(rows, dimensions)
    ) * np.sqrt(scales / scales.sum())
    for row in random.choice(rows, min(planted, rows), replace=False):
        noise = random.normal(size=dimensions) / np.sqrt(dimensions)
        vectors[row] = vectors[random.integers(rows)] + noise * random.choice([0, 0.05, 0.2, 0.32, 0.35])
    return unit(vectors)


def all_pairs(vectors: Halves, threshold: float) -> Found:
    """Compute every pair, in Python's own integers and one division: halves are multiples of 2^-24."""
    whole = [[int(value) for value in row] for row in (vectors.astype(np.float64) * 2**24).tolist()]
    found = {}
    for first, left in enumerate(whole):
        for second in range(first + 1, len(whole)):
            dot, a, b = (
                sum(x * y for x, y in zip(one, other, strict=True)) / 2**48
                for one, other in ((left, whole[second]), (left, left), (whole[second], whole[second]))
            )
            similarity = dot / float(np.sqrt(np.float64(a * b)))
            if similarity >= threshold:
                found[first, second] = similarity
    return found


def as_found(vectors: Halves, threshold: float, **options: int) -> Found:
    pairs = find_pairs(vectors, threshold, **options)
    assert np.all(pairs.first < pairs.second)
    keys = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(set(keys)) == len(keys) and keys == sorted(keys)
    return dict(zip(keys, pairs.similarities.tolist(), strict=True))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(0, 60),
    dimensions=st.sampled_from([1, 2, 3, 7, 24, 130]),
    decay=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    threshold=st.sampled_from([0.3, 0.8, 0.95, 0.99, 1.0]),
    block=st.sampled_from([(1, 1), (3, 8), (256, 2048)]),
)
def test_every_pair_is_found_with_its_exact_similarity(
    seed: int, rows: int, dimensions: int, decay: float, threshold: float, block: tuple[int, int]
) -> None:
    vectors = (
        made(seed, rows, dimensions, decay, rows // 3) if rows else np.empty((0, dimensions), np.float16)
    )
    found = as_found(vectors, threshold, block_rows=block[0], block_columns=block[1])
    assert found == all_pairs(vectors, threshold)


def blocked_pairs(vectors: Halves, threshold: float) -> set[tuple[int, int]]:
    """Compute every pair in float64 products, which are exact for halves."""
    wide = vectors.astype(np.float64)
    norms = np.einsum("ij,ij->i", wide, wide)
    found = (wide @ wide.T) / np.sqrt(norms[:, None] * norms[None, :]) >= threshold
    return set(zip(*(places.tolist() for places in np.nonzero(np.triu(found, 1))), strict=True))


@pytest.mark.parametrize("decay", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.8, 0.95])
def test_two_thousand_rows_give_the_pairs_of_brute_force_with_any_block(
    decay: float, threshold: float
) -> None:
    vectors = made(5, 2000, 512, decay, 300)
    expected = blocked_pairs(vectors, threshold)
    assert len(expected) > 100
    for block in ((64, 100), (2000, 3000)):
        assert as_found(vectors, threshold, block_rows=block[0], block_columns=block[1]).keys() == expected


def test_rows_of_which_few_axes_tell_nothing_are_compared_by_all_of_them() -> None:
    vectors = made(12, 1500, 96, 0.0, 100)
    expected = blocked_pairs(vectors, 0.75)
    assert 100 < len(expected) < 50_000
    assert plan_pairs(vectors, np.arange(1500), 0.75, 10_000).coarse >= 64
    assert as_found(vectors, 0.75, bytes_of_coordinates=10_000).keys() == expected
    assert as_found(vectors, 0.75, bytes_of_coordinates=0).keys() == expected


def test_a_pair_at_the_threshold_itself_counts() -> None:
    vectors = made(9, 40, 24, 1.0, 20)
    for similarity in sorted(all_pairs(vectors, 0.5).values())[::7]:
        expected = all_pairs(vectors, similarity)
        assert similarity in expected.values()
        assert as_found(vectors, similarity) == expected
        above = float(np.nextafter(similarity, 2))
        assert (as_found(vectors, above) if above <= 1 else {}).keys() == {
            pair for pair, value in expected.items() if value >= above
        }


def test_exact_copies_are_pairs_at_one() -> None:
    vectors = np.repeat(made(3, 5, 512, 1.0, 0), 4, axis=0)
    found = as_found(vectors, 1.0)
    assert len(found) == 5 * 6 and set(found.values()) == {1.0}


def test_rows_without_a_direction_are_left_out_and_counted() -> None:
    vectors = np.repeat(made(4, 3, 16, 1.0, 0), 2, axis=0)
    vectors[1] = 0
    vectors[2, 3] = np.nan
    vectors[5, 0] = np.inf
    pairs = find_pairs(vectors, 0.99)
    assert pairs.skipped == 3 and len(pairs.first) == 0
    assert find_pairs(np.zeros((4, 8), np.float16), 0.5).skipped == 4


def test_projected_rows_lie_no_further_apart_than_the_vectors() -> None:
    vectors = made(11, 400, 64, 1.0, 40)
    rows = np.arange(len(vectors))
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    true = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    axes = principal_axes(vectors, rows, 64)
    counts = [1, 8, 32, 64]
    projected, largest = project(vectors, rows, axes, counts)
    for count, kept in zip(counts, projected, strict=True):
        seen = ((kept[:, None].astype(np.float64) - kept[None]) ** 2).sum(axis=2)
        assert np.all(seen <= true + slack(count, largest))
    # All axes leave nothing out: then it is the distance, and the bound cannot be a number near 0.
    assert np.allclose(seen, true, atol=1e-5)


def test_cells_hold_each_row_once_and_leave_out_none_that_is_near() -> None:
    points = np.random.default_rng(2).normal(size=(500, 5)).astype(np.float32)
    cells = make_cells(points, 40)
    assert sorted(cells.order) == list(range(500))
    assert np.diff(cells.edges).max() <= 40
    placed = points[cells.order].astype(np.float64)
    cell_of = np.repeat(np.arange(len(cells.edges) - 1), np.diff(cells.edges))
    left_out = 0
    for cell in range(len(cells.edges) - 1):
        others = np.setdiff1d(np.arange(cell, len(cells.edges) - 1), cells.near(cell, 0.01))
        left_out += len(others)
        here, there = placed[cell_of == cell], placed[np.isin(cell_of, others)]
        assert len(there) == 0 or ((here[:, None] - there[None]) ** 2).sum(axis=2).min() > 0.01
    assert left_out > 0


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a cosine similarity above 0, up to 1"):
        find_pairs(made(1, 4, 8, 1.0, 0), threshold)


def test_too_many_pairs_are_refused_by_a_sample_before_any_comparison() -> None:
    vectors = made(1, 5000, 8, 1.0, 0)
    seen: list[int] = []
    with pytest.raises(
        TooManyPairsError, match=r"about [\d,]+ pairs are within the threshold 0.01, by a sample"
    ):
        find_pairs(vectors, 0.01, max_pairs=100_000, progress=lambda done, total: seen.append(done))
    assert seen == []


def test_too_many_pairs_that_no_sample_showed_end_the_search() -> None:
    vectors = made(6, 9000, 64, 0.0, 0)
    vectors[4000:4080] = vectors[4000]
    with pytest.raises(
        TooManyPairsError, match=r"expected at most 1,000: raise the threshold, or --max-pairs"
    ):
        find_pairs(vectors, 0.999, max_pairs=1000)
    assert len(find_pairs(vectors, 0.999, max_pairs=80 * 79 // 2).first) == 80 * 79 // 2


def test_progress_ends_at_the_whole() -> None:
    seen: list[tuple[int, int]] = []
    find_pairs(
        made(8, 900, 32, 1.0, 9), 0.95, block_rows=64, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]
