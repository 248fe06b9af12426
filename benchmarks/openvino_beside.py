"""OpenVINO beside what else computes pictures on a CPU: one exported image encoder, prepared pictures, in turns.

Usage: python benchmarks/openvino_beside.py [--turns 5] [--batch 16]; three minutes on two quiet cores, the extra `openvino`
installed. For each model: images/s of torch, ONNX Runtime and OpenVINO in fp32, and of torch and OpenVINO in bf16, all on all
CPUs; the median of turns, the least cosine to torch in fp32 on the golden pictures, and processor time of loading each export.
Seeded weights: the speed is the same. Kept in benchmarks/results/openvino.txt.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.onnx_models.openvino_embedder import OpenVinoEmbedder
from imgvec_pg.embedding.onnx_models.recorded import load_by_torch, recorded_export
from imgvec_pg.embedding.torch_models.random_weights import write_random_weights

MODELS = ("timm/tf_efficientnet_lite0.in1k", "timm/resnet50.a1_in1k", "ViT-B-32/laion2b_s34b_b79k")
Way = tuple[Callable[[], object], Float32Array, float]
"""One pass over a batch, the vectors of the golden pictures, and seconds of processor time to load it."""


def ways_of(name: str, weights: Path, batch: int) -> dict[str, Way]:
    """Return all ways to compute a model's pictures here."""
    model = describe_model(name)
    exact = load_by_torch(model, weights, "cpu", "fp32")
    export = recorded_export(model, weights, "fp32", may_export=True)
    if export is None or not export.sha256:
        raise SystemExit(f"{name} cannot be exported")
    load: dict[str, Callable[[], Embedder]] = {
        "torch fp32": lambda: exact,
        "torch bf16": lambda: load_by_torch(model, weights, "cpu", "bf16"),
        "ONNX Runtime fp32": lambda: OnnxEmbedder(export, lambda: exact),
        "OpenVINO fp32": lambda: OpenVinoEmbedder(export, lambda: exact, "fp32"),
        "OpenVINO bf16": lambda: OpenVinoEmbedder(export, lambda: exact, "bf16"),
    }
    ways: dict[str, Way] = {}
    for way, loading in load.items():
        began = time.process_time()
        embedder = loading()
        loaded = time.process_time() - began
        prepared = [embedder.prepare_image(golden_images()[0])] * batch

        def once(embedder: Embedder = embedder, prepared: list[Any] = prepared) -> object:
            return embedder.embed_prepared(prepared)

        ways[way] = (once, embedder.embed_images(golden_images()), loaded)
    return ways


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
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
                for way, (once, *_) in ways.items():
                    began = time.perf_counter()
                    once()
                    if turn:  # the first prepares
                        rates[way].append(options.batch / (time.perf_counter() - began))
            for way, (_, golden, loaded) in ways.items():
                cosine, rate = lowest_cosine(golden, exact), statistics.median(rates[way])
                shown = "" if way.startswith("torch") else f"   loaded in {loaded:.2f} s"
                print(f"{name:<34}{way:<20}{rate:>8.1f} images/s   cosine {cosine:.6f}{shown}", flush=True)


if __name__ == "__main__":
    main()
