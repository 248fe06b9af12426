"""Vectors to search with, however long, search by their direction; what is no vector is refused alike by all that take one."""

from typing import Any

import numpy as np
import pytest
from pgvector import HalfVector

from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_types import as_unit_vector


@pytest.mark.parametrize("length", [1e-40, 1e-9, 1.0, 1e6, 1e37])
def test_a_vector_of_any_length_is_brought_to_norm_1(length: float) -> None:
    vector = np.array([3, -4], dtype=np.float32) * np.float32(length)
    assert as_unit_vector(vector, 2) == pytest.approx([0.6, -0.8], abs=1e-4)


@pytest.mark.parametrize("value", [[3, -4], (3.0, -4.0), np.array([3, -4]), HalfVector([3, -4])])
def test_a_vector_is_taken_in_any_form(value: Any) -> None:
    unit = as_unit_vector(value)
    assert (unit.dtype, unit.shape) == (np.float32, (2,))
    assert unit == pytest.approx([0.6, -0.8])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "cannot search for NoneType; expected words or numbers of shape (2,)"),
        (3.5, "cannot search for float; expected words or numbers of shape (2,)"),
        (["red", "blue"], "cannot search for list; expected words or numbers of shape (2,)"),
        ([[1, 2], [3]], "cannot search for list; expected words or numbers of shape (2,)"),
        ({"id": 7}, "cannot search for dict; expected words or numbers of shape (2,)"),
        ([], "the vector has shape (0,); expected (2,), as the collection's model gives"),
        ([1, 2, 3], "the vector has shape (3,); expected (2,), as the collection's model gives"),
        ([[1, 2]], "the vector has shape (1, 2); expected (2,), as the collection's model gives"),
        ([0, 0], "the vector is zero, which is equally far from all; expected one that has a direction"),
        ([float("nan"), 1], "the vector is not finite; expected numbers without NaN and infinity"),
        ([float("inf"), 1], "the vector is not finite; expected numbers without NaN and infinity"),
    ],
)
def test_what_is_no_vector_is_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        as_unit_vector(value, 2, others="words or ")
    assert str(raised.value) == message


def test_a_vector_for_an_unknown_model_needs_one_axis_only() -> None:
    with pytest.raises(UsageError, match=r"the vector has shape \(1, 2\); expected \(dimensions,\)"):
        as_unit_vector([[1, 2]])
