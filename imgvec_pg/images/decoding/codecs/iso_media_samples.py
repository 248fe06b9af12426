"""All bits of an AVIF's or HEIC's samples, where it has more than the 8 that Pillow gives.

HEIC's come from pillow-heif, which opened it. AVIF's take imagecodecs, which some extras install: without it 8 bits are used.
"""

import importlib.util
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.images.rendering.cicp import ROWS_AT_ONCE
from imgvec_pg.images.rendering.iso_media import read_av1_bits
from imgvec_pg.settings import more_formats

Samples = npt.NDArray[np.uint16]
_BITS = {"RGB;10": 10, "RGB;12": 12, "RGBA;10": 10, "RGBA;12": 12}


def read_deep(name: str, data: bytes, size: tuple[int, int]) -> Samples | None:
    """Return the first picture's colours spread over 16 bits; None where it has 8, or nothing here reads more.

    Args:
        name: Of its format; only AVIF and HEIF have such.
        size: Width and height as Pillow has decoded it.

    Returns:
        Shape (height, width, 3).
    """
    try:
        reader = _READERS.get(name)
        found = None if reader is None else reader(data)
    except MemoryError:
        raise
    except Exception:  # what Pillow has decoded is shown by the 8 bits that it gave
        return None
    if found is None:
        return None
    samples, bits = found
    if samples.ndim == 2:
        samples = np.repeat(samples[..., None], 3, axis=-1)
    if samples.dtype != np.uint16 or samples.shape[:2] != size[::-1] or samples.shape[2] < 3:
        return None
    colours = samples[..., :3]
    spread: Samples = colours if colours.flags.writeable else np.empty(colours.shape, np.uint16)
    for start in range(0, len(colours), ROWS_AT_ONCE):
        part = colours[start : start + ROWS_AT_ONCE]
        # The highest bits once more in the lowest, so that the largest becomes 65,535.
        spread[start : start + ROWS_AT_ONCE] = part << (16 - bits) | part >> (2 * bits - 16)
    return spread


def _heif_samples(data: bytes) -> tuple[npt.NDArray[Any], int] | None:
    import pillow_heif

    file = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    bits = _BITS.get(file.mode)
    return None if bits is None else (np.asarray(file), bits)


def _avif_samples(data: bytes) -> tuple[npt.NDArray[Any], int] | None:
    bits = read_av1_bits(data)
    if bits is None or bits <= 8 or not _has_imagecodecs() or "web" in more_formats():
        return None
    import imagecodecs

    return imagecodecs.avif_decode(data, index=0, numthreads=1), bits


@cache
def _has_imagecodecs() -> bool:
    return importlib.util.find_spec("imagecodecs") is not None


_READERS = {"AVIF": _avif_samples, "HEIF": _heif_samples}
