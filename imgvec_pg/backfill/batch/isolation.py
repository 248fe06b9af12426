"""Isolate failing inputs; halve the batch on out-of-memory."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.database.connect import one_line
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import NORM_TOLERANCE
from imgvec_pg.errors import DeviceMemoryError, ImageError, ModelAnswerError, ModelAwayError, ModelError

log = logging.getLogger(__name__)

EmbeddedOrError = npt.NDArray[np.float32] | ImageError


class BatchSize:
    """Images per forward pass: halved for good on out-of-memory."""

    def __init__(self, images: int) -> None:
        self.images = images

    def halve(self, tried: int) -> None:
        """Note that `tried` images did not fit."""
        self.images = max(min(self.images, tried) // 2, 1)
        log.warning("no memory for %d images at once: going on with %d", tried, self.images)


def embed_fitting(
    prepared: Sequence[Any], embedder: Embedder, batch_size: BatchSize
) -> list[EmbeddedOrError]:
    """Embed prepared images in batches that fit on the device.

    Returns:
        For each image a vector of shape (dimensions,), float32, L2 norm 1, or why it has none.

    Raises:
        DeviceMemoryError: Not even one image fits.
        Exception: What the model raised when it cannot embed a plain grey image either.
    """
    results: list[EmbeddedOrError] = []
    while len(results) < len(prepared):
        group = prepared[len(results) : len(results) + batch_size.images]
        try:
            results += embed_each(group, embedder)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(group) == 1:
                results.append(embed_last_one(group, embedder, error))
                continue
        else:
            continue
        # Outside the handler: what failed is referred to by the exception's frames, and held until it is gone.
        batch_size.halve(len(group))
    return results


def embed_last_one(prepared: Sequence[Any], embedder: Embedder, error: Exception) -> EmbeddedOrError:
    """Try one image again that did not fit alone: where a plain grey one fits twice and it does not, it is to blame.

    Raises:
        DeviceMemoryError: The grey one does not fit either.
    """
    for _ in range(2):
        if not works(embedder):
            raise no_room(embedder, error) from error
        try:
            return embed_each(prepared, embedder)[0]
        except Exception as again:
            if not is_out_of_memory(again):
                raise
    return ImageError("embed_error", f"{embedder.name} has no memory for this image alone: {one_line(error)}")


def no_room(embedder: Embedder, error: BaseException) -> DeviceMemoryError:
    """Return what to say of a device that is full before the first image."""
    return DeviceMemoryError(
        f"no memory for even one image of {embedder.name} ({one_line(error)}): "
        "something else fills the device; make room, or use --device cpu"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no room. torch is not imported for that: its error is known by its name."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())
    )


def embed_each(prepared: Sequence[Any], embedder: Embedder) -> list[EmbeddedOrError]:
    """Embed prepared images, halving a batch that fails until the ones to blame are alone.

    Returns:
        For each image a vector of shape (dimensions,), float32, L2 norm 1, or why it has none.

    Raises:
        ModelAwayError, ModelAnswerError: The server that embeds is to blame.
        Exception: What the model raised when it cannot embed a plain grey image either, or had no memory.
    """
    try:
        embeddings = embedder.embed_prepared(prepared)
    except (ModelAwayError, ModelAnswerError):
        raise
    except Exception as error:
        if is_out_of_memory(error) or not works(embedder):
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
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    return [
        embedding if abs(norm - 1.0) <= NORM_TOLERANCE else checked(embedding, embedder)
        for embedding, norm in zip(embeddings, norms.tolist(), strict=True)
    ]


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
