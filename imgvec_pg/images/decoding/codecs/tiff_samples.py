"""TIFF of the kinds that Pillow does not read, by tifffile and imagecodecs: strip by strip, and of many bands three.

LERC, WebP, JPEG 2000, JPEG XL and other compressions, 12 bit JPEG, floats, planes and depths beyond 8 bits, any number of bands.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from tifffile import TIFF, TiffFile, TiffPage

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs.pixels import Meaning, Samples, to_rgb
from imgvec_pg.images.decoding.codecs.tiff_tags import is_choice_of_bands
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.orientation import QUARTER_TURNS, UPRIGHT

MAX_PAGES = 16
"""So many are looked at for the first that is no smaller copy of another."""
MAX_SEGMENT_BYTES = 512 * 1024**2
"""Of a strip or tile with all its bands: it is decoded whole."""
SHOWN_BANDS = (0, 1, 2)
"""Of pictures of more bands than colours, such as those of satellites, where neither they nor the collection say which."""

MAX_METADATA_CHARACTERS = 1_000_000
# GDAL's GTiff driver: `<Item name="COLORINTERP" sample="2" role="colorinterp">Red</Item>`.
GDAL_METADATA = 42112
_COLOUR_BAND = re.compile(
    r'<Item name="COLORINTERP" sample="(\d{1,5})" role="colorinterp">(Red|Green|Blue)</Item>'
)

# TIFF 6.0: PhotometricInterpretation.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
JPEGS = (6, 7, 34892, 33007)
PREMULTIPLIED, STRAIGHT = 1, 2
ORIENTATION, MAX_SAMPLE, S_MIN, S_MAX, PROFILE = 274, 281, 340, 341, 34675


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ImageError: `too_large`: a strip or tile has too many bytes.
    """
    with TiffFile(BytesIO(data)) as file:
        page = _shown_page(file)
        samples = page.samplesperpixel if page.planarconfig == 1 else 1
        # rowsperstrip may be 2**32 - 1, "all".
        length = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        width = page.tilewidth if page.is_tiled else page.imagewidth
        count = length * width * max(page.tiledepth, 1) * samples * max(page.bitspersample // 8, 1)
        if count > MAX_SEGMENT_BYTES:
            raise ImageError(
                "too_large",
                f"the TIFF image has {page.samplesperpixel} bands, of which a strip or tile takes {count // 1024**2} MiB, "
                f"at most {MAX_SEGMENT_BYTES // 1024**2} are decoded: store it in smaller tiles or with fewer bands",
            )
        is_turned = page.tags.valueof(ORIENTATION, 1) in QUARTER_TURNS
        size = (page.imagewidth, page.imagelength)
        return size[::-1] if is_turned else size


def decode(data: bytes, bands: Bands = ()) -> Image.Image:
    """Decode its first page that is no smaller copy of another.

    Args:
        bands: Shown of a picture that has a choice of them (`is_choice_of_bands`).

    Raises:
        ImageError: `format_denied`: it is of a kind that tifffile does not read, or has fewer bands.
    """
    with TiffFile(BytesIO(data)) as file:
        page = _shown_page(file)
        _require_readable(page)
        read = _bands(page, bands)
        image = _render(page, _read_bands(data, page, read), read)
        orientation = page.tags.valueof(ORIENTATION, 1)
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _shown_page(file: TiffFile) -> TiffPage:
    for index in range(MAX_PAGES):
        try:
            page = file.pages[index]
        except IndexError:
            break
        if isinstance(page, TiffPage) and not page.subfiletype & 1:
            return page
    page = file.pages[0]
    if not isinstance(page, TiffPage):
        raise ValueError("no directory")
    return page


def _require_readable(page: TiffPage) -> None:
    """Refuse what is sound and not of a kind that can be shown."""
    reason = None
    if page.compression != 1 and page.compression not in TIFF.DECOMPRESSORS:
        reason = f"compression {int(page.compression)}"
    elif page.dtype is None or page.dtype.kind not in "biuf":
        reason = f"{page.bitspersample} bit samples of format {page.sampleformat}"
    elif page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR):
        reason = f"colours of kind {page.photometric}"
    elif (
        page.photometric == YCBCR
        and page.compression not in JPEGS
        and page.compression not in TIFF.IMAGE_COMPRESSIONS
    ):
        reason = "YCbCr that is not compressed by JPEG"
    elif page.photometric == PALETTE and (page.colormap is None or page.dtype.kind != "u"):
        reason = "a palette of another kind"
    if reason is not None:
        raise ImageError(
            "format_denied", f"a TIFF of {reason}, which tifffile does not read: convert it to RGB"
        )


def _bands(page: TiffPage, chosen: Bands) -> tuple[int, ...]:
    """Return which bands are read, from 0: the colours, and behind them the first band of alpha."""
    colours = (
        4
        if page.photometric == SEPARATED
        else 1
        if page.photometric == PALETTE or page.samplesperpixel < 3
        else 3
    )
    alpha = [
        page.samplesperpixel - len(page.extrasamples) + place
        for place, kind in enumerate(page.extrasamples)
        if kind in (PREMULTIPLIED, STRAIGHT)
    ]
    if chosen and is_choice_of_bands(page.photometric, page.samplesperpixel, page.extrasamples):
        shown = _chosen_bands(page, chosen)
    else:
        shown = (_named_bands(page) or SHOWN_BANDS) if colours == 3 else tuple(range(colours))
    return (*shown, *(band for band in alpha[:1] if band not in shown))


def _chosen_bands(page: TiffPage, chosen: Bands) -> tuple[int, ...]:
    if max(chosen) > page.samplesperpixel:
        raise ImageError(
            "format_denied",
            f"the TIFF image has {page.samplesperpixel} bands, its collection shows bands {', '.join(map(str, chosen))}: "
            "store it with all of these, or keep such pictures in a collection with bands of their own",
        )
    return tuple(band - 1 for band in chosen)


def _named_bands(page: TiffPage) -> tuple[int, ...] | None:
    """Return the bands that GDAL names red, green and blue; satellites' files often begin with blue."""
    text = page.tags.valueof(GDAL_METADATA)
    if not isinstance(text, str):
        return None
    places = {name: int(place) for place, name in _COLOUR_BAND.findall(text[:MAX_METADATA_CHARACTERS])}
    named = tuple(places.get(name, page.samplesperpixel) for name in ("Red", "Green", "Blue"))
    return named if len(set(named)) == 3 and max(named) < page.samplesperpixel else None


def _read_bands(data: bytes, page: TiffPage, bands: tuple[int, ...]) -> Samples:
    """Return shape (height, width, bands)."""
    dtype: Any = page.dtype
    samples = np.zeros((page.imagelength, page.imagewidth, len(bands)), dtype)
    for part, (plane, _, top, left, _) in _segments(data, page, bands):
        height, width = min(part.shape[1], page.imagelength - top), min(part.shape[2], page.imagewidth - left)
        area = samples[top : top + height, left : left + width]
        if page.planarconfig == 1:
            area[:] = part[0, :height, :width][:, :, list(bands)]
        else:
            area[:, :, bands.index(plane)] = part[0, :height, :width, 0]
    return samples


def _segments(data: bytes, page: TiffPage, bands: tuple[int, ...]) -> Iterator[tuple[Samples, Any]]:
    """Decode the strips or tiles that hold a band wanted, of a volume those of its first slice."""
    count = len(page.dataoffsets)
    of_a_plane = count // page.samplesperpixel if page.planarconfig == 2 else count
    for index in range(count):
        if page.planarconfig == 2 and index // max(of_a_plane, 1) not in bands:
            continue
        start, length = page.dataoffsets[index], page.databytecounts[index]
        if not length:  # sparse: its pixels are 0
            continue
        encoded = data[start : start + length]
        if not encoded:
            raise ValueError(f"strip {index} lies beyond the end")
        part, place, _ = page.decode(encoded, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        if part is not None and place[1] == 0:
            yield part, place


def _render(page: TiffPage, samples: Samples, bands: tuple[int, ...]) -> Image.Image:
    colours = 4 if page.photometric == SEPARATED else 1 if len(bands) < 3 else 3
    alpha = samples[:, :, colours] if len(bands) > colours else None
    colour = samples[:, :, 0] if colours == 1 else samples[:, :, :colours]
    if page.photometric == PALETTE and page.colormap is not None:
        palette = (page.colormap >> 8).astype(np.uint8).T
        return to_rgb(palette[colour.clip(0, len(palette) - 1)], Meaning(), alpha)
    return to_rgb(colour, _meaning(page), alpha, is_premultiplied=PREMULTIPLIED in page.extrasamples)


def _meaning(page: TiffPage) -> Meaning:
    return Meaning(
        bits=_used_bits(page),
        white_is_zero=page.photometric == WHITE_IS_ZERO,
        smin=_number(page.tags.valueof(S_MIN)),
        smax=_number(page.tags.valueof(S_MAX)),
        nodata=_nodata(page),
        profile=page.tags.valueof(PROFILE),
        is_cmyk=page.photometric == SEPARATED,
    )


def _nodata(page: TiffPage) -> float | None:
    """Return GDAL's mark of no measurement, None where there is none or no sample could have it."""
    dtype: Any = page.dtype
    if "GDAL_NODATA" not in page.tags:
        return None
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= page.nodata <= np.iinfo(dtype).max:
        return None
    return float(page.nodata)


def _used_bits(page: TiffPage) -> int | None:
    """Return the bits of a sample that the file says are used; None where it says no more than how wide they are stored."""
    highest = _number(page.tags.valueof(MAX_SAMPLE)) or 0.0
    if 1 <= highest < 2**page.bitspersample - 1:
        return int(highest).bit_length()
    return None if page.bitspersample in (8, 16, 32, 64) else page.bitspersample


def _number(value: object) -> float | None:
    first = value[0] if isinstance(value, tuple) and value else value
    return float(first) if isinstance(first, int | float) else None
