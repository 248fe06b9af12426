import numpy as np
import pytest

from imgvec_pg.search.recall.intervals import mean_interval, perfect_answers_needed
from imgvec_pg.search.recall.measurements import share_found


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Clopper and Pearson 1934, as R's binom.test gives them.
    [(200, 200, 0.98172, 1.0), (95, 100, 0.88717, 0.98357), (0, 50, 0.0, 0.07112), (5, 10, 0.18709, 0.81291)],
)
def test_interval_of_hits_and_misses_is_that_of_clopper_and_pearson(
    hits: int, count: int, low: float, high: float
) -> None:
    assert mean_interval([1.0] * hits + [0.0] * (count - hits)) == pytest.approx((low, high), abs=0.004)


def test_interval_holds_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        # Most answers perfect, some with one or two misses, a few lost altogether: what HNSW gives.
        values = random.choice([1.0, 0.9, 0.8, 0.0], p=[0.9, 0.07, 0.02, 0.01], size=150)
        low, high = mean_interval(values.tolist())
        held += low <= 0.979 <= high
    assert held >= 190


def test_interval_narrows_with_the_sample() -> None:
    narrow, wide = mean_interval([1.0, 0.9] * 500), mean_interval([1.0, 0.9] * 50)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


@pytest.mark.parametrize("recall", [0.9, 0.99, 0.999])
def test_perfect_answers_needed_is_the_least_that_shows_a_recall(recall: float) -> None:
    needed = perfect_answers_needed(recall)
    assert 0.025 ** (1 / needed) >= recall > 0.025 ** (1 / (needed - 1))


@pytest.mark.parametrize(
    ("found", "exact", "share"),
    [
        ([0.1, 0.2], [0.1, 0.2], 1.0),
        ([0.1, 0.3], [0.1, 0.2], 0.5),
        ([], [0.1, 0.2], 0.0),
        # Equally near rows stand for each other.
        ([0.1, 0.1], [0.1, 0.1], 1.0),
        ([0.1], [0.1, 0.2], 0.5),
    ],
)
def test_share_found_counts_rows_as_near_as_the_last_true_one(
    found: list[float], exact: list[float], share: float
) -> None:
    assert share_found(found, exact) == share
