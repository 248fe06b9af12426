"""Embedder that computes pictures by ONNX Runtime; words are torch's, which is imported for them alone."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL.Image import Image

from imgvec_pg.embedding.embedder import Embedder, Float32Array, TextLength
from imgvec_pg.embedding.golden import INT8_GOLDEN_COSINE
from imgvec_pg.embedding.onnx_models.exported import INT8, Export, model_path
from imgvec_pg.embedding.onnx_models.providers import INSTALL_GPU, provider_of
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.errors import ModelError
from imgvec_pg.processors import usable_cpus

Pixels = npt.NDArray[np.uint8]

IMAGES_AT_ONCE = 64
ERRORS_ONLY, FATAL_ONLY = 3, 4
"""onnxruntime's log severities."""
FORCED_MARGIN = 0.005
"""Between the cosine to fp32 measured here of a network that was forced, and what its golden pictures must have."""


class OnnxEmbedder:
    """An exported image encoder: in fp32 its vectors are torch's to a cosine of 0.99999, in int8 to `export.cosine`.

    In int8 each picture is a pass of its own, in as many threads: activations are quantised by the range of the whole pass, so a
    picture's vector would depend on those beside it (cosine 0.9997 for ViT-S-32), and be another one in each run.
    """

    runtime = "onnx"

    def __init__(self, export: Export, load_torch: Callable[[], Embedder], device: str = "cpu") -> None:
        """Load an export.

        Args:
            export: What is on record of it, with a file in the cache.
            load_torch: Loads the same model by torch, when words are first asked for.
            device: "cpu", "cuda" or "cuda:n".

        Raises:
            ModelError: ONNX Runtime cannot load it, or does not compute on that device.
        """
        assert export.resize is not None  # noqa: S101 - only such are exported
        is_int8 = export.precision == INT8
        self.device = device
        self.name = export.model
        self.precision = export.precision
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if is_int8 else _threads()
        options.log_severity_level = ERRORS_ONLY
        # Threads that spin between two batches take the cores from the processes that decode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = self._open_session(options)
        # A pass that fails raises, too; a batch that is too large for the memory would be told of in colours for each one tried.
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = FATAL_ONLY
        self._pool: ThreadPoolExecutor | None = None
        if is_int8:
            self._pool = ThreadPoolExecutor(_threads(), thread_name_prefix="imgvec-int8")
            self.golden_cosine = min(INT8_GOLDEN_COSINE, export.cosine - FORCED_MARGIN)
            self.golden_pictures = np.array(export.golden, dtype=np.float32)

    def _open_session(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        provider, its_options = provider_of(self.device)
        missing = f"this onnxruntime has no {provider}: {INSTALL_GPU}, or use --device cpu"
        if provider not in onnxruntime.get_available_providers():
            raise ModelError(missing)
        try:
            session = onnxruntime.InferenceSession(
                str(model_path(self.export.key)), options, providers=[(provider, dict(its_options))]
            )
        except Exception as error:
            # onnxruntime's errors have no common base but Exception.
            raise ModelError(f"{self.name} cannot be loaded by ONNX Runtime: {one_line(error)}") from error
        # Without its libraries (cuDNN) a provider is left out, with a line on stderr, and the CPU computes.
        if provider not in session.get_providers():
            raise ModelError(
                f"onnxruntime cannot use its {provider}: install the CUDA and cuDNN that it was built for"
            )
        return session

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
            raise ModelError(f"{self.name} failed in ONNX Runtime: {one_line(error)}") from error
        norms = np.linalg.norm(features, axis=-1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise ModelError(f"{self.name} gave a vector of norm 0 or not a number: check its weights")
        vectors: Float32Array = (features / norms).astype(np.float32)
        return vectors

    def _run(self, prepared: Sequence[Pixels]) -> Float32Array:
        """Return features, shape (n, dimensions), float32, of any norm."""
        if self._pool is None:
            (features,) = self._session.run(None, {"pixels": np.stack(list(prepared))}, self._quiet)
            return features  # type: ignore[no-any-return]
        alone = self._pool.map(
            lambda pixels: self._session.run(None, {"pixels": pixels[None]}, self._quiet)[0], prepared
        )
        return np.concatenate(list(alone))

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        parts = [
            self.embed_prepared(
                [self.prepare_image(image) for image in images[start : start + IMAGES_AT_ONCE]]
            )
            for start in range(0, len(images), IMAGES_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else self.embed_prepared([])

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


def _threads() -> int:
    """Return the threads of one batch: OMP_NUM_THREADS, which a backfill of several processes sets, else all CPUs."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else usable_cpus()
