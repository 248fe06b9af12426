"""What computes pictures on a CPU: images/s of this build beside another one, same weights, processes in turns.

Usage: python benchmarks/runtimes.py --beside WORKTREE [--only NAME ...] [--precision P ...] [--turns 3] [--seconds 4] [--json
FILE] [--out FILE]. WORKTREE is a checkout of the build to compare with (`git worktree add WORKTREE COMMIT`). Each turn is a
process of its own on all CPUs, which loads the model as a worker does (automatic precision and runtime; fp32 for both; and, of
ViTs, int8 beside the other build's automatic precision), embeds batches of 16 prepared pictures and gives its vectors of the
golden pictures. "of CPU" is the ratio of images per second of processor time, which other programs of the machine disturb less.
Seeded weights: the speed is the same. Kept in benchmarks/results/runtimes.txt.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.golden import lowest_cosine
from imgvec_pg.embedding.torch_models.random_weights import write_random_weights

HERE = Path(__file__).resolve().parent.parent
MODELS = {
    "timm/efficientnet_b0.ra_in1k": 3.5,
    "timm/tf_efficientnet_lite0.in1k": 3.5,
    "timm/resnet50.a1_in1k": 2.0,
    "MobileCLIP2-S0/dfndr2b": 1.4,
    "ViT-B-32/laion2b_s34b_b79k": 1.15,
}
"""With the ratio in fp32 that each is to reach."""
INT8_MODELS = {"ViT-B-32/laion2b_s34b_b79k": 1.7, "ViT-L-14/laion2b_s32b_b82k": 1.7}
"""With the ratio that int8 is to reach, to the other build at its automatic precision, at cosine 0.999."""
BATCH = 16
TURN = """
import inspect, json, sys, time
import numpy as np
from imgvec_pg.embedding.golden import golden_images
from imgvec_pg.embedding.load import load_embedder
name, weights, precision, seconds, batch = sys.argv[1:4] + [float(sys.argv[4]), int(sys.argv[5])]
extra = {"may_export": True} if "may_export" in inspect.signature(load_embedder).parameters else {}
embedder = load_embedder(name, weights=weights, device="cpu", precision=precision, **extra)
pictures = golden_images()
prepared = [embedder.prepare_image(picture) for picture in pictures]
batch = (prepared * batch)[:batch]
embedder.embed_prepared(batch)
times, used = [], time.process_time()
ends = time.monotonic() + seconds
while time.monotonic() < ends or len(times) < 3:
    began = time.perf_counter()
    embedder.embed_prepared(batch)
    times.append(time.perf_counter() - began)
used = time.process_time() - used
print(json.dumps({
    "cpu_rate": len(batch) * len(times) / used,
    "rate": len(batch) / sorted(times)[len(times) // 2],
    "by": f"{getattr(embedder, 'runtime', 'torch')} {embedder.precision}",
    "vectors": embedder.embed_images(pictures).tolist(),
}))
"""


def turn(
    build: Path, name: str, weights: Path, precision: str, seconds: float, cache: Path, batch: int
) -> dict[str, object]:
    """Run one turn in a build."""
    environment = {**os.environ, "PYTHONPATH": str(build), "IMGVEC_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", TURN, name, str(weights), precision, str(seconds), str(batch)],
        env=environment,
        cwd=build,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} in {build}: {done.stderr[-500:]}")
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(
    beside: Path,
    name: str,
    precision: str,
    turns: int,
    seconds: float,
    folder: Path,
    batch: int = BATCH,
    cache: Path | None = None,
) -> tuple[str, dict[str, float]]:
    """Return a line of the table, and its ratios and cosine by name."""
    cache = cache or folder
    weights = folder / f"{name.replace('/', '--')}.safetensors"
    if not weights.exists():
        write_random_weights(describe_model(name), weights)
    builds = {"then": beside, "now": HERE}
    asked = {"then": "auto" if precision == "int8" else precision, "now": precision}
    exact = np.array(turn(beside, name, weights, "fp32", 0.1, cache, 1)["vectors"], dtype=np.float32)
    turn(HERE, name, weights, precision, 0.1, cache, 1)  # exports
    found: dict[str, list[dict[str, object]]] = {"then": [], "now": []}
    for number in range(turns):
        for build in sorted(builds, reverse=number % 2 == 0):
            found[build].append(turn(builds[build], name, weights, asked[build], seconds, cache, batch))
    rates = {build: statistics.median(float(str(one["rate"])) for one in found[build]) for build in builds}
    ratio, cpu_ratio = (
        statistics.median(
            float(str(now[key])) / float(str(then[key]))
            for now, then in zip(found["now"], found["then"], strict=True)
        )
        for key in ("rate", "cpu_rate")
    )
    cosines = {
        build: lowest_cosine(np.array(found[build][0]["vectors"], dtype=np.float32), exact)
        for build in builds
    }
    targets = {"fp32": MODELS, "int8": INT8_MODELS}.get(precision, {})
    target = f"{targets[name]:.2f}" if name in targets else "-"
    figures = {"ratio": ratio, "of CPU": cpu_ratio, "cosine": cosines["now"], "rate": rates["now"]}
    line = (
        f"{name:33}{precision:>6}{found['then'][0]['by']!s:>12}{rates['then']:9.1f}{cosines['then']:11.7f}"
        f"{found['now'][0]['by']!s:>12}{rates['now']:9.1f}{cosines['now']:11.7f}{ratio:8.2f}{cpu_ratio:8.2f}{target:>8}"
    )
    return line, {f"{name} {precision}: {what}": figure for what, figure in figures.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[*{**MODELS, **INT8_MODELS}], default=list(MODELS))
    parser.add_argument(
        "--precision", nargs="+", choices=["fp32", "auto", "int8"], default=["fp32", "auto", "int8"]
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures: dict[str, float] = {}
    lines = [
        f"images/s of batches of 16, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f} before; medians of "
        f"{options.turns} turns; cosine: the least on the golden pictures to torch in fp32 of the other build",
        f"{'model':33}{'asked':>6}{'then':>12}{'images/s':>9}{'cosine':>11}{'now':>12}{'images/s':>9}{'cosine':>11}"
        f"{'ratio':>8}{'of CPU':>8}{'target':>8}",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory(prefix="imgvec-runtimes-") as folder:
        for name in options.only:
            for precision in options.precision:
                if precision == "int8" and name not in INT8_MODELS:
                    continue
                line, found = measure(
                    options.beside.resolve(), name, precision, options.turns, options.seconds, Path(folder)
                )
                lines.append(line)
                figures |= found
                print(lines[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
