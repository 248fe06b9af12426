"""Decode encoded bytes to an RGB image: a pure function, which the sandbox runs in a process of its own."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.images.decoding.exif import read_exif
from imgvec_pg.images.decoding.formats import damaged, open_image

# EXIF orientation to what makes it upright; Exif 2.32 section 4.6.4.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(data: bytes) -> Image.Image:
    """Decode an image as a viewer shows it: upright, its first frame, transparent parts over white.

    16 bits a channel become their upper 8; wider whole numbers and fractions (TIFF) are scaled by their largest.
    CMYK is converted without regard to colour profiles.

    Returns:
        An image of mode RGB.

    Raises:
        ImageError: `empty`, `unidentified`, `format_denied`, `truncated` or `too_large`.
    """
    name, encoded = open_image(data)
    try:
        encoded.load()
        orientation = read_exif(encoded.info.get("exif")).orientation
        image = to_rgb(encoded)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged bytes
        raise damaged(name, error) from error
    image.info.clear()  # its EXIF would turn the image once more in other hands
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_scale(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    if image.mode == "RGB":
        # As Pillow's own methods make their results: converting would copy each pixel of most photographs once more.
        return image._new(image.im)
    return image.convert("RGB")


def _scale(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Bring whole numbers or fractions to 0 to 255; those beyond 16 bits, or above 1, by the largest there is."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    usual = (
        65535.0
        if values.max() > 1.0 and values.max() <= 65535.0 and np.all(values == np.floor(values))
        else 1.0
    )
    scaled = values.clip(min=0.0) * (255.0 / max(values.max(), usual))
    # A hair above, or the largest would fall short of 255.
    levels: npt.NDArray[np.uint8] = (scaled + 1e-6).astype(np.uint8)
    return levels
