"""Decode encoded bytes to an RGB image: a pure function, which the sandbox runs in a process of its own."""

from collections.abc import Callable

from PIL import Image, ImageFile

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs.iso_media_samples import read_deep
from imgvec_pg.images.decoding.exif import read_exif
from imgvec_pg.images.decoding.formats import damaged, open_image
from imgvec_pg.images.decoding.jpeg_end import load_without_end
from imgvec_pg.images.decoding.trades import decode_by_codec, find_codec
from imgvec_pg.images.rendering import first, second
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.notes import NO_END
from imgvec_pg.images.rendering.orientation import UPRIGHT
from imgvec_pg.images.rendering.tiff import has_plain_planes
from imgvec_pg.images.rendering.version import FIRST, NEWEST

BeforeLoad = Callable[[ImageFile.ImageFile], None]


def decode_image(
    data: bytes,
    *,
    rendering: int = NEWEST,
    bands: Bands = (),
    before_load: BeforeLoad | None = None,
    any_aspect: bool = False,
) -> Image.Image:
    """Decode an image as a careful viewer shows it, by the rules of a rendering: docs/howto/rendering.md.

    Args:
        rendering: `version.FIRST` to `version.NEWEST`.
        bands: Shown of a TIFF of many: docs/howto/rendering.md.
        any_aspect: One side may be any number of times the other: whoever asks keeps no more than its middle.
        before_load: Called with the opened image before any pixel is decoded, to have a JPEG decoded smaller.

    Returns:
        An image of mode RGB, upright; its `info` has nothing but `notes`, a tuple of the codes of `rendering.notes`.

    Raises:
        ImageError: `empty`, `unidentified`, `format_denied`, `truncated` or `too_large`.
    """
    codec = find_codec(data, rendering, bands)
    if codec is not None:
        return decode_by_codec(codec, data, bands=bands, any_aspect=any_aspect)
    name, encoded = open_image(data, any_aspect=any_aspect)
    try:
        if before_load is not None:
            before_load(encoded)
        encoded, notes = _load(name, encoded, data, rendering)
        orientation = read_exif(encoded.info.get("exif")).orientation
        if rendering == FIRST:
            image = first.to_rgb(encoded)
        else:
            image, more_notes = second.render(encoded, name, data, read_deep)
            notes = (*notes, *more_notes)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # decoders raise anything at all on damaged bytes
        raise damaged(name, error) from error
    image.info.clear()  # its EXIF would turn the image once more in other hands
    image.info["notes"] = notes
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _load(
    name: str, encoded: ImageFile.ImageFile, data: bytes, rendering: int
) -> tuple[ImageFile.ImageFile, tuple[str, ...]]:
    """Decode the pixels; a JPEG that lacks nothing but its end marker too, which is noted and never shrunk on load."""
    if rendering != FIRST and has_plain_planes(encoded):
        return encoded, ()  # read by rendering.tiff
    try:
        encoded.load()
    except OSError:
        mended = load_without_end(data) if name == "JPEG" and rendering != FIRST else None
        if mended is None:
            raise
        return mended, (NO_END,)
    return encoded, ()
