"""Fixed pictures and texts whose vectors tell whether a model computes here what it computed elsewhere."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.errors import ImgvecError

GOLDEN_COSINE = 0.999
"""Least cosine between a golden vector and what a worker computes; fp32 gives 1 - 1e-6, honest bf16 0.9995."""
GOLDEN_TEXTS = ("a photo of a cat", "Two RED shoes, size 42!", "un café très chaud " * 30)
SIZES = ((640, 480), (480, 640), (300, 300))


@dataclass(frozen=True)
class GoldenVectors:
    """What a model makes of the golden pictures and texts.

    Attributes:
        images: Shape (3, dimensions), float32, rows of norm 1.
        texts: The same for GOLDEN_TEXTS; None where the model has no text tower here, or its tokenizer is missing.
    """

    images: Float32Array
    texts: Float32Array | None


def golden_images() -> list[Image.Image]:
    """Return pictures with edges, gradients and fine grain, the same on every machine, larger than models want them."""
    made = []
    for seed, (width, height) in enumerate(SIZES):
        y, x = np.mgrid[0:height, 0:width].astype(np.int64)
        # A linear congruence instead of numpy's generators, whose streams may change between releases.
        grain = ((x * 7919 + y * 104729 + seed * 1299709) * 2654435761 >> 16) % 64
        rings = (((x - width // 3) ** 2 + (y - height // 2) ** 2) // (4000 + 3000 * seed)) % 2
        channels = [
            x * 191 // width + grain,
            np.where(rings == 1, 40 + 60 * seed, 255 - y * 191 // height) - grain // 4,
            (x // 40 + y // 40) % 2 * 150 + grain,
        ]
        pixels = np.clip(np.stack(channels[seed:] + channels[:seed], axis=-1), 0, 255)
        made.append(Image.fromarray(pixels.astype(np.uint8)))
    return made


def compute_golden(embedder: Embedder) -> GoldenVectors:
    """Embed the golden pictures and texts.

    A model that refuses the texts (no tokenizer on this machine, a vocabulary of its own) still has its pictures.
    """
    texts: Float32Array | None = None
    if embedder.has_text:
        try:
            texts = embedder.embed_texts(list(GOLDEN_TEXTS))
        except ImgvecError:
            texts = None
    # One at a time, which a device has room for that is nearly full.
    images = np.concatenate([embedder.embed_images([image]) for image in golden_images()])
    return GoldenVectors(images, texts)


def lowest_cosine(ours: Float32Array, theirs: Float32Array) -> float:
    """Return the least cosine of two stacks of unit vectors, row by row; NaN counts as -1."""
    if ours.shape != theirs.shape:
        return -1.0
    cosines = (ours.astype(np.float64) * theirs.astype(np.float64)).sum(axis=1)
    return float(np.nan_to_num(cosines, nan=-1.0).min())
