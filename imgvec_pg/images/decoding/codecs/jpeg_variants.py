"""JPEGs that Pillow's library has no decoder for, 12 bits a sample and JPEG-LS, by imagecodecs."""

import imagecodecs
from PIL import Image

from imgvec_pg.images.decoding.codecs.jpeg_frame import JpegFrame, has_scan, read_frame, require_end
from imgvec_pg.images.decoding.codecs.pixels import Meaning, to_rgb
from imgvec_pg.images.decoding.exif import read_exif
from imgvec_pg.images.rendering.orientation import QUARTER_TURNS, UPRIGHT


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ValueError: It has no frame.
    """
    frame = _frame(data)
    is_turned = read_exif(frame.exif).orientation in QUARTER_TURNS
    return (frame.height, frame.width) if is_turned else (frame.width, frame.height)


def decode(data: bytes) -> Image.Image:
    """Decode it.

    Raises:
        NotImplementedError: It has a header and no pixels, as the first part of a file sent in parts has: nothing shows damage.
        ValueError: It has no frame, or lacks pixels.
    """
    frame = _frame(data)
    if not has_scan(data):
        raise NotImplementedError(f"{frame.variant}, of which nothing but the header is here")
    require_end(data)
    samples = imagecodecs.jpegls_decode(data) if frame.is_jpeg_ls else imagecodecs.jpeg8_decode(data)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[:, :, 0]
    is_cmyk = samples.ndim == 3 and samples.shape[2] == 4
    image = to_rgb(samples, Meaning(bits=frame.bits, is_cmyk=is_cmyk, profile=frame.profile))
    orientation = read_exif(frame.exif).orientation
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _frame(data: bytes) -> JpegFrame:
    frame = read_frame(data)
    if frame is None:
        raise ValueError("it has no frame")
    return frame
