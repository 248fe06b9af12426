"""TIFF as Pillow opens it: what its tags say of the samples, and the layouts that Pillow garbles."""

import sys
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imgvec_pg.images.rendering.layers import Layers, split, split_deep
from imgvec_pg.images.rendering.orientation import UPRIGHT
from imgvec_pg.images.rendering.samples import opacity, to_eight_bits

# TIFF 6.0; 42113 is GDAL's.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS = 256, 257, 258, 259, 262, 273, 277, 278
MAX_SAMPLE, PLANAR, TILE_WIDTH, TILE_LENGTH, TILES, EXTRA = 281, 284, 322, 323, 324, 338
FORMAT, SMIN, SMAX, NODATA = 339, 340, 341, 42113
FILL_ORDER, ORIENTATION = 266, 274
LOW_BITS_FIRST = 2
PREMULTIPLIED = 1
PLAIN_BITS = (8, 16)
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
    is_compressed: bool
    is_reversed: bool
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
        is_compressed=(_number(tags, COMPRESSION) or UNCOMPRESSED) != UNCOMPRESSED,
        is_reversed=_number(tags, FILL_ORDER) == LOW_BITS_FIRST,
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


def has_plain_planes(image: ImageFile.ImageFile) -> bool:
    """Whether it has planes of 8 or 16 bits, uncompressed, which Pillow mixes up (16 bits) or refuses (premultiplied)."""
    if not isinstance(image, TiffImageFile) or image.mode not in ("RGB", "RGBA"):
        return False
    tags = read_tags(image)
    return tags.is_planar and not tags.is_compressed and tags.bits in PLAIN_BITS and not tags.is_reversed


def split_tiff(image: TiffImageFile, data: bytes) -> Layers:
    """Take apart a TIFF's first page.

    Args:
        image: Loaded, except where it `has_plain_planes`.

    Raises:
        ImageError: `truncated`: no sample is a finite number.
        ValueError, IndexError: Planes lie beyond the end.
    """
    tags = read_tags(image)
    if has_plain_planes(image):
        return _split_planes(image, data, tags)
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


def _split_planes(image: TiffImageFile, data: bytes, tags: TiffTags) -> Layers:
    """Read planes that are stored as they are, one behind another."""
    entries: Any = image.tag_v2
    count, width, height = int(_number(entries, SAMPLES) or 1), entries[WIDTH], entries[HEIGHT]
    is_tiled = TILES in entries
    starts = entries[TILES if is_tiled else STRIPS]
    across = entries[TILE_WIDTH] if is_tiled else width
    down = entries[TILE_LENGTH] if is_tiled else min(_number(entries, ROWS) or height, height)
    shape = (int(down), int(across))
    columns = -(-width // shape[1])
    of_a_plane = -(-height // shape[0]) * columns
    stored = np.dtype(f"{'<' if entries.prefix == b'II' else '>'}u{tags.bits // 8}")
    planes = np.zeros((count, height, width), stored.newbyteorder("="))
    for index, start in enumerate(starts[: count * of_a_plane]):
        plane, place = divmod(index, of_a_plane)
        top, left = place // columns * shape[0], place % columns * shape[1]
        rows = shape[0] if is_tiled else min(shape[0], height - top)
        part = np.frombuffer(data, stored, rows * shape[1], start).reshape(rows, shape[1])
        planes[plane, top : top + rows, left : left + shape[1]] = part[: height - top, : width - left]
    colours = to_eight_bits(
        np.moveaxis(planes[:3], 0, -1), bits=tags.used_bits, smin=tags.smin, smax=tags.smax
    )
    if image.mode != "RGBA":
        return Layers(_turned(colours, entries))
    alpha = opacity(planes[3], np.moveaxis(planes[:3], 0, -1))
    if _number(entries, EXTRA) == PREMULTIPLIED:
        colours = (
            (colours.astype(np.float32) * 255 / alpha.clip(min=1)[..., None] + 0.5)
            .clip(0, 255)
            .astype(np.uint8)
        )
    return Layers(_turned(colours, entries), _turned(alpha, entries))


def _turned(levels: npt.NDArray[np.uint8], entries: Any) -> Image.Image:  # noqa: ANN401 - Pillow's directory of tags
    """Return an image upright, as Pillow does with a TIFF that it loads."""
    image = Image.fromarray(np.ascontiguousarray(levels))
    turn = UPRIGHT.get(int(_number(entries, ORIENTATION) or 1))
    return image if turn is None else image.transpose(turn)
