"""PFM, floats behind three lines of text: light of a scene, tone-mapped; it takes no library."""

import re

import numpy as np
from PIL import Image

from imgvec_pg.images.decoding.codecs.scene_light import to_screen

# Kind, width, height, and a scale of which the sign alone is heeded: the order of bytes.
_HEADER = re.compile(rb"(P[Ff])\s+(\d{1,9})\s+(\d{1,9})\s+(-?)[0-9.]{1,20}(?:[eE][-+]?\d{1,2})?\s")


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        ValueError: Its header is none.
    """
    found = _header(data)
    return int(found[2]), int(found[3])


def decode(data: bytes) -> Image.Image:
    """Decode and tone-map it.

    Raises:
        ValueError: It ends early.
    """
    found = _header(data)
    width, height = int(found[2]), int(found[3])
    channels = 3 if found[1] == b"PF" else 1
    count = width * height * channels
    values = np.frombuffer(data, "<f4" if found[4] else ">f4", count=count, offset=found.end())
    # From the lowest row up.
    return to_screen(values.reshape(height, width, channels)[::-1])


def _header(data: bytes) -> re.Match[bytes]:
    found = _HEADER.match(data[:200])
    if found is None:
        raise ValueError("its header is none of a PFM")
    return found
