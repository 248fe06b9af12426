"""Embedder that computes pictures by ONNX Runtime."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.golden import INT8_GOLDEN_COSINE
from imgvec_pg.embedding.onnx_models.exported import INT8, Export, model_path
from imgvec_pg.embedding.onnx_models.exported_embedder import ExportedEmbedder, Pixels, model_threads
from imgvec_pg.embedding.onnx_models.providers import INSTALL_GPU, provider_of
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.errors import ModelError

ERRORS_ONLY, FATAL_ONLY = 3, 4
"""onnxruntime's log severities."""
FORCED_MARGIN = 0.005
"""Between the cosine to fp32 measured here of a network that was forced, and what its golden pictures must have."""


class OnnxEmbedder(ExportedEmbedder):
    """An exported image encoder: in fp32 its vectors are torch's to a cosine of 0.99999, in int8 to `export.cosine`.

    In int8 each picture is a pass of its own, in as many threads: activations are quantised by the range of the whole pass, so a
    picture's vector would depend on those beside it (cosine 0.9997 for ViT-S-32), and be another one in each run.
    """

    runtime = "onnx"
    engine = "ONNX Runtime"

    def __init__(self, export: Export, load_torch: Callable[[], Embedder], device: str = "cpu") -> None:
        """Load an export.

        Args:
            export: What is on record of it, with a file in the cache.
            load_torch: Loads the same model by torch, when words are first asked for.
            device: "cpu", "cuda" or "cuda:n".

        Raises:
            ModelError: ONNX Runtime cannot load it, or does not compute on that device.
        """
        super().__init__(export, load_torch, device, export.precision)
        is_int8 = export.precision == INT8
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if is_int8 else model_threads()
        options.log_severity_level = ERRORS_ONLY
        # Threads that spin between two batches take the cores from the processes that decode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = self._open_session(options)
        # A pass that fails raises, too; a batch that is too large for the memory would be told of in colours for each one tried.
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = FATAL_ONLY
        self._pool: ThreadPoolExecutor | None = None
        if is_int8:
            self._pool = ThreadPoolExecutor(model_threads(), thread_name_prefix="imgvec-int8")
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

    def _run(self, prepared: Sequence[Pixels]) -> Float32Array:
        if self._pool is None:
            (features,) = self._session.run(None, {"pixels": np.stack(list(prepared))}, self._quiet)
            return features  # type: ignore[no-any-return]
        alone = self._pool.map(
            lambda pixels: self._session.run(None, {"pixels": pixels[None]}, self._quiet)[0], prepared
        )
        return np.concatenate(list(alone))
