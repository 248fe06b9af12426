"""A model for tests, `color-grid`, whose distances can be worked out by hand.

An image is the mean RGB of its 2 x 2 cells (12 numbers, cells row by row), less mid-grey, at norm 1. For
colours whose channels are 0 or 255 the distance of two images is 2 * (share of the 12 channels that differ):
red to blue 4/3, red to yellow 2/3, red to cyan 2, half red and half blue to red 2/3.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import ImageColor
from PIL.Image import Image, Resampling

from imgvec_pg.errors import ModelError

Float32Array = npt.NDArray[np.float32]

NAME = "color-grid"
FINGERPRINT = "c0105912d" + 55 * "0"
DIMENSIONS = 12


class ColorGrid:
    """The embedder. Texts are colour words: one fills all cells, two are the top and the bottom row."""

    name = NAME
    dimensions = DIMENSIONS
    fingerprint = FINGERPRINT
    precision = "fp32"
    has_text = True
    logit_scale = 10.0
    logit_bias: float | None = None

    def prepare_image(self, image: Image) -> Float32Array:
        """Return the four cells' mean colours, shape (12,), 0 to 255."""
        cells = image.convert("RGB").resize((2, 2), Resampling.BOX)
        return np.asarray(cells, dtype=np.float32).reshape(DIMENSIONS)

    def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
        """Centre and normalise; an image that is exactly mid-grey counts as white."""
        centred = np.asarray(prepared, dtype=np.float32).reshape(-1, DIMENSIONS) - 127.5
        centred[~centred.any(axis=1)] = 1.0
        unit: Float32Array = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Prepare and embed."""
        return self.embed_prepared([self.prepare_image(image) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed the colour words of each text."""
        return self.embed_prepared([cells_of_text(text) for text in texts])


def cells_of_text(text: str) -> Float32Array:
    """Return the four cells that a text's colour words (CSS names) paint, shape (12,), 0 to 255."""
    words = re.findall(r"[a-z]+", text.lower())
    colors = [ImageColor.getrgb(word)[:3] for word in words if word in ImageColor.colormap]
    if not colors:
        raise ModelError(f'{NAME} knows colour words only, such as "red"; "{text}" has none')
    cells = [colors[cell * len(colors) // 4] for cell in range(4)]
    return np.asarray(cells, dtype=np.float32).reshape(DIMENSIONS)


def load(*, device: str = "auto", precision: str = "auto") -> ColorGrid:
    """Return the embedder: the entry point `color-grid` of the group imgvec_pg.embedders."""
    return ColorGrid()
