"""JPEG XL by libjxl (imagecodecs): the first frame, upright, through the colour space that its header states."""

import imagecodecs
import numpy as np
from PIL import Image

from imgvec_pg.images.decoding.codecs.jpeg_xl_header import Header, read_header
from imgvec_pg.images.decoding.codecs.pixels import Meaning, Samples, to_rgb
from imgvec_pg.images.decoding.codecs.scene_light import to_screen
from imgvec_pg.images.rendering.cicp import SRGB, matrix_to_srgb, primaries_of
from imgvec_pg.images.rendering.notes import PROFILE_IGNORED

_LINEAR = 8


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ValueError: It has no codestream.
    """
    header = read_header(data)
    return header.width, header.height


def decode(data: bytes) -> Image.Image:
    """Decode it. An ICC profile is out of imagecodecs' reach: it is noted, and the picture taken as sRGB."""
    header = read_header(data)
    samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    if samples.ndim == 2:
        samples = samples[:, :, None]
    colours = 1 if samples.shape[2] < 3 else 3
    colour = samples[:, :, 0] if colours == 1 else samples[:, :, :3]
    alpha = samples[:, :, colours] if samples.shape[2] > colours else None
    if header.space is not None and header.space[1] == _LINEAR:
        return _show_light(colour, alpha, header)
    image = to_rgb(
        _full_range(colour, header.bits),
        Meaning(space=header.space),
        None if alpha is None else _full_range(alpha, header.bits),
        is_premultiplied=header.has_alpha_multiplied,
    )
    if header.space is None:
        image.info["notes"] = (*image.info["notes"], PROFILE_IGNORED)
    return image


def _full_range(samples: Samples, bits: int) -> Samples:
    """Return samples as whole numbers that fill their type; floats and what has more than 8 bits as 16."""
    if samples.dtype == np.uint8 and bits == 8:
        return samples
    return (_fractions(samples, bits).clip(0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


def _show_light(colour: Samples, alpha: Samples | None, header: Header) -> Image.Image:
    light = _fractions(colour, header.bits)
    opacity = None if alpha is None else _fractions(alpha, header.bits)
    primaries = SRGB if header.space is None else primaries_of(header.space[0])
    if light.ndim == 3 and primaries != SRGB:
        light = light @ matrix_to_srgb(primaries).T.astype(np.float32)
    if opacity is not None and not header.has_alpha_multiplied:
        light = light * (opacity if light.ndim == 2 else opacity[:, :, None])
    return to_screen(light, opacity)


def _fractions(samples: Samples, bits: int) -> Samples:
    """Return 0 to 1; whole numbers come with as many bits as the file says."""
    if samples.dtype.kind == "f":
        return np.nan_to_num(samples.astype(np.float32))
    return samples.astype(np.float32) / np.float32(2**bits - 1)
