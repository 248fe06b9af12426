"""JPEGs that Pillow's library has no decoder for, 12 bits a sample and JPEG-LS, by imagecodecs."""

import imagecodecs
from PIL import Image

from imgvec_pg.images.decoding.codecs.jpeg_frame import read_frame
from imgvec_pg.images.decoding.codecs.pixels import Meaning, to_rgb


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as stored.

    Raises:
        ValueError: It has no frame.
    """
    frame = read_frame(data)
    if frame is None:
        raise ValueError("it has no frame")
    return frame.width, frame.height


def decode(data: bytes) -> Image.Image:
    """Decode it.

    Raises:
        ValueError: It has no frame.
    """
    frame = read_frame(data)
    if frame is None:
        raise ValueError("it has no frame")
    samples = imagecodecs.jpegls_decode(data) if frame.is_jpeg_ls else imagecodecs.jpeg8_decode(data)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[:, :, 0]
    if samples.ndim == 3 and samples.shape[2] == 4:
        return to_rgb(samples, Meaning(bits=frame.bits, is_cmyk=True))
    return to_rgb(samples, Meaning(bits=frame.bits))
