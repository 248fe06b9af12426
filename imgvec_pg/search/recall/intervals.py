"""How sure a mean is that was measured on a sample."""

from collections.abc import Sequence

import numpy as np

DRAWS = 10_000
BLOCK = 500


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return a two-sided confidence interval of the mean of independent values from 0 to 1.

    Gaffke's bounds (N. Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable"; E. Learned-Miller and P. Thomas 2019, arXiv:1905.06208): the mean under random Dirichlet
    weights of the values and one more at the worst end. For values of 0 and 1 it is Clopper's and Pearson's interval;
    it needs no normality, and stays honest where every value is 1: n such values show a lower bound of
    (0.025) ** (1 / n) at confidence 0.95. A bootstrap would claim [1, 1], and Wilson's interval over k * n single
    neighbours would take those of one query for independent.
    """
    tail = (1 - confidence) / 2
    found = np.sort(np.asarray(values, dtype=np.float64))
    return lower_bound(found, tail), 1 - lower_bound(1 - found[::-1], tail)


def lower_bound(values: np.ndarray[tuple[int], np.dtype[np.float64]], tail: float) -> float:
    """Return the bound below which the mean lies with probability `tail` at most."""
    random = np.random.default_rng(7)
    with_worst = np.concatenate([[0.0], values])
    means = []
    for _ in range(DRAWS // BLOCK):
        weights = random.standard_exponential((BLOCK, len(with_worst)))
        means.append(weights @ with_worst / weights.sum(axis=1))
    return float(np.quantile(np.concatenate(means), tail))


def perfect_answers_needed(mean: float, confidence: float = 0.95) -> int:
    """Return how many values of 1 it takes until the lower bound reaches a mean below 1."""
    return int(np.ceil(np.log((1 - confidence) / 2) / np.log(mean)))
