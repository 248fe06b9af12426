"""Embedder protocol: what a model must offer to the rest of the library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from imgvec_pg.errors import ModelError

Float32Array = npt.NDArray[np.float32]
IMAGES_AT_ONCE = 64


class Embedder(Protocol):
    """A loaded model. `prepare_image` may run in many threads; a second thread may embed texts or pictures beside the first.

    One whose `prepare_image` begins with a plain resize, or that and a crop, may say so in an attribute `first_resize`
    (Resize): pictures then come to it so already, which spares copying all their pixels between processes.
    One that loads what embeds words only when they are first asked for says by an attribute `loads_words_late` whether that is
    still to be done: a fill, which needs no words, then does without.
    One in int8 says by `golden_cosine` (float) how near its golden pictures must be to those on record, and keeps in
    `golden_pictures` (shape (3, dimensions), float32) what fp32 makes of them.
    One whose text tower reads only the beginning of a long text may have a method `text_length(text) -> TextLength`.
    """

    name: str
    """Architecture and weights, "ViT-L-14/laion2b_s32b_b82k"."""
    dimensions: int
    fingerprint: str
    """SHA-256 (hex) over weights, architecture, preprocessing, tokenizer; equal ones embed equally."""
    precision: str
    """"fp32", "bf16", "fp16" or "int8": what this process computes in."""
    has_text: bool
    logit_scale: float | None
    """Multiplier of cosine similarities before softmax or sigmoid, already exponentiated; None: no text."""
    logit_bias: float | None
    """Added after scaling, for sigmoid models (SigLIP); None elsewhere."""

    def prepare_image(self, image: Image) -> Any:  # noqa: ANN401 - what the model's own preprocessing makes
        """Resize, crop and normalise one RGB image as the weights expect."""
        ...

    def embed_prepared(self, prepared: Sequence[Any]) -> Float32Array:
        """Embed n prepared images in one pass: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MemoryError: The batch does not fit on the device; a smaller one may.
        """
        ...

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            ModelError: The model has no text tower.
        """
        ...


def embed_in_batches(embedder: Embedder, images: Sequence[Image]) -> Float32Array:
    """Prepare and embed n RGB images, so many at a time: shape (n, dimensions), float32, each row of L2 norm 1."""
    parts = [
        embedder.embed_prepared(
            [embedder.prepare_image(image) for image in images[start : start + IMAGES_AT_ONCE]]
        )
        for start in range(0, len(images), IMAGES_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else embedder.embed_prepared([])


@dataclass(frozen=True)
class TextLength:
    """A text in tokens, those that begin and end it included, and how many of them the model reads."""

    tokens: int
    context_length: int


def describe_truncation(embedder: Embedder, text: str) -> str | None:
    """Say that a model does not read the end of a text; None where it reads all, or does not tell."""
    measure = getattr(embedder, "text_length", None)
    if measure is None:
        return None
    length: TextLength = measure(text)
    if length.tokens <= length.context_length:
        return None
    return (
        f"the words have {length.tokens} tokens and {embedder.name} reads {length.context_length}: "
        "the end of them counts for nothing"
    )


class SimpleEmbedder:
    """Base class for plugins: defaults for all but five members, six with a text tower.

    They are name, dimensions, fingerprint, `prepare_image` and `embed_prepared`; with words `has_text = True` and
    `embed_texts`.
    """

    name: str
    dimensions: int
    fingerprint: str
    precision: str = "fp32"
    has_text: bool = False
    logit_scale: float | None = None
    logit_bias: float | None = None

    def prepare_image(self, image: Image) -> Any:  # noqa: ANN401
        """Resize, crop and normalise one RGB image; runs in many threads."""
        raise NotImplementedError(f"{type(self).__name__} lacks prepare_image(image)")

    def embed_prepared(self, prepared: Sequence[Any]) -> Float32Array:
        """Embed n prepared images: shape (n, dimensions), float32, each row of L2 norm 1."""
        raise NotImplementedError(f"{type(self).__name__} lacks embed_prepared(prepared)")

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size."""
        return self.embed_prepared([self.prepare_image(image) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Refuse.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} has no text tower: ask with a picture or a row")
