"""Radiance HDR by imagecodecs: light of a scene, tone-mapped."""

import re

import imagecodecs
from PIL import Image

from imgvec_pg.images.decoding.codecs.scene_light import to_screen

_MOST_HEADER_BYTES = 64 * 1024
# The line behind the header. Other orders of rows and columns are allowed, and not written in practice.
_RESOLUTION = re.compile(rb"\n-Y (\d{1,9}) \+X (\d{1,9})\n")


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        ValueError: There is none.
    """
    found = _RESOLUTION.search(data[:_MOST_HEADER_BYTES])
    if found is None:
        raise ValueError("it has no resolution -Y height +X width")
    return int(found[2]), int(found[1])


def decode(data: bytes) -> Image.Image:
    """Decode and tone-map it."""
    return to_screen(imagecodecs.rgbe_decode(data))
