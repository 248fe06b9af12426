"""Coordinates that a run keeps, in halves: no pair is discarded by them."""

import numpy as np
import pytest

from imgvec_pg.duplicates.pairs import find_pairs
from imgvec_pg.duplicates.sketch import CrossSearch, Sketch, add_rows, make_sketch


@pytest.mark.parametrize(
    ("dimensions", "spread", "threshold"),
    [(128, 0.3, 0.95), (96, 3.0, 0.6), (3, 0.1, 0.9999), (64, 0.0, 1.0)],
)
def test_coordinates_kept_discard_no_pair(dimensions: int, spread: float, threshold: float) -> None:
    random = np.random.default_rng(dimensions)
    vectors = random.normal(size=(20, dimensions))[random.integers(0, 20, 1500)]
    vectors += spread * random.normal(size=vectors.shape) / np.sqrt(dimensions)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    old, new = vectors[:1200], vectors[1200:]
    first, stored = make_sketch(old)
    sketch, coordinates = add_rows(first, new)
    search = CrossSearch(sketch, coordinates, threshold)
    found = {
        (int(left), int(right) + 500 * block)
        for block, (lefts, rights) in enumerate(
            search.all_candidates([stored[:500], stored[500:1000], stored[1000:]])
        )
        for left, right in zip(lefts, rights, strict=True)
    }
    pairs = find_pairs(vectors, threshold)
    across = (pairs.first < 1200) & (pairs.second >= 1200)
    wanted = set(zip((pairs.second[across] - 1200).tolist(), pairs.first[across].tolist(), strict=True))
    assert len(wanted) > 100 and wanted <= found
    assert (
        Sketch.from_bytes(sketch.to_bytes(), dimensions, 0.0).axes.directions.tolist()
        == sketch.axes.directions.tolist()
    )


def test_coordinates_of_a_row_without_direction_are_near_none() -> None:
    vectors = np.zeros((9, 8), dtype=np.float16)
    vectors[1:, 0] = 1
    sketch, coordinates = make_sketch(vectors)
    [(left, right)] = CrossSearch(sketch, coordinates, 0.5).all_candidates([coordinates])
    assert set(left.tolist()) == set(right.tolist()) == set(range(1, 9))
