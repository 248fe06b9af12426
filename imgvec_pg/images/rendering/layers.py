"""Colours and opacity of a loaded image of any mode, apart; a PNG's transparent colour by its own samples, of any depth."""

import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from imgvec_pg.images.rendering.png_chunks import GREY, GREY_ALPHA, PngChunks, without_notes
from imgvec_pg.images.rendering.samples import FEW_BITS_LEVEL, to_eight_bits

_NATIVE = "L" if sys.byteorder == "little" else "B"
_SWAPPED = {"L": "B", "B": "L", "N": "B" if _NATIVE == "L" else "L"}
DEEP_MODES = ("RGB;16", "RGBA;16", "RGBX;16")
"""Raw modes, less the byte order at their end, of which Pillow takes the upper bytes alone."""


@dataclass(frozen=True)
class Layers:
    """A picture before its colour space is heeded.

    Attributes:
        colours: Of mode RGB, L or CMYK, not multiplied by their opacity.
        alpha: Of mode L, the same size; None where all is opaque.
        deep: The same colours in 16 bits, shape (height, width, 3), where they were read.
    """

    colours: Image.Image
    alpha: Image.Image | None = None
    deep: npt.NDArray[np.uint16] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all is transparent."""
        return self.alpha is not None and self.alpha.getextrema() == (0, 0)


def split(image: Image.Image) -> Layers:
    """Take apart an image of 8 bits a channel."""
    if image.mode in ("LA", "RGBA") and "transparency" not in image.info:
        *colours, alpha = image.split()
        return Layers(colours[0] if image.mode == "LA" else image.convert("RGB"), alpha)
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        return Layers(with_alpha.convert("RGB"), with_alpha.getchannel("A"))
    if image.mode in ("RGB", "L", "CMYK"):
        return Layers(image)
    return Layers(image.convert("L" if image.mode == "1" else "RGB"))


def split_png(image: ImageFile.ImageFile, data: bytes, chunks: PngChunks, want_deep: bool) -> Layers:
    """Take apart a PNG's first picture.

    Args:
        want_deep: All 16 bits of colours are of use.
    """
    key = chunks.colour_key
    if chunks.bits < 16:
        if key is not None and chunks.colour_type == GREY and image.mode == "L":
            # Pillow spreads samples of 2 and 4 bits over 8, and not the key.
            image.info["transparency"] = key[0] * 255 // (2**chunks.bits - 1)
        return split(image)
    if chunks.colour_type == GREY:
        samples = np.asarray(image)
        alpha = None if key is None else _opaque(samples != key[0])
        return Layers(Image.fromarray(to_eight_bits(samples)), alpha)
    deep = None
    if key is not None or want_deep or uses_few_bits(image):
        deep = sixteen_bits(image, without_notes(data))
    if deep is None:
        image.info.pop("transparency", None)
        return split(image)
    colours, alpha = deep[..., :3], None
    if deep.shape[2] == 4:
        alpha = Image.fromarray(to_eight_bits(deep[..., 3]))
    elif key is not None:
        alpha = _opaque((colours != np.array(key, np.uint16)).any(axis=-1))
    levels = to_eight_bits(colours)
    if chunks.colour_type == GREY_ALPHA:
        return Layers(Image.fromarray(np.ascontiguousarray(levels[..., 0])), alpha, colours)
    return Layers(Image.fromarray(levels), alpha, colours)


def split_deep(image: ImageFile.ImageFile, data: bytes) -> Layers:
    """Take apart an image of 16 bits a channel that Pillow cut to 8, where its samples may use fewer bits than 16.

    Little ink is a light picture, and no sign of fewer bits.
    """
    deep = sixteen_bits(image, data) if image.mode in ("RGB", "RGBA") and uses_few_bits(image) else None
    if deep is None:
        return split(image)
    levels = Image.fromarray(to_eight_bits(deep[..., :3]))
    return Layers(levels, Image.fromarray(to_eight_bits(deep[..., 3])) if image.mode == "RGBA" else None)


def uses_few_bits(image: Image.Image) -> bool:
    """Whether colours of 16 bits, cut to their upper 8, may be of 14 or fewer."""
    return all(cast(tuple[int, int], band.getextrema())[1] < FEW_BITS_LEVEL for band in image.split()[:3])


def sixteen_bits(image: ImageFile.ImageFile, data: bytes) -> npt.NDArray[np.uint16] | None:
    """Return all bits of samples of which Pillow keeps the upper bytes, by decoding once more for the lower ones.

    Args:
        image: Opened from `data`, and loaded.

    Returns:
        Shape (height, width, channels); None where the file has no such samples, or Pillow no way to read them.
    """
    again: Any = type(image)(BytesIO(data))
    tiles = []
    for tile in again.tile:
        rawmode, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args
        if rawmode == "LA;16B":  # the same bytes, as four channels
            swapped = "RGBA"
        elif rawmode[:-1] in DEEP_MODES:
            swapped = rawmode[:-1] + _SWAPPED[rawmode[-1]]
        else:
            return None
        tiles.append(
            tile._replace(args=(swapped, *rest) if rest or isinstance(tile.args, tuple) else swapped)
        )
    again.tile = tiles
    again.load()
    low = np.asarray(again)
    if rawmode == "LA;16B":
        grey, alpha = (low[..., at].astype(np.uint16) << 8 | low[..., at + 1] for at in (0, 2))
        return np.stack([grey, grey, grey, alpha], axis=-1)
    deep = np.asarray(image).astype(np.uint16)
    deep <<= 8  # in place: these are the largest arrays of all
    deep |= low
    return deep


def _opaque(mask: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
