"""Golden vectors: fixed images and texts whose embeddings tell whether a model computes the same numbers here."""

from collections.abc import Collection
from contextlib import suppress

import numpy as np
from PIL import Image

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.errors import ImgvecError, ModelError

GOLDEN_COSINE = 0.999
"""Least cosine between a golden vector and what a worker computes; fp32 gives 1 - 1e-6, honest bf16 0.9995."""
INT8_GOLDEN_COSINE = 0.985
"""The same for pictures in int8. A network must have 0.99 to fp32 to be used in it; what is on record may be in bf16."""
GOLDEN_TEXTS = ("a photo of a cat", "Two RED shoes, size 42!", "un café très chaud " * 30)
SIZES = ((640, 480), (480, 640), (300, 300))


IMAGE, TEXT = KINDS = ("image", "text")
GoldenVectors = dict[str, Float32Array]
"""By kind, shape (3, dimensions), float32, rows of norm 1; no texts where the model has no words here."""
NORM_TOLERANCE = 5e-4
"""The tables' CHECK allows 1e-3; rounding to half precision stays below 5e-4."""


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


def compute_golden(embedder: Embedder, kinds: Collection[str] = KINDS) -> GoldenVectors:
    """Embed the golden pictures and texts, or one kind of them.

    A model that refuses the texts (no tokenizer on this machine, a vocabulary of its own) still has its pictures.

    Raises:
        ModelError: The vectors have not the norm 1.
    """
    golden: GoldenVectors = {}
    if TEXT in kinds and embedder.has_text:
        with suppress(ImgvecError):
            golden[TEXT] = embedder.embed_texts(list(GOLDEN_TEXTS))
    if IMAGE in kinds:
        # One at a time, which a device has room for that is nearly full.
        golden[IMAGE] = np.concatenate([embedder.embed_images([image]) for image in golden_images()])
    for kind, vectors in golden.items():
        norms = np.linalg.norm(vectors.astype(np.float64), axis=-1)
        if not (abs(norms - 1) <= NORM_TOLERANCE).all():  # false for NaN
            raise ModelError(
                f'model "{embedder.name}" gives {kind} vectors of norm {norms.flat[0]:.4g}, expected 1: divide them by it'
            )
    return golden


def least_picture_cosine(embedder: Embedder) -> float:
    """Return how near an embedder's golden pictures must be to those on record: in int8 it says so itself."""
    return float(getattr(embedder, "golden_cosine", GOLDEN_COSINE))


def recordable(embedder: Embedder, golden: GoldenVectors) -> tuple[GoldenVectors, str]:
    """Return golden vectors to record as the model's own, and their precision.

    Of an embedder in int8 they are those of fp32, which it keeps in `golden_pictures`: a first worker in int8 must not lower what
    later ones are held to.
    """
    pictures: Float32Array | None = getattr(embedder, "golden_pictures", None)
    if pictures is None:
        return golden, embedder.precision
    return {kind: pictures if kind == IMAGE else vectors for kind, vectors in golden.items()}, "fp32"


def lowest_cosine(ours: Float32Array, theirs: Float32Array) -> float:
    """Return the least cosine of two stacks of unit vectors, row by row; NaN counts as -1."""
    if ours.shape != theirs.shape:
        return -1.0
    cosines = (ours.astype(np.float64) * theirs.astype(np.float64)).sum(axis=1)
    return float(np.nan_to_num(cosines, nan=-1.0).min())
