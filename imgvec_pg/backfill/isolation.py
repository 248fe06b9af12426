"""Keep one picture that a model chokes on from stopping the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError, ModelError

EmbeddedOrError = npt.NDArray[np.float32] | ImageError

NORM_TOLERANCE = 5e-4
"""The table's CHECK allows 1e-3; rounding to half precision stays below 5e-4."""


def embed_each(prepared: Sequence[Any], embedder: Embedder) -> list[EmbeddedOrError]:
    """Embed prepared images, halving a batch that fails until the ones to blame are alone.

    Returns:
        For each image a vector of shape (dimensions,), float32, L2 norm 1, or why it has none.

    Raises:
        Exception: What the model raised when it cannot embed a plain grey image either.
    """
    try:
        embeddings = embedder.embed_prepared(prepared)
    except Exception as error:
        if not works(embedder):
            raise
        if len(prepared) == 1:
            return [ImageError("embed_error", f"{embedder.name} raised {type(error).__name__}: {error}")]
        half = len(prepared) // 2
        return embed_each(prepared[:half], embedder) + embed_each(prepared[half:], embedder)
    if embeddings.shape != (len(prepared), embedder.dimensions):
        raise ModelError(
            f"model {embedder.name} gave an array of shape {embeddings.shape} for {len(prepared)} images, "
            f"expected ({len(prepared)}, {embedder.dimensions}); it is broken"
        )
    return [checked(embedding, embedder) for embedding in embeddings]


def checked(embedding: npt.NDArray[np.float32], embedder: Embedder) -> EmbeddedOrError:
    """Return a vector of norm 1 as it is, and for any other the error to record."""
    norm = float(np.linalg.norm(embedding.astype(np.float64)))
    if abs(norm - 1.0) <= NORM_TOLERANCE:  # false for NaN
        return embedding
    return ImageError("bad_embedding", f"{embedder.name} gave a vector of norm {norm:.4g}, expected 1")


def works(embedder: Embedder) -> bool:
    """Whether a model can embed a plain grey image: if not, no picture is to blame."""
    try:
        embedder.embed_images([Image.new("RGB", (64, 64), (128, 128, 128))])
    except Exception:
        return False
    return True
