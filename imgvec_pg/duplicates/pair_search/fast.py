"""Find most pairs fast: rows visit cells only as far as pairs of a sample take, and another sample tells what was missed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.pair_search.centres import ROWS_TOGETHER, Centres, centres_of, share_of_pairs
from imgvec_pg.duplicates.pair_search.comparison import Comparison, Found, Projected, joined
from imgvec_pg.duplicates.pair_search.scheduling import (
    Finished,
    PairSearch,
    Progress,
    centre_partition,
    exact_partition,
    run_partition,
)
from imgvec_pg.duplicates.projection import Floats, Halves

Indices = npt.NDArray[np.intp]

TARGET = 0.999
SAMPLE_ROWS = 1000
FEW_PAIRS = 50
"""Fewer pairs in a sample tell little about how far pairs reach."""
MARGIN, MARGIN_OF_FEW, LEAST_REACH = 1.3, 2.0, 0.1
TRIES = 3
WORTH_WHILE = 0.5
"""The share of all pairs above which an exact search costs no more."""


@dataclass(frozen=True)
class SampledPairs:
    """All pairs of some rows, exactly.

    Attributes:
        found: The pairs, those within the sample twice.
        first, second: The same as places among the projected rows.
    """

    found: Found
    first: Indices
    second: Indices


def sample_pairs(
    vectors: Halves, projected: Projected, search: PairSearch, seeds: Sequence[int]
) -> list[SampledPairs]:
    """Compare some rows with all others, others for each seed."""
    comparison = search.compare(vectors, search.threshold, projected)
    return [_sample(comparison, seed, search.block) for seed in seeds]


def _sample(comparison: Comparison, seed: int, block: tuple[int, int]) -> SampledPairs:
    (rows, columns), count = block, len(comparison.rows)
    places = np.random.default_rng(seed).choice(count, min(SAMPLE_ROWS, count), replace=False)
    pairs = joined(
        [
            comparison.pairs_of(places[first : first + rows], low, min(low + columns, count))
            for low in range(0, count, columns)
            for first in range(0, len(places), rows)
        ]
    )
    return SampledPairs(
        pairs, np.searchsorted(comparison.rows, pairs[0]), np.searchsorted(comparison.rows, pairs[1])
    )


def reach_taken(projected: Projected, centres: Centres, sampled: SampledPairs) -> Floats:
    """Return for each pair the part of the distance at which one of its rows visits the other's home."""
    radius = float(np.sqrt(projected.fine_most))
    taken = np.zeros(len(sampled.first), dtype=np.float32)
    for start in range(0, len(taken), ROWS_TOGETHER):
        part = slice(start, start + ROWS_TOGETHER)
        first, second = (
            centres.leads(projected.fine[side[part]]) for side in (sampled.first, sampled.second)
        )
        pairs = np.arange(len(first[0]))
        apart = np.maximum(2 * radius * centres.apart[first[0], second[0]], np.float32(1e-12))
        taken[part] = np.minimum(first[1][pairs, second[0]], second[1][pairs, first[0]]) / apart
    return np.maximum(taken, 0)


def choose_reach(taken: Floats) -> float:
    """Return a reach at which all sampled pairs would be met, with a margin; 1 at most, where none is missed."""
    few = len(taken) < FEW_PAIRS
    widest = float(taken.max()) if len(taken) else 0.0
    return min(1.0, max((3 if few else 1) * LEAST_REACH, (MARGIN_OF_FEW if few else MARGIN) * widest))


def fast_pairs(
    vectors: Halves, projected: Projected, search: PairSearch, progress: Progress, finished: Finished
) -> tuple[Found, int | None, float | None]:
    """Find pairs; where visits would multiply more pairs than an exact search does, it becomes one.

    Args:
        projected: Rows in ascending order.

    Returns:
        Pairs, some of them twice; those of the sample that it was measured by, and the share of them found without it, None
        where the sample has none. The search was exact where both are None.
    """
    centres = centres_of(projected, search.bytes_of_coordinates)
    samples = sample_pairs(vectors, projected, search, (0, 1))
    taken = reach_taken(projected, centres, samples[0])
    for attempt in range(1, TRIES + 1):
        reach = choose_reach(taken)
        if reach >= 1 or share_of_pairs(projected, centres, reach) > WORTH_WHILE:
            break
        found = run_partition(centre_partition(vectors, projected, search, centres, reach), search, progress)
        check = samples[attempt]
        recall = _share_found(found, check, len(vectors))
        if recall is None or recall >= TARGET:
            return joined([found, *(sample.found for sample in samples)]), len(check.first), recall
        taken = np.concatenate([taken, reach_taken(projected, centres, check)])
        samples += sample_pairs(vectors, projected, search, (attempt + 1,))
    partition = exact_partition(vectors, projected, search)
    return run_partition(partition, search, progress, finished), None, None


def _share_found(found: Found, check: SampledPairs, rows: int) -> float | None:
    if not len(check.first):
        return None
    mine, theirs = (pairs[0] * rows + pairs[1] for pairs in (found, check.found))
    return float(np.isin(theirs, mine).mean())
