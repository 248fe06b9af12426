import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from imgvec_pg.errors import ImageError
from imgvec_pg.images.rendering.samples import ROWS_AT_ONCE, opacity, to_eight_bits

DTYPES = ("u1", "<u2", ">u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?")


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5))
    ),
    st.booleans(),
)
def test_any_samples_become_levels_in_their_order(samples: np.ndarray, white_is_zero: bool) -> None:
    known = np.isfinite(samples) if samples.dtype.kind == "f" else np.ones(samples.shape, bool)
    if not known.any():
        with pytest.raises(ImageError, match="finite"):
            to_eight_bits(samples)
        return
    levels = to_eight_bits(samples, white_is_zero=white_is_zero)
    assert (levels.dtype, levels.shape) == (np.uint8, samples.shape)
    ordered = levels[known][np.argsort(samples[known], kind="stable")].astype(int)
    steps = np.diff(ordered)
    assert (steps <= 0).all() if white_is_zero else (steps >= 0).all()


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.0, -2.2e-313, -4.4e-313], [255, 128, 0]),
        ([8.9e307, 0.0, 4.45e307], [253, 0, 127]),
        ([-1.7e308, 0.0, 1.7e308], [0, 128, 255]),
        ([1.7e308, 0.0, -2.2e-313], [255, 0, 0]),
    ],
)
def test_ranges_at_the_ends_of_64_bits_are_spread_too(samples: list[float], expected: list[int]) -> None:
    levels = to_eight_bits(np.array([samples]))
    assert np.abs(levels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("samples", "told", "expected"),
    [
        ([0, 512, 1023], {}, [0, 128, 255]),
        ([0, 512, 1024], {}, [0, 32, 64]),
        ([0, 1000, 4000], {}, [0, 62, 249]),
        ([0, 100, 200], {"bits": 12}, [0, 6, 12]),
        ([0, 100, 5000], {"bits": 12}, [0, 2, 78]),
        ([90, 140, 300], {"smin": 100.0, "smax": 200.0}, [0, 102, 255]),
        ([0, 40, 100], {"smax": 100.0}, [0, 102, 255]),
        ([0, 128, 255], {"smin": 9.0, "smax": 3.0}, [0, 128, 255]),
        ([0, 128, 255], {"smax": float("nan")}, [0, 128, 255]),
        ([0, 128, 65535], {"nodata": 65535.0}, [0, 128, 0]),
        ([0, 128, 255], {"nodata": -9999.0}, [0, 128, 255]),
        ([0, 128, 255], {"white_is_zero": True}, [255, 127, 0]),
    ],
    ids=str,
)
def test_sixteen_bits_are_scaled_by_what_is_told_or_else_by_the_highest(
    samples: list[int], told: dict, expected: list[int]
) -> None:
    assert to_eight_bits(np.array([samples], np.uint16), **told)[0].tolist() == expected


def test_channels_share_a_scale_and_inks_keep_their_types() -> None:
    assert to_eight_bits(np.array([[[0, 100, 1023]]], np.uint16)).tolist() == [[[0, 25, 255]]]
    assert to_eight_bits(np.array([[[0, 257, 514, 771]]], np.uint16)).tolist() == [[[0, 1, 2, 3]]]


def test_opacity_follows_the_bits_of_its_colours_where_it_keeps_to_them() -> None:
    colours = np.array([[[4095, 9, 9], [9, 9, 9]]], np.uint16)
    assert opacity(np.array([[4095, 2048]], np.uint16), colours).tolist() == [[255, 128]]
    assert opacity(np.array([[65535, 2056]], np.uint16), colours).tolist() == [[255, 8]]
    assert opacity(np.array([[4112, 0]], np.uint16), np.full((1, 2, 3), 65535, np.uint16)).tolist() == [
        [16, 0]
    ]


def test_rows_beyond_the_first_share_are_scaled_alike() -> None:
    samples = np.tile(np.linspace(-3, 7, 2 * ROWS_AT_ONCE + 9)[:, None], (1, 3))
    levels = to_eight_bits(samples)
    assert np.abs(levels[:, 0] - np.linspace(0, 255, len(samples))).max() < 2


def test_complex_numbers_are_no_samples() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_eight_bits(np.zeros((2, 2), complex))
