"""The window of a DICOM picture: which range of what was measured is shown; PS3.3 section C.11.2.1.2."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

SIGMOID, LINEAR_EXACT = "SIGMOID", "LINEAR_EXACT"
ROWS_AT_ONCE = 256


class _Attributes(Protocol):
    """A pydicom data set."""

    def get(self, name: str) -> object:
        """Return an attribute's value, None where it is missing."""


def apply_window(values: npt.NDArray[Any], attributes: _Attributes) -> npt.NDArray[np.uint8] | None:
    """Return 0 to 255 by the first window that there is, None where there is none that can be.

    Args:
        values: What was measured, shape (height, width).
        attributes: They have WindowCenter, WindowWidth and VOILUTFunction.
    """
    center, width = _first(attributes.get("WindowCenter")), _first(attributes.get("WindowWidth"))
    function = str(attributes.get("VOILUTFunction") or "LINEAR")
    if center is None or width is None or not np.isfinite(center) or not np.isfinite(width):
        return None
    if width < 1 if function not in (SIGMOID, LINEAR_EXACT) else width <= 0:
        return None
    levels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS_AT_ONCE):
        shown = _shown(values[start : start + ROWS_AT_ONCE].astype(np.float64), center, width, function)
        levels[start : start + ROWS_AT_ONCE] = np.nan_to_num(shown).clip(0.0, 1.0) * 255 + 0.5
    return levels


def _shown(measured: npt.NDArray[Any], center: float, width: float, function: str) -> npt.NDArray[Any]:
    """Return 0 for what is shown black, 1 for white."""
    if function == SIGMOID:
        sigmoid: npt.NDArray[Any] = 1.0 / (1.0 + np.exp((-4.0 * (measured - center) / width).clip(-700, 700)))
        return sigmoid
    if function == LINEAR_EXACT:
        return (measured - center) / width + 0.5
    if width == 1:
        return (measured > center - 0.5).astype(np.float64)
    return (measured - (center - 0.5)) / (width - 1.0) + 0.5


def _first(value: object) -> float | None:
    """Return a value, of several the first."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return float(str(value)) if value not in (None, "") else None
