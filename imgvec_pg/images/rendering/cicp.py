"""Colour spaces told by numbers (ITU-T H.273) or by PNG's gAMA and cHRM, to sRGB: primaries, white point and transfer curve."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Point = tuple[float, float]
Chromaticities = tuple[Point, Point, Point, Point]
"""White, red, green, blue as CIE x and y."""

D65: Point = (0.3127, 0.3290)
SRGB: Chromaticities = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
BT2020: Chromaticities = (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
# ITU-T H.273 (07/2024) table 2.
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: BT2020,
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
# Table 3. Video's own curves (1, 6, 14, 15) are shown by sRGB's, as browsers do: a still picture's author saw it so.
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
PQ, HLG = 16, 18
PNG_SRGB_GAMMA, GAMMA_TOLERANCE = 0.45455, 0.05
"""Programs write this rounded in many ways, and mean sRGB: PNG 3rd edition, section 13.13."""
ROWS_AT_ONCE = 256
_ENCODED_STEPS = 65535
SRGB_LEVELS = 2
# Bradford: ICC.1:2022 annex E.
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def primaries_of(number: int) -> Chromaticities:
    """Return the primaries of a number; those of sRGB for unspecified and unknown ones."""
    return PRIMARIES.get(number, SRGB)


def matrix_to_srgb(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    """Return the matrix from linear RGB of these primaries to linear sRGB, white to white (Bradford).

    Raises:
        numpy.linalg.LinAlgError: The primaries lie on a line.
    """
    source, target = _to_xyz(chromaticities), _to_xyz(SRGB)
    white, wanted = (_CONES @ _xyz(point) for point in (chromaticities[0], D65))
    adapt = np.linalg.inv(_CONES) @ np.diag(wanted / white) @ _CONES
    matrix: npt.NDArray[np.float64] = np.linalg.inv(target) @ adapt @ source
    return matrix


def _xyz(point: Point) -> npt.NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_xyz(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    columns = np.stack([_xyz(point) for point in chromaticities[1:]], axis=1)
    return columns * np.linalg.solve(columns, _xyz(chromaticities[0]))


def srgb_to_linear(encoded: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IEC 61966-2-1: 0 to 1 each."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _encoding_table() -> npt.NDArray[np.uint8]:
    linear = np.arange(_ENCODED_STEPS + 1) / _ENCODED_STEPS
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def encode_srgb(linear: Floats) -> npt.NDArray[np.uint8]:
    """Return levels of linear values, clipped to 0 to 1."""
    return _encoding_table()[(linear.clip(0, 1) * _ENCODED_STEPS + 0.5).astype(np.uint16)]


def convert_space(
    image: Image.Image,
    chromaticities: Chromaticities,
    exponent: float | None,
    deep: npt.NDArray[np.uint16] | None = None,
) -> Image.Image:
    """Convert RGB pixels of a space to sRGB; those of a space that comes to the same stay as they are, bit for bit.

    Args:
        image: Of mode RGB.
        exponent: That decodes a value of 0 to 1 to light, such as 2.2; None for sRGB's curve.
        deep: The same pixels in 16 bits, where they were read.
    """
    if exponent is None and chromaticities == SRGB:
        return image
    try:
        matrix = matrix_to_srgb(chromaticities).astype(np.float32)
    except np.linalg.LinAlgError:
        return image
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
    difference = _convert(probe, matrix, exponent).astype(int) - probe.astype(int)
    if not np.isfinite(matrix).all() or np.abs(difference).max() <= SRGB_LEVELS:
        return image
    return Image.fromarray(_convert(np.asarray(image) if deep is None else deep, matrix, exponent))


def _convert(
    samples: npt.NDArray[np.uint8 | np.uint16], matrix: Floats, exponent: float | None
) -> npt.NDArray[np.uint8]:
    most = np.iinfo(samples.dtype).max
    codes = np.arange(most + 1) / most
    light = (srgb_to_linear(codes) if exponent is None else codes**exponent).astype(np.float32)
    result = np.empty(samples.shape, np.uint8)
    for start in range(0, len(samples), ROWS_AT_ONCE):
        result[start : start + ROWS_AT_ONCE] = encode_srgb(
            light[samples[start : start + ROWS_AT_ONCE]] @ matrix.T
        )
    return result


def decoding_exponent(gamma: float | None) -> float | None:
    """Return what PNG's gAMA decodes with; None for sRGB's curve, which most mean by it."""
    if gamma is None or abs(gamma / PNG_SRGB_GAMMA - 1) <= GAMMA_TOLERANCE:
        return None
    return 1 / gamma
