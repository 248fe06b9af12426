"""JPEG 2000 by OpenJPEG: 8 bits through Pillow, more through imagecodecs, since Pillow shifts those by the wrong number."""

from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs.pixels import Meaning, to_rgb

MOST_COMPONENTS = 64
# ISO 15444-1 annex A: markers, and what SIZ holds.
_SIZ = b"\xff\x4f\xff\x51"
_PROFILE = b"colr"


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels.

    Raises:
        ValueError: It has no header.
        ImageError: `too_large`: it has too many components.
    """
    at = _siz(data)
    width, height, left, top = (
        int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4)
    )
    components = int.from_bytes(data[at + 40 : at + 42], "big")
    if components > MOST_COMPONENTS:
        raise ImageError(
            "too_large",
            f"the JPEG 2000 image has {components} components, at most {MOST_COMPONENTS} are decoded",
        )
    if width <= left or height <= top or not components:
        raise ValueError("its size is 0")
    return width - left, height - top


def decode(data: bytes) -> Image.Image:
    """Decode it."""
    at = _siz(data)
    components = int.from_bytes(data[at + 40 : at + 42], "big")
    depths = [(data[at + 42 + 3 * i] & 0x7F) + 1 for i in range(components)]
    meaning = Meaning(bits=max(depths), profile=_icc_profile(data))
    if max(depths) <= 8:
        return _by_pillow(data, meaning)
    samples = imagecodecs.jpeg2k_decode(data, numthreads=1)
    if samples.ndim == 2 or samples.shape[2] == 1:
        return to_rgb(samples.reshape(samples.shape[:2]), meaning)
    if samples.shape[2] == 2:
        return to_rgb(samples[:, :, 0], meaning, samples[:, :, 1])
    return to_rgb(samples[:, :, :3], meaning, samples[:, :, 3] if samples.shape[2] == 4 else None)


def _by_pillow(data: bytes, meaning: Meaning) -> Image.Image:
    image = Jpeg2KImageFile(BytesIO(data))
    image.load()
    if image.has_transparency_data:
        layers = np.asarray(image.convert("RGBA"))
        return to_rgb(layers[:, :, :3], meaning, layers[:, :, 3])
    if image.mode not in ("L", "RGB", "CMYK"):
        return image.convert("RGB")
    return to_rgb(
        np.asarray(image), meaning if image.mode != "CMYK" else Meaning(is_cmyk=True, profile=meaning.profile)
    )


def _siz(data: bytes) -> int:
    """Return where the codestream begins."""
    at = data.find(_SIZ)
    if at < 0 or len(data) < at + 45:
        raise ValueError("it has no codestream")
    return at


def _icc_profile(data: bytes) -> bytes | None:
    """Return the profile of the box `colr`: ISO 15444-1 section I.5.3.3."""
    at = data[: max(data.find(_SIZ), 0)].find(_PROFILE)
    if at < 4 or data[at + 4 : at + 5] not in (b"\x02", b"\x03"):
        return None
    length = int.from_bytes(data[at - 4 : at], "big")
    return data[at + 7 : at - 4 + length]
