"""Vectors to ask with, however long, ask by their direction."""

import numpy as np
import pytest

from imgvec_pg.search.query_types import unit_vector
from imgvec_pg.sqlalchemy.query import as_vector


@pytest.mark.parametrize("length", [1e-40, 1e-9, 1.0, 1e6, 1e37])
def test_a_vector_of_any_length_is_brought_to_norm_1(length: float) -> None:
    vector = np.array([3, -4], dtype=np.float32) * np.float32(length)
    assert unit_vector(vector) == pytest.approx([0.6, -0.8], abs=1e-4)
    assert np.array_equal(as_vector(vector), unit_vector(vector))
