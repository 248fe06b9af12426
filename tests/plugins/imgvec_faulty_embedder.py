"""`faulty-grid`: the model `color-grid`, slower when asked, and helpless before four colours.

A picture whose first pixel is KILLER ends its process, RAISER makes the model raise, NOT_A_NUMBER gives a vector
of NaN, BREAKER breaks the model for good. IMGVEC_TEST_PREPARE_SECONDS is the time that each picture takes,
IMGVEC_TEST_FINGERPRINT another fingerprint; with IMGVEC_TEST_LOAD_FAILS it does not load.
"""

import os
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from imgvec_test_embedder import FINGERPRINT, ColorGrid
from PIL.Image import Image

NAME = "faulty-grid"
KILLER = (1, 2, 3)
RAISER = (4, 5, 6)
NOT_A_NUMBER = (7, 8, 9)
BREAKER = (10, 11, 12)
EXIT_CODE = 77

Float32Array = npt.NDArray[np.float32]


class FaultyGrid(ColorGrid):
    """The embedder."""

    name = NAME

    def __init__(self) -> None:
        self.fingerprint = os.environ.get("IMGVEC_TEST_FINGERPRINT", FINGERPRINT)
        self.seconds = float(os.environ.get("IMGVEC_TEST_PREPARE_SECONDS", "0"))
        self.is_broken = False

    def prepare_image(self, image: Image) -> Float32Array:
        """Take a while, die of KILLER, and mark the other colours."""
        if image.width < 100:  # golden pictures, which each worker starts with, are larger
            time.sleep(self.seconds)
        if image.getpixel((0, 0)) == KILLER:
            os._exit(EXIT_CODE)
        return super().prepare_image(image)

    def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
        """Fail for RAISER, give NaN for NOT_A_NUMBER, never work again after BREAKER."""
        first = [tuple(cells[:3]) for cells in prepared]
        self.is_broken |= BREAKER in first
        if self.is_broken:
            raise RuntimeError("the device is gone")
        if RAISER in first:
            raise ValueError("this picture is too much")
        embedded = super().embed_prepared(prepared)
        embedded[[cells == NOT_A_NUMBER for cells in first]] = np.nan
        return embedded


def load(*, device: str = "auto", precision: str = "auto") -> FaultyGrid:
    """Return the embedder: the entry point `faulty-grid` of the group imgvec_pg.embedders."""
    if os.environ.get("IMGVEC_TEST_LOAD_FAILS"):
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")
    return FaultyGrid()
