"""Embedder that computes pictures by OpenVINO on a CPU."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import openvino

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.onnx_models.exported import Export, model_path
from imgvec_pg.embedding.onnx_models.exported_embedder import ExportedEmbedder, Pixels, model_threads
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.errors import ModelError

TYPES = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class OpenVinoEmbedder(ExportedEmbedder):
    """The export that ONNX Runtime reads, too, in fp32 or bf16: what is on record of it says how near torch each is.

    It compiles the file at each start, in 0.2 s of processor time more than ONNX Runtime takes to load it (ViT-B-32). Its own
    cache would spare 0.45 s of that for a second copy of the weights (336 MB), which no checksum of ours covers.
    """

    runtime = "openvino"
    engine = "OpenVINO"

    def __init__(self, export: Export, load_torch: Callable[[], Embedder], precision: str) -> None:
        """Load an export.

        Args:
            export: What is on record of it, with a file in the cache.
            load_torch: Loads the same model by torch, when words are first asked for.
            precision: "fp32" or "bf16".

        Raises:
            ModelError: OpenVINO cannot compile it, or not in that precision.
        """
        super().__init__(export, load_torch, "cpu", precision)
        wanted = {
            "PERFORMANCE_HINT": "LATENCY",
            # One batch at a time by all threads; several streams would be as many copies of what lies between layers.
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": model_threads(),
            # Where nothing is said it takes bf16 on CPUs that have it.
            "INFERENCE_PRECISION_HINT": TYPES[precision],
            # The processes of one backfill would all be tied to the same first cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._compiled = openvino.Core().compile_model(str(model_path(export.key)), "CPU", wanted)
            given = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        except Exception as error:
            # Its errors have no common base but Exception.
            raise ModelError(f"{self.name} cannot be compiled by OpenVINO: {one_line(error)}") from error
        if given != TYPES[precision]:
            raise ModelError(f"OpenVINO computes in {given.get_type_name()} on this CPU, not in {precision}")
        # A request that is asked by two threads at once refuses the second.
        self._request = self._compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    def _run(self, prepared: Sequence[Pixels]) -> Float32Array:
        pixels = np.stack(list(prepared))
        with self._one_at_a_time:
            # Not infer(): with one thread it passes over what went wrong, a lack of memory too, and gives the last pass's answer
            # (2026.4.1; findings/openvino-infer-gives-the-last-answer.sh).
            self._request.start_async({"pixels": pixels}, share_inputs=True)
            self._request.wait()
            # The next pass writes to the same memory.
            return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)
