"""OpenEXR by the ASWF's own library: colours of the first part, tone-mapped."""

from io import BytesIO
from typing import Any

import numpy as np
import OpenEXR
from PIL import Image

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs.scene_light import Light, to_screen

MOST_CHANNELS = 64
"""Renderers write many passes into one file; all of a part are read at once."""


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the window that is shown, in pixels.

    Raises:
        ImageError: `format_denied`: deep pixels, or too many channels.
    """
    with OpenEXR.File(BytesIO(data), header_only=True, num_threads=0) as file:
        header = file.parts[0].header
        if header.get("type") not in (None, OpenEXR.scanlineimage, OpenEXR.tiledimage):
            raise ImageError("format_denied", "an OpenEXR file of deep pixels is not decoded: flatten it")
        if len(header["channels"]) > MOST_CHANNELS:
            raise ImageError(
                "too_large",
                f"the OpenEXR image has {len(header['channels'])} channels, at most {MOST_CHANNELS} are decoded: "
                "store the colours alone",
            )
        lowest, highest = header["dataWindow"]
        width, height = (int(high) - int(low) + 1 for low, high in zip(lowest, highest, strict=True))
        return width, height


def decode(data: bytes) -> Image.Image:
    """Decode and tone-map it.

    Raises:
        ImageError: `format_denied`: it has no colours.
    """
    with OpenEXR.File(BytesIO(data), separate_channels=True, num_threads=0) as file:
        channels = {name: channel.pixels for name, channel in file.parts[0].channels.items()}
        light = _colours(channels)
        opacity = channels.get("A")
        return to_screen(light, opacity)


def _colours(channels: dict[str, Any]) -> Light:
    if all(name in channels for name in "RGB"):
        return np.stack([channels[name].astype(np.float32) for name in "RGB"], axis=2)
    for name in ("Y", "R", "Z"):
        if name in channels:
            light: Light = channels[name].astype(np.float32)
            return light
    raise ImageError(
        "format_denied",
        f"an OpenEXR file of the channels {', '.join(sorted(channels))[:100]}: store it with channels R, G, B or Y",
    )
