"""What decoding in sandboxed children costs: pictures a second with them and without, from encoded bytes to the model's input.

JPEGs of scikit-image's photographs at four sizes, through the same threads that a worker uses and the preprocessing of
ViT-B-32 (224 pixels). "plain" decodes in this process; "guarded" in the children, which do the model's resize and crop too.
Both are run in turn, several times, within one run: the share is that of the medians. CPU is that of this process and of
the children together, which a busy machine changes less than the clock. The children's start is left out.

    python benchmarks/decode.py [--rounds N]
"""

import argparse
import io
import os
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from skimage import data as photographs

from imgvec_pg.embedding.resize import first_resize
from imgvec_pg.embedding.runtime import import_open_clip
from imgvec_pg.embedding.torch_models.openclip_network import inference_transform
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed, shared_pool, usable_cpus

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


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
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
        contents = jpegs(side)
        measure(ways["guarded"], contents, 2 * THREADS)  # the children start
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, work in ways.items():
                found[name].append(measure(work, contents, count))
        wall = {name: statistics.median(seconds for seconds, _ in values) for name, values in found.items()}
        cpu = {name: statistics.median(seconds for _, seconds in values) for name, values in found.items()}
        slower, more = wall["guarded"] / wall["plain"] - 1, cpu["guarded"] / cpu["plain"] - 1
        size = sum(map(len, contents)) / len(contents) / 1000
        print(
            f"{side:11} {size:8.0f} {count / wall['plain']:8.1f} {count / wall['guarded']:10.1f} {slower:10.1%} "
            f"{1000 * cpu['plain'] / count:13.2f} {1000 * cpu['guarded'] / count:8.2f} {more:8.1%} "
            f"{TARGET:6.0%} {'met' if slower <= TARGET else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
