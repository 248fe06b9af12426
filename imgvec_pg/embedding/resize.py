"""First resize and crop of a model's preprocessing, done where images are decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

# torchvision.transforms.InterpolationMode to Pillow's filter, as torchvision's own table has it.
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


LONGEST_RESIZED = 20
"""One side in terms of the other: beyond it the middle alone is resized."""


@dataclass(frozen=True)
class Resize:
    """What torchvision's Resize and CenterCrop do to a Pillow image; done once, the transform finds nothing left to do.

    Attributes:
        width: Of the result, in pixels.
        height: Likewise.
        keeps_aspect: The shorter side becomes `width` (equal to `height` then) and the longer one follows.
        resampling: Pillow's filter.
        crops: Of the result no more than `width` x `height` in its middle is kept.
    """

    width: int
    height: int
    keeps_aspect: bool
    resampling: int
    crops: bool = False

    def apply(self, image: Image.Image, whole: Size | None = None, box: Box | None = None) -> Image.Image:
        """Resize an image, and crop it.

        Args:
            whole: Its size before it was decoded smaller, which alone says what it is resized to.
            box: Where in it that picture lies; None for all of it.
        """
        size = self.size(whole or image.size)
        if self.crops and max(size) > LONGEST_RESIZED * min(size):
            return self._resize_middle(image, size, box)
        if image.size != size or box is not None:
            image = image.resize(size, Image.Resampling(self.resampling), box)
        if not self.crops or size == (self.width, self.height):
            return image
        # torchvision 0.28 transforms/functional.py: center_crop.
        left, top = round((size[0] - self.width) / 2), round((size[1] - self.height) / 2)
        return image.crop((left, top, left + self.width, top + self.height))

    def _resize_middle(self, image: Image.Image, size: Size, box: Box | None) -> Image.Image:
        """Resize no more than what is kept, to the same pixels: of a long screenshot the rest would be thrown away."""
        left, top, right, bottom = box or (0.0, 0.0, float(image.width), float(image.height))
        across, down = (right - left) / size[0], (bottom - top) / size[1]
        # torchvision 0.28 transforms/functional.py: center_crop.
        first, above = round((size[0] - self.width) / 2), round((size[1] - self.height) / 2)
        middle = (
            left + first * across,
            top + above * down,
            min(left + (first + self.width) * across, right),
            min(top + (above + self.height) * down, bottom),
        )
        return image.resize((self.width, self.height), Image.Resampling(self.resampling), middle)

    def size(self, size: Size) -> Size:
        """Return what a picture of this size is resized to, before it is cropped."""
        if not self.keeps_aspect:
            return self.width, self.height
        # torchvision 0.28 transforms/functional.py: _compute_resized_output_size, which rounds down.
        longer = int(self.width * max(size) / min(size))
        return (self.width, longer) if size[0] <= size[1] else (longer, self.width)


def first_resize(preprocessing: Mapping[str, Any]) -> Resize | None:
    """Return the resize and crop that OpenCLIP's preprocessing begins with, None where it begins otherwise."""
    size = preprocessing["size"]
    height, width = (size, size) if isinstance(size, int) else size
    resampling = RESAMPLING.get(preprocessing["interpolation"])
    mode = preprocessing["resize_mode"]
    if resampling is None or (mode != "squash" and (mode != "shortest" or height != width)):
        return None
    shortest = mode == "shortest"
    return Resize(width, height, keeps_aspect=shortest, resampling=int(resampling), crops=shortest)
