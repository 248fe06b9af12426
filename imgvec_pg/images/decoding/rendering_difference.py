"""Compare what two versions of rendering make of one picture: is it another, and by how much."""

import numpy as np
from PIL import Image, ImageChops, ImageStat

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.rendering.bands import Bands

OTHER = 255.0
"""The difference of pictures of two sizes, or where one version refuses it."""


def compare_renderings(data: bytes, older: int, newer: int, *, bands: Bands = ()) -> float:
    """Return the mean difference of all pixels and channels, 0 (the same bits) to 255.

    All pixels are decoded under either: shrink-on-load, which stays within a level of rounding, is no difference.

    Raises:
        ImageError: Neither version decodes it.
    """
    rendered: list[Image.Image] = []
    refusals: list[ImageError] = []
    for version in range(older, newer + 1):
        try:
            rendered.append(decode_image(data, rendering=version, bands=bands))
        except ImageError as error:
            refusals.append(error)
    if not rendered:
        raise refusals[-1]
    if refusals:
        return OTHER
    return max(_difference(image, rendered[-1]) for image in rendered[:-1])


def _difference(image: Image.Image, other: Image.Image) -> float:
    if image.size != other.size:
        return OTHER
    return float(np.mean(ImageStat.Stat(ImageChops.difference(image, other)).mean))
