"""Allowed image formats, told by their first bytes, and the limits that a header must keep.

Each format's reader is called by name: `Image.open` would try others, and answers large images with warnings.
"""

import struct
from functools import cache
from io import BytesIO

from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin, WebPImagePlugin
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from imgvec_pg.errors import ImageError
from imgvec_pg.images.limits import MAX_ASPECT, MAX_PIXELS
from imgvec_pg.images.rendering.png_chunks import without_notes
from imgvec_pg.settings import more_formats

PREFIX_BYTES = 256


class _QuietJpeg(JpegImageFile):
    """A JPEG; of several pictures in one file (MPO), the first."""

    def _read_dpi_from_exif(self) -> None:
        """Do nothing: Pillow looks for a resolution that nobody needs, and warns where EXIF is damaged."""


READERS: dict[str, type[ImageFile.ImageFile]] = {"JPEG": _QuietJpeg, "PNG": PngImageFile, "GIF": GifImageFile}
if WebPImagePlugin.SUPPORTED:
    READERS["WEBP"] = WebPImagePlugin.WebPImageFile
if AvifImagePlugin.SUPPORTED:
    READERS["AVIF"] = AvifImagePlugin.AvifImageFile
# What Pillow has no reader for, and people store all the same.
UNREAD_BEGINNINGS = {b"%PDF-": "PDF", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL"}
TIFF, HEIF = "TIFF", "HEIF"
HOW_TO_ALLOW = {
    TIFF: "set IMGVEC_FORMATS=tiff to have it decoded",
    HEIF: "to have it decoded: pip install 'imgvec-pg[heif]'",
}


def open_image(data: bytes) -> tuple[str, ImageFile.ImageFile]:
    """Read the header of an encoded image, which decodes nothing yet.

    Returns:
        The name of the format and the image.

    Raises:
        ImageError: `empty`, `unidentified`, `format_denied`, `truncated` or `too_large`.
    """
    if not data:
        raise ImageError("empty", "the image has 0 bytes: replace it")
    name = identify(data)
    reader = find_reader(name)
    if reader is None:
        way_out = f"convert it to {', '.join(READERS)}" + (
            f", or {HOW_TO_ALLOW[name]}" if name in HOW_TO_ALLOW else ""
        )
        raise ImageError("format_denied", f"{name} is not decoded here: {way_out}")
    if name == "WEBP":  # its reader allocates the whole canvas at once
        _check_size(_webp_size(data))
    try:
        image = reader(BytesIO(without_notes(data) if name == "PNG" else data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            "too_large", f"the image or a frame of it has more than {MAX_PIXELS} pixels: store it smaller"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # readers raise anything at all on damaged bytes
        raise damaged(name, error) from error
    _check_size(image.size)
    return name, image


def find_reader(name: str) -> type[ImageFile.ImageFile] | None:
    """Return the reader of a format, None where it is not decoded here."""
    if name == TIFF and "tiff" in more_formats():
        return TiffImagePlugin.TiffImageFile
    if name == HEIF:
        return _heif_reader()
    return READERS.get(name)


@cache
def _heif_reader() -> type[ImageFile.ImageFile] | None:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return None
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def damaged(name: str, error: Exception) -> ImageError:
    """Return the error for bytes that begin like a format and do not go on like it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError("truncated", f"the {name} image ends early or is damaged ({reason}): replace it")


def identify(data: bytes) -> str:
    """Return the format that these bytes begin like, of those decoded and the others that Pillow knows.

    Raises:
        ImageError: `unidentified`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _identify_iso_media(data)
    for beginning, name in UNREAD_BEGINNINGS.items():
        if data.startswith(beginning):
            return name
    return _identify_other(data[:PREFIX_BYTES])


def _identify_iso_media(data: bytes) -> str:
    # ISO 14496-12 section 4.3: box size, "ftyp", major brand, version, compatible brands.
    end = min(int.from_bytes(data[:4], "big"), PREFIX_BYTES)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
        return HEIF
    raise _unidentified(data)


def _identify_other(prefix: bytes) -> str:
    Image.init()
    for name, (_, accepts) in Image.OPEN.items():
        try:
            if accepts is not None and accepts(prefix) is True and name not in READERS:
                return name
        except (SyntaxError, IndexError, TypeError, struct.error):  # too short for this format
            continue
    raise _unidentified(prefix)


def _unidentified(data: bytes) -> ImageError:
    return ImageError(
        "unidentified", f"bytes that begin {data[:8]!r} are no image: store one of {', '.join(READERS)}"
    )


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            "too_large",
            f"the image has {width} x {height} pixels, at most {MAX_PIXELS} are decoded: store it smaller",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            "too_large",
            f"the image has {width} x {height} pixels, one side may be {MAX_ASPECT} times the other: crop it",
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the size that a WebP header announces; (1, 1) where it is damaged, which its reader will say."""
    chunk = data[12:16]
    if len(data) < 30:
        return 1, 1
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return max(width & 0x3FFF, 1), max(height & 0x3FFF, 1)
    return 1, 1
