"""What embedders of an exported image encoder share, whatever computes it; words are torch's, imported for them alone."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from imgvec_pg.embedding.embedder import Embedder, Float32Array, TextLength, embed_in_batches
from imgvec_pg.embedding.onnx_models.exported import Export
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.errors import ModelError
from imgvec_pg.processors import usable_cpus

Pixels = npt.NDArray[np.uint8]


class ExportedEmbedder(ABC):
    """An exported image encoder, prepared for and normalised as torch's embedder does it."""

    runtime: str
    """What --runtime calls it."""
    engine: str
    """What a message calls it."""

    def __init__(
        self, export: Export, load_torch: Callable[[], Embedder], device: str, precision: str
    ) -> None:
        """Take over what is on record of an export.

        Args:
            export: With a file in the cache.
            load_torch: Loads the same model by torch, when words are first asked for.
            precision: What it will compute in.
        """
        assert export.resize is not None  # noqa: S101 - only such are exported
        self.device = device
        self.name = export.model
        self.precision = precision
        self.dimensions = export.dimensions
        self.fingerprint = export.fingerprint
        self.weights_sha256 = export.weights_sha256
        self.has_text = export.has_text
        self.logit_scale = export.logit_scale
        self.logit_bias = export.logit_bias
        self.image_size = export.image_size
        self.first_resize = export.resize
        self.export = export
        self._load_torch = load_torch
        self._by_torch: Embedder | None = None

    @property
    def loads_words_late(self) -> bool:
        """Whether embedding words would load torch and the whole model first, which takes seconds."""
        return self.has_text and self._by_torch is None

    def prepare_image(self, image: Image) -> Pixels:
        """Resize and crop one RGB image: shape (height, width, 3), uint8."""
        resized = self.first_resize.apply(image)
        height, width = self.image_size
        if resized.size != (width, height):
            # torchvision 0.28 transforms/functional.py: center_crop.
            left, top = round((resized.width - width) / 2), round((resized.height - height) / 2)
            resized = resized.crop((left, top, left + width, top + height))
        return np.array(resized.convert("RGB"), dtype=np.uint8)

    def embed_prepared(self, prepared: Sequence[Pixels]) -> Float32Array:
        """Embed n prepared images in one pass: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MemoryError: The batch does not fit into memory.
            ModelError: The model gave a vector without direction.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        try:
            features = self._run(prepared)
        except Exception as error:
            told = str(error)
            if "alloc" in told.lower():
                raise MemoryError(
                    f"a batch of {len(prepared)} does not fit into the memory of {self.device}"
                ) from error
            raise ModelError(f"{self.name} failed in {self.engine}: {one_line(error)}") from error
        norms = np.linalg.norm(features, axis=-1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise ModelError(f"{self.name} gave a vector of norm 0 or not a number: check its weights")
        vectors: Float32Array = (features / norms).astype(np.float32)
        return vectors

    @abstractmethod
    def _run(self, prepared: Sequence[Pixels]) -> Float32Array:
        """Return features, shape (n, dimensions), float32, of any norm; several threads may ask at once."""

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        return embed_in_batches(self, images)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts by torch: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            ModelError: The model has no text tower.
        """
        return self._texts().embed_texts(texts)

    def text_length(self, text: str) -> TextLength:
        """Return how long a text is to this model, and how much of it the model reads; all of it where that is unknown."""
        measure = getattr(self._texts(), "text_length", None)
        return TextLength(0, 0) if measure is None else measure(text)

    def _texts(self) -> Embedder:
        if not self.has_text:
            raise ModelError(
                f"{self.name} has no text tower: ask with a picture or a row, or use a CLIP or SigLIP model for words"
            )
        if self._by_torch is None:
            self._by_torch = self._load_torch()
        return self._by_torch


def model_threads() -> int:
    """Return the threads of one batch: OMP_NUM_THREADS, which a backfill of several processes sets, else all CPUs."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else usable_cpus()
