"""`color-lines`: the model `color-grid` with 3 x 3 cells, so 27 dimensions: what a collection may be switched to.

IMGVEC_TEST_SHIFT adds so much to the first number of each vector before it is normalised, as a broken device would.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from imgvec_test_embedder import ColorGrid, cells_of_text
from PIL.Image import Image, Resampling

NAME = "color-lines"
DIMENSIONS = 27

Float32Array = npt.NDArray[np.float32]


class ColorLines(ColorGrid):
    """The embedder."""

    name = NAME
    dimensions = DIMENSIONS
    fingerprint = "c01011e5" + 56 * "0"

    def __init__(self) -> None:
        self.shift = float(os.environ.get("IMGVEC_TEST_SHIFT", "0"))

    def prepare_image(self, image: Image) -> Float32Array:
        """Return the nine cells' mean colours, shape (27,), 0 to 255."""
        cells = image.convert("RGB").resize((3, 3), Resampling.BOX)
        return np.asarray(cells, dtype=np.float32).reshape(DIMENSIONS)

    def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
        """Centre and normalise."""
        centred = np.asarray(prepared, dtype=np.float32).reshape(-1, DIMENSIONS) - 127.5
        centred[~centred.any(axis=1)] = 1.0
        centred[:, 0] += self.shift
        unit: Float32Array = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Paint all nine cells in the first colour of each text."""
        return self.embed_prepared([np.tile(cells_of_text(text)[:3], 9) for text in texts])


def load(*, device: str = "auto", precision: str = "auto") -> ColorLines:
    """Return the embedder: the entry point `color-lines` of the group imgvec_pg.embedders."""
    return ColorLines()
