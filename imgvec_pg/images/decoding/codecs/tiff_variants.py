"""Kinds of TIFF that Pillow does not read, or reads otherwise than they are meant; told from the tags."""

import warnings
from io import BytesIO

from PIL.TiffImagePlugin import TiffImageFile

from imgvec_pg.images.decoding.codecs import tiff_tags
from imgvec_pg.images.decoding.codecs.tiff_tags import Directory, read_directories

# What Pillow's own libtiff has: none, CCITT, LZW, JPEG, Deflate, PackBits, LZMA, ZSTD.
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000})
_COMPRESSIONS = {
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34676: "LogLuv",
    34677: "LogLuv",
    34887: "LERC",
    34892: "lossy JPEG",
    34933: "PNG",
    34934: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
MOST_COLOURS = 4
# What Pillow says of samples that it has no mode for; of more bands than colours it says all sorts of things.
_NO_MODE = ("unknown pixel mode", "Invalid value for samples per pixel", "unknown data organization")
_FORMATS = {
    1: "whole numbers",
    2: "signed whole numbers",
    3: "floats",
    5: "complex numbers",
    6: "complex numbers",
}


def shown_directory(data: bytes) -> Directory | None:
    """Return the first directory that is no smaller copy of another, else the first; None where there is none."""
    directories = read_directories(data)
    return next(
        (directory for directory in directories if not directory.is_reduced), next(iter(directories), None)
    )


def unread_variant(data: bytes) -> str | None:
    """Name the kind of a sound TIFF that Pillow has no decoder for; None for what it reads, and for damaged ones."""
    directory = shown_directory(data)
    if directory is None or not all(directory.size):
        return None
    compression = directory.number(tiff_tags.COMPRESSION, 1)
    if compression not in _READ_COMPRESSIONS:
        return f"compression {_COMPRESSIONS.get(compression, compression)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TiffImageFile(BytesIO(data))
    except (SyntaxError, KeyError) as error:
        bands, bits = directory.number(tiff_tags.SAMPLES, 1), directory.number(tiff_tags.BITS, 1)
        has_no_mode = isinstance(error, KeyError) or any(words in str(error) for words in _NO_MODE)
        if not has_no_mode and bands <= MOST_COLOURS:
            return None
        values = _FORMATS.get(directory.number(tiff_tags.SAMPLE_FORMAT, 1), "samples")
        return f"{bands} band{'s' * (bands != 1)} of {bits} bit {values}"
    except Exception:  # damaged: whoever decodes it says how
        return None
    return None


def has_choice_of_bands(data: bytes) -> bool:
    """Whether which bands are shown is up to its collection."""
    directory = shown_directory(data)
    return directory is not None and tiff_tags.is_choice_of_bands(
        directory.number(tiff_tags.PHOTOMETRIC, -1),
        directory.number(tiff_tags.SAMPLES, 1),
        directory.numbers.get(tiff_tags.EXTRA_SAMPLES, ()),
    )


def is_misread(data: bytes) -> bool:
    """Whether Pillow may show another picture than it is.

    It has more than 8 bits, numbers below 0, fractions, or other bands than colours, or a smaller copy comes first.
    """
    directory = shown_directory(data)
    if directory is None:
        return False
    first = read_directories(data)[0]
    return (
        directory.number(tiff_tags.BITS, 1) > 8
        or directory.number(tiff_tags.SAMPLE_FORMAT, 1) != 1
        or directory.number(tiff_tags.SAMPLES, 1) not in (1, 3, 4)
        or first.is_reduced
    )
