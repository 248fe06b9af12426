"""OpenVINO beside what a worker computes pictures by on a CPU: one exported image encoder, prepared pictures, in turns.

Usage: python benchmarks/openvino_beside.py DIR [--turns 5] [--batch 16]. DIR has OpenVINO, which is no dependency:
`pip install --target DIR openvino==2026.4.1`. For each model: images/s of torch in fp32 and bf16, ONNX Runtime in fp32 and, of
ViTs, int8, and OpenVINO in fp32 and by its default, all on all CPUs; the median of turns, and the least cosine to torch in fp32
on the golden pictures. Seeded weights: the speed is the same. Kept in benchmarks/results/openvino.txt.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import model_path
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.onnx_models.recorded import load_by_torch, recorded_export
from imgvec_pg.embedding.torch_models.random_weights import write_random_weights

MODELS = ("timm/tf_efficientnet_lite0.in1k", "timm/resnet50.a1_in1k", "ViT-B-32/laion2b_s34b_b79k")
Vectors = npt.NDArray[np.float32]
Way = tuple[Callable[[], object], Vectors]
"""One pass over a batch, and the vectors of the golden pictures."""


def openvino_ways(path: Path, prepared: list[Any], batch: int) -> dict[str, Way]:
    """Return an export compiled by OpenVINO in fp32, and as it chooses by itself."""
    import openvino

    core = openvino.Core()
    ways: dict[str, Way] = {}
    for name, hint in (("OpenVINO fp32", "f32"), ("OpenVINO default", None)):
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            **({} if hint is None else {"INFERENCE_PRECISION_HINT": hint}),
        }
        compiled = core.compile_model(str(path), "CPU", settings)
        features = np.concatenate([compiled(np.stack([np.asarray(each)]))[0] for each in prepared])
        golden = features / np.linalg.norm(features, axis=1, keepdims=True)
        pixels = np.stack([np.asarray(prepared[0])] * batch)

        def once(compiled: Any = compiled, pixels: Any = pixels) -> object:  # noqa: ANN401
            return compiled(pixels)

        ways[name] = (once, golden)
    return ways


def ways_of(name: str, weights: Path, batch: int) -> dict[str, Way]:
    """Return all ways to compute a model's pictures here."""
    model = describe_model(name)
    exact = load_by_torch(model, weights, "cpu", "fp32")
    export = recorded_export(model, weights, "fp32", may_export=True)
    if export is None or not export.sha256:
        raise SystemExit(f"{name} cannot be exported")
    embedders = {
        "torch fp32": exact,
        "torch bf16": load_by_torch(model, weights, "cpu", "bf16"),
        "ONNX Runtime fp32": OnnxEmbedder(export, lambda: exact),
    }
    ways: dict[str, Way] = {}
    for way, embedder in embedders.items():
        prepared = [embedder.prepare_image(golden_images()[0])] * batch

        def once(embedder: Any = embedder, prepared: Any = prepared) -> object:  # noqa: ANN401
            return embedder.embed_prepared(prepared)

        ways[way] = (once, embedder.embed_images(golden_images()))
    pictures = [embedders["ONNX Runtime fp32"].prepare_image(picture) for picture in golden_images()]
    return ways | openvino_ways(model_path(export.key), pictures, batch)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("openvino", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    sys.path.append(str(options.openvino))
    cpus, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"batches of {options.batch}, {cpus} CPUs, load {load:.1f}, medians of {options.turns} turns")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IMGVEC_CACHE_DIR"] = folder
        for name in MODELS:
            weights = Path(folder) / "weights.safetensors"
            write_random_weights(describe_model(name), weights)
            ways = ways_of(name, weights, options.batch)
            exact = ways["torch fp32"][1]
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(options.turns + 1):
                for way, (once, _) in ways.items():
                    began = time.perf_counter()
                    once()
                    if turn:  # the first prepares
                        rates[way].append(options.batch / (time.perf_counter() - began))
            for way, (_, golden) in ways.items():
                cosine, rate = lowest_cosine(golden, exact), statistics.median(rates[way])
                print(f"{name:<34}{way:<20}{rate:>8.1f} images/s   cosine {cosine:.6f}", flush=True)


if __name__ == "__main__":
    main()
