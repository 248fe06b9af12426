"""TIFF as Pillow opens it: what its tags say of the samples, and the layouts that Pillow garbles."""

import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from imgvec_pg.errors import ImageError
from imgvec_pg.images.rendering.layers import Layers, split, split_deep
from imgvec_pg.images.rendering.samples import to_eight_bits

# TIFF 6.0; 42113 is GDAL's.
BITS, COMPRESSION, PHOTOMETRIC, STRIPS, STRIP_BYTES = 258, 259, 262, 273, 279
SAMPLES, MAX_SAMPLE, PLANAR, TILES, FORMAT, SMIN, SMAX, NODATA = 277, 281, 284, 324, 339, 340, 341, 42113
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
UNCOMPRESSED, SEPARATE = 1, 2
WHITE_IS_ZERO = 0
WHOLE_BYTES = (8, 16, 32, 64)
_BIG_END_FIRST = ("I;16BS", "I;32BS", "F;32BF")


@dataclass(frozen=True)
class TiffTags:
    """What a TIFF's tags say of its samples; those that are damaged count as missing."""

    bits: int
    sample_format: int
    white_is_zero: bool
    is_planar: bool
    max_sample: float | None
    smin: float | None
    smax: float | None
    nodata: float | None

    @property
    def used_bits(self) -> int | None:
        """Bits of a sample that the file says are used; None where it says no more than how wide they are stored."""
        highest = self.max_sample if self.max_sample is not None and np.isfinite(self.max_sample) else 0
        if 1 <= highest < 2**self.bits - 1:
            return int(highest).bit_length()
        return None if self.bits in WHOLE_BYTES else self.bits


def read_tags(image: TiffImageFile) -> TiffTags:
    """Read the tags of the page that is open."""
    tags: Any = image.tag_v2
    samples = _number(tags, SAMPLES) or 1
    return TiffTags(
        bits=int(_number(tags, BITS) or 1),
        sample_format=int(_number(tags, FORMAT) or UNSIGNED),
        white_is_zero=_number(tags, PHOTOMETRIC) == WHITE_IS_ZERO,
        is_planar=_number(tags, PLANAR) == SEPARATE and samples > 1,
        max_sample=_number(tags, MAX_SAMPLE),
        smin=_number(tags, SMIN),
        smax=_number(tags, SMAX),
        nodata=_number(tags, NODATA),
    )


def _number(tags: Any, tag: int) -> float | None:  # noqa: ANN401 - Pillow's directory of tags
    try:
        value = tags.get(tag)
        if isinstance(value, bytes):
            value = value.decode("ascii").rstrip("\0")
        if isinstance(value, tuple):
            value = value[0]
        return None if value is None else float(value)
    except (ValueError, TypeError, IndexError, ZeroDivisionError, UnicodeDecodeError):
        return None


def split_tiff(image: TiffImageFile, data: bytes) -> Layers:
    """Take apart a TIFF's first page.

    Raises:
        ImageError: `format_denied` for a layout that Pillow would garble; `truncated` for one without a finite sample.
    """
    tags = read_tags(image)
    if tags.is_planar and tags.bits > 8:
        return _split_planar(image, data, tags)
    if image.mode.startswith("I;16"):
        return _split_grey(np.asarray(image), tags)
    if image.mode in ("I", "F"):
        samples = np.asarray(image)
        return _split_grey(_swapped_back(samples, tags) if _is_swapped(data) else samples, tags)
    if image.mode == "L" and tags.bits == 8 and tags.sample_format == SIGNED:
        return _split_grey(np.asarray(image).view(np.int8), tags)
    if tags.bits == 16:
        return split_deep(image, data)
    return split(image)


def _is_swapped(data: bytes) -> bool:
    """Whether Pillow takes what libtiff has already turned into this machine's byte order for the file's, big end first."""
    tile: Any = TiffImageFile(BytesIO(data)).tile[0]
    return sys.byteorder == "little" and tile.codec_name == "libtiff" and tile.args[0] in _BIG_END_FIRST


def _swapped_back(samples: npt.NDArray[Any], tags: TiffTags) -> npt.NDArray[Any]:
    return samples.astype(np.int16).byteswap() if tags.bits == 16 else samples.byteswap()


def _split_grey(samples: npt.NDArray[Any], tags: TiffTags) -> Layers:
    if tags.sample_format == UNSIGNED and samples.dtype == np.int32:
        samples = samples.view(np.uint32)
    levels = to_eight_bits(
        samples,
        bits=tags.used_bits,
        white_is_zero=tags.white_is_zero,
        smin=tags.smin,
        smax=tags.smax,
        nodata=tags.nodata,
    )
    return Layers(Image.fromarray(levels))


def _split_planar(image: TiffImageFile, data: bytes, tags: TiffTags) -> Layers:
    """Read planes of 16 bits that are stored as they are, one behind another; Pillow would mix them up."""
    entries: Any = image.tag_v2
    count = int(_number(entries, SAMPLES) or 1)
    width, height = image.tag_v2[256], image.tag_v2[257]
    is_plain = _number(entries, COMPRESSION) == UNCOMPRESSED and TILES not in entries
    if not is_plain or tags.sample_format != UNSIGNED or tags.bits != 16 or image.mode not in ("RGB", "RGBA"):
        raise ImageError(
            "format_denied",
            f"a TIFF of {count} planes of {tags.bits} bits, compressed or in tiles, is not decoded here: "
            "pip install 'imgvec-pg[tiff]', or store it uncompressed or by pixels (PlanarConfiguration 1)",
        )
    order = "<u2" if entries.prefix == b"II" else ">u2"
    parts = zip(entries[STRIPS], entries[STRIP_BYTES], strict=True)
    stored = b"".join(data[start : start + size] for start, size in parts)
    planes = np.frombuffer(stored, order)[: count * width * height].reshape(count, height, width)
    samples = np.moveaxis(planes, 0, -1).astype(np.uint16)
    colours = to_eight_bits(samples[..., :3], bits=tags.used_bits, smin=tags.smin, smax=tags.smax)
    alpha = (
        Image.fromarray(to_eight_bits(np.ascontiguousarray(samples[..., 3])))
        if image.mode == "RGBA"
        else None
    )
    return Layers(Image.fromarray(colours), alpha)
