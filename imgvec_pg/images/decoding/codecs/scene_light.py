"""Scene light without an upper end (OpenEXR, Radiance, PFM) to the 8 bits of a screen; docs/howto/formats.md has the formula."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.errors import ImageError

Light = npt.NDArray[Any]

PEAK_PERCENTILE = 99.9
DARKEST_PEAK = 0.05
"""A picture that nowhere is brighter than this is in other units: its peak becomes white."""
KEY = 0.18
"""Grey of the middle of a scene: Reinhard 2002, Photographic tone reproduction for digital images."""
MOST_STATISTICS = 1_000_000
ROWS_AT_ONCE = 256
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def to_screen(light: Light, opacity: Light | None = None) -> Image.Image:
    """Tone-map linear light of Rec. 709 primaries.

    Up to a peak of 1 (the 99.9th percentile of the brightest channel) values are shown as they are, by the curve of
    sRGB. Beyond it the geometric mean of luminance is brought down to 0.18 where it lies above, and all is compressed
    by Reinhard's extended curve whose white is the peak; the three channels of a pixel share one factor, so colours
    stay. NaN and what is below 0 are black, infinite is the peak.

    Args:
        light: Shape (height, width) or (height, width, 3), floats.
        opacity: Shape (height, width), 0 to 1; light was multiplied by it.

    Returns:
        An image of mode RGB.

    Raises:
        ImageError: `truncated`: no value is a number.
    """
    if light.ndim == 2:
        light = light[:, :, None]
    exposure, white = _exposure(light)
    levels = np.empty((*light.shape[:2], 3), np.uint8)
    for start in range(0, len(light), ROWS_AT_ONCE):
        part = _finite(light[start : start + ROWS_AT_ONCE].astype(np.float64) * exposure, max(white, 1.0))
        if white > 1.0:
            part = _compress(part, white)
        screen = _srgb_curve(part.clip(0.0, 1.0))
        if opacity is not None:
            screen += (
                1.0
                - _finite(opacity[start : start + ROWS_AT_ONCE].astype(np.float64), 1.0).clip(0, 1)[
                    :, :, None
                ]
            )
        levels[start : start + ROWS_AT_ONCE] = (screen.clip(0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(levels)


def _exposure(light: Light) -> tuple[float, float]:
    """Return the factor of all light and the peak that becomes white, after it."""
    pixels = light.reshape(-1, light.shape[2])
    pixels = pixels[:: max(1, len(pixels) // MOST_STATISTICS)].astype(np.float64)
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    if not len(pixels):
        raise ImageError(
            "truncated", "none of the image's samples is a finite number (NaN or infinite all): replace it"
        )
    pixels = pixels.clip(min=0.0)
    peak = float(np.percentile(pixels.max(axis=1), PEAK_PERCENTILE))
    if peak <= 1.0:
        return (1.0 / peak if 0.0 < peak < DARKEST_PEAK else 1.0), 1.0
    luminance = pixels @ _LUMINANCE if pixels.shape[1] == 3 else pixels[:, 0]
    lit = luminance[luminance > 0]
    mean = float(np.exp(np.log(lit).mean())) if len(lit) else KEY
    # Not so dark that its peak would not be white.
    exposure = max(min(1.0, KEY / mean), 1.0 / peak)
    return exposure, max(peak * exposure, 1.0)


def _finite(values: Light, most: float) -> Light:
    return np.nan_to_num(values, nan=0.0, posinf=most, neginf=0.0).clip(min=0.0)


def _compress(light: Light, white: float) -> Light:
    luminance = light @ _LUMINANCE if light.shape[2] == 3 else light[:, :, 0]
    factor = (1.0 + luminance / white**2) / (1.0 + luminance)
    return light * factor[:, :, None]


def _srgb_curve(light: Light) -> Light:
    # IEC 61966-2-1.
    screen: Light = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return screen
