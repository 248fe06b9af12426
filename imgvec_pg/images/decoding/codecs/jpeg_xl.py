"""JPEG XL by libjxl: pillow-jxl-plugin's decoder without its plugin, which decodes at once and by as many threads as it likes."""

from io import BytesIO

import numpy as np
from PIL import Image
from pillow_jxl import Decoder

from imgvec_pg.images.decoding.codecs.jpeg_xl_header import read_size
from imgvec_pg.images.decoding.codecs.pixels import Meaning, to_rgb

__all__ = ["decode", "read_size"]

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def decode(data: bytes) -> Image.Image:
    """Decode the first frame, upright; where it is a JPEG made smaller, that JPEG's pixels."""
    is_jpeg, info, pixels, profile, _ = Decoder(num_threads=0)(data)
    if is_jpeg:
        with Image.open(BytesIO(pixels), formats=["JPEG"]) as image:
            image.load()
            mode = image.mode
            samples = np.asarray(image)
            profile = image.info.get("icc_profile", profile)
        return to_rgb(samples, Meaning(profile=profile, is_cmyk=mode == "CMYK"))
    channels = _CHANNELS[info.mode]
    samples = np.frombuffer(pixels, np.uint8).reshape(info.height, info.width, channels)
    colours = 1 if channels < 3 else 3
    colour = samples[:, :, 0] if colours == 1 else samples[:, :, :3]
    return to_rgb(
        colour, Meaning(profile=bytes(profile)), samples[:, :, colours] if channels > colours else None
    )
