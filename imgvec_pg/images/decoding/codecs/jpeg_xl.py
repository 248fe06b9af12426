"""JPEG XL by libjxl: pillow-jxl-plugin's decoder without its plugin, which decodes at once and by as many threads as it likes."""

from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image
from pillow_jxl import Decoder

from imgvec_pg.images.decoding.codecs.jpeg_xl_header import read_header
from imgvec_pg.images.decoding.codecs.pixels import Meaning, Samples, to_rgb

# Modes that the decoder has; RGB of any depth comes in 8 bits.
_LAYOUTS = {
    "L": ("u1", 1),
    "LA": ("u1", 2),
    "RGB": ("u1", 3),
    "RGBA": ("u1", 4),
    "I;16": ("<u2", 1),
    "F": ("<f4", 1),
}


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ValueError: It has no codestream.
    """
    header = read_header(data)
    return header.width, header.height


def decode(data: bytes) -> Image.Image:
    """Decode the first frame, upright; where it is a JPEG made smaller, that JPEG's pixels."""
    is_jpeg, info, pixels, profile, _ = Decoder(num_threads=0)(data)
    if is_jpeg:
        return _decode_jpeg(pixels, profile)
    profile = bytes(profile) if profile else None
    if read_header(data).is_animated:
        # The plugin's decoder gives the last frame.
        return _show(imagecodecs.jpegxl_decode(data, index=0, numthreads=1), profile)
    dtype, channels = _LAYOUTS[info.mode]
    return _show(np.frombuffer(pixels, dtype).reshape(info.height, info.width, channels), profile)


def _decode_jpeg(data: bytes, profile: bytes | None) -> Image.Image:
    with Image.open(BytesIO(data), formats=["JPEG"]) as image:
        image.load()
        is_cmyk = image.mode == "CMYK"
        samples = np.asarray(image)
        profile = image.info.get("icc_profile", profile)
    return to_rgb(samples, Meaning(profile=profile, is_cmyk=is_cmyk))


def _show(samples: Samples, profile: bytes | None) -> Image.Image:
    if samples.ndim == 2:
        samples = samples[:, :, None]
    channels = samples.shape[2]
    colours = 1 if channels < 3 else 3
    colour = samples[:, :, 0] if colours == 1 else samples[:, :, :3]
    return to_rgb(colour, Meaning(profile=profile), samples[:, :, colours] if channels > colours else None)
