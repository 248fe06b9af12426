"""The window of a DICOM picture: which range of what was measured is shown; PS3.3 section C.11.2.1.2."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class _Attributes(Protocol):
    """A pydicom data set."""

    def get(self, name: str) -> object:
        """Return an attribute's value, None where it is missing."""


def apply_window(values: npt.NDArray[Any], attributes: _Attributes) -> npt.NDArray[np.uint8] | None:
    """Return 0 to 255 by the first window that there is, None where there is none that can be.

    Args:
        values: What was measured.
        attributes: They have WindowCenter, WindowWidth and VOILUTFunction.
    """
    center, width = _first(attributes.get("WindowCenter")), _first(attributes.get("WindowWidth"))
    if center is None or width is None or not np.isfinite(center) or not np.isfinite(width):
        return None
    function = str(attributes.get("VOILUTFunction") or "LINEAR")
    measured = values.astype(np.float64)
    if function == "SIGMOID" and width > 0:
        shown = 1.0 / (1.0 + np.exp((-4.0 * (measured - center) / width).clip(-700, 700)))
    elif function == "LINEAR_EXACT" and width > 0:
        shown = (measured - center) / width + 0.5
    elif width > 1:
        shown = (measured - (center - 0.5)) / (width - 1.0) + 0.5
    elif width == 1:
        shown = (measured > center - 0.5).astype(np.float64)
    else:
        return None
    levels: npt.NDArray[np.uint8] = (np.nan_to_num(shown).clip(0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    return levels


def _first(value: object) -> float | None:
    """Return a value, of several the first."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if value else None
    return float(str(value)) if value not in (None, "") else None
