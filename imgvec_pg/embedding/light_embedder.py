"""Embedder `test`: a model for an application's tests, without torch, weights or waiting. It knows colours and nothing else."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import ImageColor
from PIL.Image import Image, Resampling

from imgvec_pg.embedding.embedder import Float32Array, SimpleEmbedder

TEST_NAME = "test"
CELLS = 4
"""Cells a side; each gives its mean red, green and blue."""
DIMENSIONS = CELLS * CELLS * 3


class LightEmbedder(SimpleEmbedder):
    """An image is the mean colours of its 4 x 4 cells, less mid-grey, at norm 1: shape (48,).

    Words are the picture that their colours would paint in rows from top to bottom ("red", "white and blue"; CSS names);
    words without a colour are a point of their own, the same each time.
    """

    name = TEST_NAME
    dimensions = DIMENSIONS
    fingerprint = hashlib.sha256(b"imgvec_pg test embedder, 4 x 4 cells").hexdigest()
    has_text = True
    logit_scale: float | None = 10.0

    def prepare_image(self, image: Image) -> Float32Array:
        """Return the cells' mean colours, shape (48,), 0 to 255."""
        cells = image.convert("RGB").resize((CELLS, CELLS), Resampling.BOX)
        return np.asarray(cells, dtype=np.float32).reshape(DIMENSIONS)

    def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
        """Centre and normalise; an image that is exactly mid-grey counts as white."""
        centred = np.asarray(prepared, dtype=np.float32).reshape(-1, DIMENSIONS) - 127.5
        centred[~centred.any(axis=1)] = 1.0
        unit: Float32Array = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed the colour words of each text, else the text itself."""
        return self.embed_prepared([_painted(text) for text in texts])


def _painted(text: str) -> Float32Array:
    """Return the cells that a text paints, shape (48,), 0 to 255."""
    words = re.findall(r"[a-z]+", text.lower())
    colors = [ImageColor.getrgb(word)[:3] for word in words if word in ImageColor.colormap]
    if colors:
        rows = [[colors[row * len(colors) // CELLS]] * CELLS for row in range(CELLS)]
        return np.asarray(rows, dtype=np.float32).reshape(DIMENSIONS)
    digest = hashlib.shake_256(" ".join(words or [text]).encode()).digest(DIMENSIONS)
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32)
