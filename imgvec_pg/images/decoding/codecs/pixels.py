"""Samples as a codec has them to RGB pixels, by the rules of `images/rendering/`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.images.rendering.layers import Layers
from imgvec_pg.images.rendering.samples import opacity as opacity_of
from imgvec_pg.images.rendering.samples import to_eight_bits
from imgvec_pg.images.rendering.second import render_layers

Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Meaning:
    """What a file says about its samples.

    Attributes:
        bits: Used of each sample; None where it does not say.
        white_is_zero: The lowest sample is white.
        smin: What is shown black; None where it does not say.
        smax: What is shown white; likewise.
        nodata: What stands for no measurement.
        profile: Its ICC profile.
        space: Primaries and transfer characteristics, numbers of ITU-T H.273; they go before a profile.
        is_cmyk: Four channels of ink.
    """

    bits: int | None = None
    white_is_zero: bool = False
    smin: float | None = None
    smax: float | None = None
    nodata: float | None = None
    profile: bytes | None = None
    space: tuple[int, int] | None = None
    is_cmyk: bool = False


def to_rgb(
    samples: Samples, meaning: Meaning, alpha: Samples | None = None, *, is_premultiplied: bool = False
) -> Image.Image:
    """Bring samples to 8 bits and to sRGB, and lay what is transparent over white, or grey where white would hide it.

    Args:
        samples: Shape (height, width) or (height, width, 3), with `is_cmyk` (height, width, 4).
        alpha: Shape (height, width), 0 is transparent and the largest number of its type, or 1.0, is opaque.
        is_premultiplied: The samples were multiplied by it.

    Returns:
        An image of mode RGB, with the codes of `rendering.notes` in `info["notes"]`.
    """
    levels = to_eight_bits(
        np.ascontiguousarray(samples),
        bits=meaning.bits,
        white_is_zero=meaning.white_is_zero,
        smin=meaning.smin,
        smax=meaning.smax,
        nodata=meaning.nodata,
    )
    opacity = None if alpha is None else _opacity(alpha, samples, meaning)
    if opacity is not None and is_premultiplied:
        levels = _divide(levels, opacity)
    colours = Image.fromarray(levels, "CMYK") if meaning.is_cmyk else Image.fromarray(levels)
    # HDR's curves are for all bits that there are.
    deep = samples if samples.dtype == np.uint16 and samples.ndim == 3 and not meaning.is_cmyk else None
    layers = Layers(colours, None if opacity is None else Image.fromarray(opacity), deep)
    rgb, notes = render_layers(layers, meaning.profile, meaning.space)
    rgb.info["notes"] = notes
    return rgb


def _opacity(alpha: Samples, samples: Samples, meaning: Meaning) -> npt.NDArray[np.uint8]:
    if alpha.dtype.kind == "u" and alpha.dtype == samples.dtype and not meaning.is_cmyk:
        return opacity_of(alpha, samples, meaning.bits)
    if alpha.dtype.kind == "f":
        alpha, most = np.nan_to_num(alpha), 1
    else:
        most = 2 ** (meaning.bits or 8 * alpha.dtype.itemsize) - 1
    opacity: npt.NDArray[np.uint8] = (alpha.clip(0, most) * (255.0 / most) + 0.5).astype(np.uint8)
    return opacity


def _divide(levels: npt.NDArray[np.uint8], opacity: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return colours that were multiplied by their opacity as they were."""
    divisor = np.maximum(opacity, 1).astype(np.float32)
    if levels.ndim == 3:
        divisor = divisor[:, :, None]
    divided: npt.NDArray[np.uint8] = (
        (levels * (np.float32(255.0) / divisor)).clip(0, 255).round().astype(np.uint8)
    )
    return divided
