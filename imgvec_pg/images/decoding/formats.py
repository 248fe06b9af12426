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
from imgvec_pg.images.decoding.codecs import codec_registry
from imgvec_pg.images.decoding.codecs.recognition import identify_trade_format
from imgvec_pg.images.limits import max_aspect, max_pixels
from imgvec_pg.images.rendering.png_chunks import without_notes
from imgvec_pg.settings import more_formats

PREFIX_BYTES = 256
MORE_PIXELS = "store it smaller, or raise IMGVEC_MAX_PIXELS"
MORE_ASPECT = "crop it, or raise IMGVEC_MAX_ASPECT"


class _QuietJpeg(JpegImageFile):
    """A JPEG; of several pictures in one file (MPO), the first."""

    def _read_dpi_from_exif(self) -> None:
        """Do nothing: Pillow looks for a resolution that nobody needs, and warns where EXIF is damaged."""


READERS: dict[str, type[ImageFile.ImageFile]] = {"JPEG": _QuietJpeg, "PNG": PngImageFile, "GIF": GifImageFile}
if WebPImagePlugin.SUPPORTED:
    READERS["WEBP"] = WebPImagePlugin.WebPImageFile
if AvifImagePlugin.SUPPORTED:
    READERS["AVIF"] = AvifImagePlugin.AvifImageFile
TIFF, HEIF = "TIFF", "HEIF"
HOW_TO_ALLOW = {
    TIFF: "set IMGVEC_FORMATS=tiff to have it decoded, or pip install 'imgvec-pg[tiff]', which reads all its kinds",
    HEIF: "to have it decoded: pip install 'imgvec-pg[heif]'",
}


def open_image(data: bytes, *, any_aspect: bool = False) -> tuple[str, ImageFile.ImageFile]:
    """Read the header of an encoded image, which decodes nothing yet.

    Args:
        any_aspect: One side may be any number of times the other.

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
        way_out = f"convert it to {', '.join(READERS)}"
        if name in HOW_TO_ALLOW:
            left_out = "web" in more_formats()
            way_out += f", or {'do without IMGVEC_FORMATS=web' if left_out else HOW_TO_ALLOW[name]}"
        raise ImageError("format_denied", f"{name} is not decoded here: {way_out}")
    if name == "WEBP":  # its reader allocates the whole canvas at once
        check_size(_webp_size(data), any_aspect=any_aspect)
    try:
        image = reader(BytesIO(without_notes(data) if name == "PNG" else data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            "too_large", f"the image or a frame of it has more than {max_pixels()} pixels: {MORE_PIXELS}"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # readers raise anything at all on damaged bytes
        raise damaged(name, error) from error
    check_size(image.size, any_aspect=any_aspect)
    if name == "JPEG":
        image.decodermaxblock = len(data)  # all of it lies here: in pieces of 64 KiB it would be copied
    return name, image


def find_reader(name: str) -> type[ImageFile.ImageFile] | None:
    """Return the reader of a format, None where it is not decoded here."""
    if name == TIFF and is_tiff_allowed():
        return TiffImagePlugin.TiffImageFile
    if name == HEIF:
        return None if "web" in more_formats() else _heif_reader()
    return READERS.get(name)


def is_tiff_allowed() -> bool:
    """Whether TIFF is decoded: asked for, or its extra is installed."""
    return "tiff" in more_formats() or codec_registry.TIFF.is_available


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
    trade_format = identify_trade_format(data)
    if trade_format is not None:
        return trade_format
    if data[4:8] == b"ftyp":
        return _identify_iso_media(data)
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


def check_size(size: tuple[int, int], *, any_aspect: bool = False) -> None:
    """Hold an image to the limits, before any of its pixels is decoded.

    Raises:
        ImageError: `too_large`.
    """
    width, height = size
    if width * height > max_pixels():
        raise ImageError(
            "too_large",
            f"the image has {width} x {height} pixels, at most {max_pixels()} are decoded: {MORE_PIXELS}",
        )
    if not any_aspect and max(width, height) > max_aspect() * min(width, height):
        raise ImageError(
            "too_large",
            f"the image has {width} x {height} pixels, one side may be {max_aspect()} times the other: {MORE_ASPECT}",
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
