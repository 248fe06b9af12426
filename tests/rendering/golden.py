"""A golden picture: an encoded file, and the picture that an independent decoder or the file's own definition says it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import skimage

Levels = npt.NDArray[np.uint8]

TIFF_ENVIRONMENT = {"IMGVEC_FORMATS": "tiff"}
NAMES = ("astronaut", "chelsea", "coffee", "motorcycle_left")


@dataclass(frozen=True)
class Golden:
    """One file of the corpus.

    Attributes:
        name: Kind and variant, such as `tiff/uint16 white is zero`.
        data: The encoded file.
        right: Shape (height, width, 3), what a careful viewer shows of it.
        by: Who says so: a decoder that is not Pillow, or the definition that the file was made by.
        notes: That decoding tells.
        most_levels: Mean difference allowed, in levels of 255.
    """

    name: str
    data: bytes = field(repr=False)
    right: Levels = field(repr=False)
    by: str
    notes: tuple[str, ...] = ()
    most_levels: float = 1.0


@cache
def photograph(name: str, most_side: int = 320) -> Levels:
    """Return a photograph of scikit-image's, by libpng and not by Pillow, of at most that many pixels a side."""
    data = (Path(skimage.__file__).parent / "data" / f"{name}.png").read_bytes()
    pixels: Levels = np.asarray(imagecodecs.png_decode(data))[..., :3]
    step = -(-max(pixels.shape[:2]) // most_side)
    height, width = (side // step * step for side in pixels.shape[:2])
    # Means of blocks: a photograph that is only thinned out has detail finer than any camera's.
    blocks = pixels[:height, :width].reshape(height // step, step, width // step, step, 3)
    return (blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def grey_photograph(name: str) -> Levels:
    """Return a photograph's luma (ITU-R BT.601)."""
    return (photograph(name) @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)


def rgb(levels: Levels) -> Levels:
    """Return grey levels as three equal channels; colours as they are."""
    return levels if levels.ndim == 3 else np.repeat(levels[:, :, None], 3, axis=2)


def over(levels: Levels, alpha: npt.NDArray[Any], ground: int = 255) -> Levels:
    """Lay colours over one grey by an opacity of 0 to 1."""
    opacity = alpha[:, :, None] if alpha.ndim == 2 else alpha
    return (rgb(levels) * opacity + ground * (1 - opacity) + 0.5).astype(np.uint8)


def ellipse(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return an opacity of 1 within an ellipse that fills the picture, 0 outside, and a soft edge."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2))
    return ((1 - distance) * 8).clip(0, 1)


def srgb_to_linear(levels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IEC 61966-2-1, of 0 to 255."""
    codes = np.asarray(levels) / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: npt.NDArray[Any]) -> Levels:
    """IEC 61966-2-1, clipped and rounded to 0 to 255."""
    clipped = np.asarray(linear).clip(0, 1)
    codes = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return (codes * 255 + 0.5).astype(np.uint8)


Decoder = Callable[[bytes], npt.NDArray[Any]]
