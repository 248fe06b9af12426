"""Pictures that Pillow does not read, or reads wrongly: which codec has them, and what to say where it is not installed."""

from PIL import Image

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs import codec_registry
from imgvec_pg.images.decoding.codecs.codec_registry import Codec
from imgvec_pg.images.decoding.codecs.jpeg_frame import read_frame
from imgvec_pg.images.decoding.codecs.tiff_variants import has_choice_of_bands, is_misread, unread_variant
from imgvec_pg.images.decoding.formats import TIFF, check_size, damaged, identify, is_tiff_allowed
from imgvec_pg.images.rendering.alpha import is_blank
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.notes import BLANK
from imgvec_pg.images.rendering.version import FIRST


def find_codec(data: bytes, rendering: int, bands: Bands = ()) -> Codec | None:
    """Return the codec that decodes these bytes, None where Pillow does.

    Args:
        bands: Shown of a picture of many, where the collection says so.

    Raises:
        ImageError: `format_denied`: one is needed and not installed; `unidentified`.
    """
    if not data:
        return None
    name = identify(data)
    codec = codec_registry.codec_of(name)
    if codec is not None:
        return _require(codec, name)
    if name == "JPEG":
        frame = read_frame(data)
        variant = frame.variant if frame is not None else None
        return _require(codec_registry.JPEG_VARIANTS, variant) if variant is not None else None
    if name == TIFF and is_tiff_allowed():
        variant = unread_variant(data)
        if variant is not None:
            return _require(codec_registry.TIFF, f"TIFF of {variant}")
        if bands and has_choice_of_bands(data):
            return _require(codec_registry.TIFF, "multi-band TIFF")
        if rendering > FIRST and codec_registry.TIFF.is_available and is_misread(data):
            return codec_registry.TIFF
    return None


def size_by_codec(codec: Codec, data: bytes, *, any_aspect: bool = False) -> tuple[int, int]:
    """Read an image's size from its header and hold it to the limits.

    Raises:
        ImageError: `format_denied`, `truncated` or `too_large`.
    """
    try:
        width, height = codec.read_size(data)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # libraries raise anything at all on damaged bytes
        raise damaged(codec.name, error) from error
    if width < 1 or height < 1:
        raise damaged(codec.name, ValueError(f"its size is {width} x {height} pixels"))
    check_size((width, height), any_aspect=any_aspect)
    return width, height


def decode_by_codec(codec: Codec, data: bytes, *, bands: Bands = (), any_aspect: bool = False) -> Image.Image:
    """Decode to an upright image of mode RGB.

    Raises:
        ImageError: `format_denied`, `truncated` or `too_large`.
    """
    announced = size_by_codec(codec, data, any_aspect=any_aspect)
    try:
        image = codec.decode(data, bands)
    except (MemoryError, ImageError):
        raise
    except (ImportError, NotImplementedError) as error:  # of a variant that the library lacks
        reason = " ".join(str(error).split())
        raise ImageError(
            "format_denied",
            f"{codec.name} of a kind that is not decoded here ({reason}): convert it to JPEG or PNG",
        ) from error
    except Exception as error:  # libraries raise anything at all on damaged bytes
        raise damaged(codec.name, error) from error
    if sorted(image.size) != sorted(announced):
        raise damaged(codec.name, ValueError(f"{announced} pixels announced, {image.size} found"))
    notes = image.info.get("notes", ())
    image.info = {"notes": (*notes, BLANK) if BLANK not in notes and is_blank(image) else notes}
    return image


def _require(codec: Codec, variant: str) -> Codec:
    if codec.is_available:
        return codec
    article = "an" if variant[0] in "AEIOU8" else "a"
    raise ImageError(
        "format_denied", f"{article} {variant} file; {codec.way_to_have_it}, or convert it to JPEG or PNG"
    )
