"""Animations: which frame stands for one, and what lies outside of a first frame that is smaller than its canvas."""

from collections.abc import Iterator
from io import BytesIO

from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imgvec_pg.images.rendering.png_chunks import PngChunks, without_notes

MAX_FRAMES_TRIED = 60
MAX_PIXELS_TRIED = 100_000_000
# WebP container specification: flags of the chunk VP8X, and what a frame's chunk says of its place.
_FLAGS_AT, _ANIMATED, _WITH_ALPHA = 20, 0x02, 0x10


def first_frame(image: ImageFile.ImageFile, data: bytes, chunks: PngChunks | None) -> Image.Image:
    """Return the first frame of an animation upon its whole canvas, transparent where it has nothing; other images as they are.

    Args:
        image: Loaded.
        chunks: Of a PNG.
    """
    if isinstance(image, GifImageFile):
        return _upon_canvas(image)
    if isinstance(image, PngImageFile) and chunks is not None:
        return _first_of_apng(image, chunks)
    if isinstance(image, WebPImageFile):
        return _with_alpha(image, data)
    return image


def later_frames(image: ImageFile.ImageFile) -> Iterator[Image.Image]:
    """Give the frames after the first, composed, as far as they are sound and their number is reasonable."""
    most = min(MAX_FRAMES_TRIED, MAX_PIXELS_TRIED // (image.width * image.height))
    for number in range(1, most):
        try:
            image.seek(number)
            image.load()
        except MemoryError:
            raise
        except Exception:  # the end, or damage that no reader of the first frame would have seen
            return
        yield image


def _upon_canvas(image: GifImageFile) -> Image.Image:
    box = image.dispose_extent
    if box is None or box == (0, 0, *image.size) or "transparency" in image.info:
        return image  # Pillow fills the canvas with the transparent colour where there is one
    canvas = Image.new("RGBA", image.size)
    canvas.paste(image.crop(box).convert("RGBA"), box[:2])
    return canvas


def _first_of_apng(image: PngImageFile, chunks: PngChunks) -> Image.Image:
    frame = chunks.first_frame()
    if frame is None:
        return image
    left, top, width, height = frame.box
    if left + width > image.width or top + height > image.height or not width or not height:
        return image
    found = PngImageFile(BytesIO(without_notes(frame.encoded)))
    found.load()
    if (width, height) == image.size:
        return found
    canvas = Image.new("RGBA", image.size)
    canvas.paste(found.convert("RGBA"), (left, top))
    return canvas


def _with_alpha(image: WebPImageFile, data: bytes) -> Image.Image:
    """Decode an animated WebP that announces no transparency with it: outside of its first frame its canvas is transparent."""
    if image.mode != "RGB" or data[12:16] != b"VP8X" or not data[_FLAGS_AT] & _ANIMATED:
        return image
    flagged = bytearray(data)
    flagged[_FLAGS_AT] |= _WITH_ALPHA
    found = WebPImageFile(BytesIO(bytes(flagged)))
    found.load()
    return found if found.getchannel("A").getextrema() != (255, 255) else image
