"""Shrink-on-load: a JPEG much larger than the model's input is decoded at a half or a quarter of its size.

libjpeg computes the smaller picture from the low frequencies of each block, which costs a fraction of decoding all pixels and
averaging them. What it gives is the mean of the pixels, up to rounding: benchmarks/results/decode.txt has the differences.
Part of rendering 2; where nothing is shrunk, not one bit changes.
"""

from dataclasses import dataclass

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from imgvec_pg.embedding.resize import Box, Resize, Size
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.exif import read_exif
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.version import NEWEST

SHRINKS_FROM = 2
"""The first rendering that does this."""
LEAST_RATIO = 2
"""A shrunk picture is still as many times as large as what it is resized to: the model's own filter does the rest."""
SCALES = (4, 2)
"""Not 8: libjpeg's means are a quarter of a level too bright there, and finding the bits takes most of the time anyway."""

# Where the stored picture's right and bottom edges are once it is upright, by EXIF orientation: indices into a box.
_LEFT, _TOP, _RIGHT, _BOTTOM = range(4)
_EDGES = {
    2: (_LEFT, _BOTTOM),
    3: (_LEFT, _TOP),
    4: (_RIGHT, _TOP),
    5: (_BOTTOM, _RIGHT),
    6: (_BOTTOM, _LEFT),
    7: (_TOP, _LEFT),
    8: (_TOP, _RIGHT),
}


def decode_resized(
    data: bytes, resize: Resize | None, rendering: int = NEWEST, bands: Bands = ()
) -> Image.Image:
    """Decode an image as `decode_image` does and resize it, decoding no more pixels than that takes.

    Raises:
        ImageError: As `decode_image`.
    """
    if resize is None:
        return decode_image(data, rendering=rendering, bands=bands)
    if rendering < SHRINKS_FROM:
        return resize.apply(decode_image(data, rendering=rendering, bands=bands))
    shrunk: list[Shrunk] = []

    def before_load(encoded: ImageFile.ImageFile) -> None:
        found = shrink_on_load(encoded, resize)
        shrunk[:] = [] if found is None else [found]

    image = decode_image(
        data, rendering=rendering, bands=bands, before_load=before_load, any_aspect=resize.crops
    )
    # Where a JPEG had to be decoded once more, as one without its end is, it comes whole.
    if not shrunk or image.size == shrunk[0].size:
        return resize.apply(image)
    return resize.apply(image, shrunk[0].size, shrunk[0].box(image.size))


@dataclass(frozen=True)
class Shrunk:
    """What was asked of a JPEG decoder.

    Attributes:
        size: The whole picture's, upright, in pixels.
        scale: 2 or 4.
        orientation: By EXIF, 1 to 8.
    """

    size: Size
    scale: int
    orientation: int

    def box(self, size: Size) -> Box:
        """Return the part of the shrunk upright picture that the whole one covers: its last pixels may lie half outside."""
        box = [0.0, 0.0, float(size[0]), float(size[1])]
        for edge in _EDGES.get(self.orientation, (_RIGHT, _BOTTOM)):
            along = edge % 2
            outside = size[along] - self.size[along] / self.scale
            box[edge] += outside if edge < _RIGHT else -outside
        return box[0], box[1], box[2], box[3]


def shrink_on_load(encoded: ImageFile.ImageFile, resize: Resize) -> Shrunk | None:
    """Have a JPEG that is not loaded yet decoded smaller, where it is large enough; None where it is not."""
    if not isinstance(encoded, JpegImageFile):
        return None
    width, height = encoded.size
    if min(width, height) < SCALES[-1] * LEAST_RATIO * min(resize.width, resize.height):
        return None  # whichever way up
    orientation = read_exif(encoded.info.get("exif")).orientation
    size = (height, width) if orientation in (5, 6, 7, 8) else (width, height)
    wanted = resize.size(size)
    scale = next(
        (
            scale
            for scale in SCALES
            if size[0] >= scale * LEAST_RATIO * wanted[0] and size[1] >= scale * LEAST_RATIO * wanted[1]
        ),
        1,
    )
    if scale == 1:
        return None
    # Pillow takes the largest scale that leaves as many pixels as are asked for.
    if encoded.draft(None, (width // scale, height // scale)) is None:
        return None
    return Shrunk(size, scale, orientation)
