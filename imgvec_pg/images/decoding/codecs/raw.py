"""Camera raw files by rawpy (LibRaw): the sensor's values developed with the camera's own white balance, never the preview."""

from io import BytesIO

import rawpy
from PIL import Image

from imgvec_pg.errors import ImageError


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ImageError: `format_denied`: LibRaw does not know the camera.
    """
    with _open(data) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        return (height, width) if raw.sizes.flip in (5, 6) else (width, height)


def decode(data: bytes) -> Image.Image:
    """Develop it: camera white balance, sRGB, 8 bits, LibRaw's brightening to 1 % of clipped pixels.

    Raises:
        ImageError: `format_denied`: LibRaw does not know the camera.
    """
    with _open(data) as raw:
        # LibRaw's other demosaicing is slower and differs at single pixels, which no model sees.
        pixels = raw.postprocess(
            use_camera_wb=True,
            output_bps=8,
            output_color=rawpy.ColorSpace.sRGB,
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR,
        )
        return Image.fromarray(pixels)


def _open(data: bytes) -> rawpy.RawPy:
    try:
        return rawpy.imread(BytesIO(data))
    except rawpy.NotSupportedError as error:
        raise _unknown(error) from error
    except rawpy.LibRawFileUnsupportedError as error:
        raise _unknown(error) from error


def _unknown(error: Exception) -> ImageError:
    told = error.args[0] if error.args else error
    reason = " ".join((told.decode(errors="replace") if isinstance(told, bytes) else str(told)).split())
    return ImageError(
        "format_denied",
        f"a camera raw file that LibRaw {rawpy.libraw_version[0]}.{rawpy.libraw_version[1]} does not know ({reason}): "
        "convert it to DNG or JPEG",
    )
