"""Rendering 2: profiles, HDR, samples of any depth, transparency and animations, as docs/howto/rendering.md has the rules."""

import numpy as np
from PIL import Image, ImageFile

from imgvec_pg.images.rendering import first
from imgvec_pg.images.rendering.colour import to_srgb
from imgvec_pg.images.rendering.samples import to_eight_bits

Notes = tuple[str, ...]


def render(image: ImageFile.ImageFile, name: str, data: bytes) -> tuple[Image.Image, Notes]:
    """Turn a loaded image into sRGB.

    Args:
        image: As opened by the reader of its format, and loaded.
        name: Of the format.
        data: Its encoded bytes.

    Returns:
        An image of mode RGB, not turned upright, and codes of `rendering.notes`.
    """
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB"), ()
    if image.mode in ("RGB", "L", "CMYK") and not image.has_transparency_data:
        converted, note = to_srgb(image, image.info.get("icc_profile"))
        return converted._new(converted.im), () if note is None else (note,)
    return first.to_rgb(image), ()
