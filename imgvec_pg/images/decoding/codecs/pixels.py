"""Samples as a codec has them to RGB pixels, by the rules of `images/rendering/`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.images.rendering.colour import to_srgb
from imgvec_pg.images.rendering.samples import to_eight_bits

Samples = npt.NDArray[Any]

# EXIF orientation to what makes it upright; Exif 2.32 section 4.6.4.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Meaning:
    """What a file says about its samples.

    Attributes:
        bits: Used of each sample; None where it does not say.
        white_is_zero: The lowest sample is white.
        smin: What is shown black; None where it does not say.
        smax: What is shown white; likewise.
        profile: Its ICC profile.
        is_cmyk: Four channels of ink.
    """

    bits: int | None = None
    white_is_zero: bool = False
    smin: float | None = None
    smax: float | None = None
    profile: bytes | None = None
    is_cmyk: bool = False


def to_rgb(
    samples: Samples, meaning: Meaning, alpha: Samples | None = None, *, is_premultiplied: bool = False
) -> Image.Image:
    """Bring samples to 8 bits and to sRGB, and what is transparent over white.

    Args:
        samples: Shape (height, width) or (height, width, 3), with `is_cmyk` (height, width, 4).
        alpha: Shape (height, width), 0 is transparent and the largest number of its type, or 1.0, is opaque.
        is_premultiplied: The samples were multiplied by it.

    Returns:
        An image of mode RGB, with the codes of `rendering.notes` in `info["notes"]`.
    """
    levels = to_eight_bits(
        samples, bits=meaning.bits, white_is_zero=meaning.white_is_zero, smin=meaning.smin, smax=meaning.smax
    )
    image = (
        Image.fromarray(np.ascontiguousarray(levels), "CMYK") if meaning.is_cmyk else Image.fromarray(levels)
    )
    rgb, note = to_srgb(image, meaning.profile)
    if alpha is not None:
        rgb = _over_white(rgb, _opacity(alpha, meaning.bits), is_premultiplied)
    rgb.info = {"notes": () if note is None else (note,)}
    return rgb


def _opacity(alpha: Samples, bits: int | None) -> npt.NDArray[np.uint8]:
    if alpha.dtype.kind == "f":
        alpha, most = np.nan_to_num(alpha), 1
    else:
        most = 2 ** (bits or 8 * alpha.dtype.itemsize) - 1
    opacity: npt.NDArray[np.uint8] = (alpha.clip(0, most) * (255.0 / most) + 0.5).astype(np.uint8)
    return opacity


def _over_white(image: Image.Image, opacity: npt.NDArray[np.uint8], is_premultiplied: bool) -> Image.Image:
    if is_premultiplied:
        pixels = np.asarray(image).astype(np.uint16) + (255 - opacity)[:, :, None]
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=Image.fromarray(opacity))
    return white
