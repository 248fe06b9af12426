"""The catalogue's models with seeded weights: as published, exact against OpenCLIP and timm, images/s in fp32 and bf16.

Usage: python benchmarks/models.py [--only NAME …] [--json FILE] [--seconds 3] [--no-bf16]. Exit code 1 when a target falls short:
cosine to the library's own numbers at least 0.9999 in fp32 and 0.999 in half precision; 0.95 of the bare network's rate; 1.5
times fp32 in bf16 where the CPU has bf16 instructions; on an H100 2,400 images/s of ViT-L/14, 30,000 of ViT-B/32, 600 of
SO400M-384.

The reference numbers come from a process that imports only open_clip or timm (tests/model/reference.py). One model at a time:
ViT-H takes 8 GB of memory and of temporary disk. A figure that this machine cannot give is "-", and no target.
"""

import argparse
import gc
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imgvec_pg.embedding.catalog import CATALOGUE
from imgvec_pg.embedding.description import TIMM, ModelDescription
from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.golden import lowest_cosine
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.timmnames import describe_timm_model
from imgvec_pg.embedding.torchembedder import TorchEmbedder

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ("astronaut.png", "coffee.png", "rocket.jpg")
FP32_COSINE, HALF_COSINE, FORWARD_SHARE, BF16_GAIN = 0.9999, 0.999, 0.95, 1.5
ON_H100 = {
    "ViT-L-14/laion2b_s32b_b82k": 2400,
    "ViT-L-14-quickgelu/openai": 2400,
    "ViT-B-32/laion2b_s34b_b79k": 30_000,
    "ViT-SO400M-14-SigLIP-384/webli": 600,
}
# Half precision is slow where the CPU only emulates it: one picture of a large model takes minutes.
EMULATED_GFLOPS = 60.0


@dataclass
class Row:
    """What was measured of one model; None where this machine cannot tell."""

    model: str
    as_published: bool
    gflops: float = 0.0
    image_cosine: float | None = None
    text_cosine: float | None = None
    half: str = ""
    half_cosine: float | None = None
    batch_size: int = 0
    images_per_second: float | None = None
    forward_share: float | None = None
    half_images_per_second: float | None = None
    problem: str = ""

    def shortfalls(self, has_bf16: bool, device: str) -> list[str]:
        """Return the targets that were missed."""
        found = [] if self.as_published else ["not as published"]
        found += [self.problem] if self.problem else []
        for title, value, target in (
            ("fp32 cosine of pictures", self.image_cosine, FP32_COSINE),
            ("fp32 cosine of texts", self.text_cosine, FP32_COSINE),
            (f"{self.half} cosine", self.half_cosine, HALF_COSINE),
            ("share of the bare network", self.forward_share, FORWARD_SHARE),
        ):
            if value is not None and value < target:
                found.append(f"{title} {value:.5f} < {target}")
        fp32, half = self.images_per_second, self.half_images_per_second
        if has_bf16 and self.half == "bf16" and fp32 and half and half < BF16_GAIN * fp32:
            found.append(f"bf16 {half / fp32:.2f} times fp32 < {BF16_GAIN}")
        wanted = ON_H100.get(self.model)
        if "H100" in device and wanted and max(fp32 or 0, half or 0) < wanted:
            found.append(f"{max(fp32 or 0, half or 0):.0f} images/s < {wanted} on an H100")
        return found


def main() -> int:
    """Measure, print and compare with the targets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--no-bf16", action="store_true", help="leave half precision out")
    options = parser.parse_args()
    import torch

    from imgvec_pg.embedding.runtime import cpu_has_bf16

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    fast_half = torch.cuda.is_available() or cpu_has_bf16()
    load = os.getloadavg()[0]
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, load {load:.1f}; "
          f"bf16 instructions: {'yes' if fast_half else 'no, so bf16 is emulated and its rate no figure'}")  # fmt: skip
    header()
    rows = []
    for name in options.only:
        row = measure_safely(CATALOGUE[name], options.seconds, fast_half, not options.no_bf16)
        rows.append(row)
        print_row(row)
        gc.collect()
    missed = {row.model: row.shortfalls(fast_half, device) for row in rows}
    missed = {name: lines for name, lines in missed.items() if lines}
    for name, lines in missed.items():
        print(f"MISSED {name}: {'; '.join(lines)}")
    if options.json:
        told = {"device": device, "load": load, "bf16_instructions": fast_half, "missed": missed}
        options.json.write_text(json.dumps({**told, "models": [asdict(row) for row in rows]}, indent=2))
    return 1 if missed else 0


def measure_safely(model: ModelDescription, seconds: float, fast_half: bool, with_half: bool) -> Row:
    """Measure one model; what stops it becomes its problem, and the others go on."""
    row = Row(model.name, as_published=is_as_published(model), half=model.half)
    try:
        measure(model, row, seconds, fast_half, with_half)
    except Exception as error:
        row.problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return row


def measure(model: ModelDescription, row: Row, seconds: float, fast_half: bool, with_half: bool) -> None:
    """Fill in a row."""
    from imgvec_pg.embedding.measure import count_gflops, measure_forward, measure_rate

    paths = photo_paths()
    photos = [Image.open(path).convert("RGB") for path in paths]
    with tempfile.TemporaryDirectory(prefix="imgvec-models-") as folder:
        expected = reference_numbers(model.name, Path(folder), paths)
        weights = Path(folder) / f"{model.name.replace('/', '--')}.safetensors"
        embedder = load_embedder(model.name, weights=weights, precision="fp32")
        assert isinstance(embedder, TorchEmbedder)
        row.gflops = round(count_gflops(embedder), 1)
        row.image_cosine = lowest_cosine(embedder.embed_images(photos), expected["images"])
        if "texts" in expected:
            texts = json.loads((Path(folder) / "reference.json").read_text())["texts"]
            row.text_cosine = lowest_cosine(embedder.embed_texts(texts), expected["texts"])
        row.batch_size = 256 if embedder.device != "cpu" else max(1, min(16, int(200 / row.gflops)))
        # Taking turns, so that a busy moment does not hit only one of the two.
        rates = [
            (measure_rate(embedder, row.batch_size, seconds / 3).images_per_second,
             measure_forward(embedder, row.batch_size, seconds / 3).images_per_second)
            for _ in range(3)
        ]  # fmt: skip
        row.images_per_second = float(np.median([ours for ours, _ in rates]))
        row.forward_share = float(np.median([ours / bare for ours, bare in rates]))
        del embedder
        gc.collect()
        if with_half and (fast_half or row.gflops <= EMULATED_GFLOPS):
            half = load_embedder(model.name, weights=weights, precision=model.half)
            assert isinstance(half, TorchEmbedder)
            row.half_cosine = lowest_cosine(half.embed_images(photos), expected["images"])
            if fast_half:
                rate = measure_rate(half, row.batch_size, seconds)
                row.half_images_per_second = rate.images_per_second


def is_as_published(model: ModelDescription) -> bool:
    """Whether dimension, size and preprocessing are what the installed open_clip or timm publishes."""
    from dataclasses import replace

    from imgvec_pg.embedding.architectures import describe_open_clip_model

    if model.library == TIMM:
        return replace(model, facts=None) == describe_timm_model(model.name.removeprefix("timm/"))
    return replace(model, facts=None) == describe_open_clip_model(model.architecture, model.pretrained)


def reference_numbers(name: str, folder: Path, photos: Sequence[Path]) -> dict[str, Float32Array]:
    """Let a process without imgvec make seeded weights and embed the photographs."""
    script = ROOT / "tests" / "model" / "reference.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder), name, *map(str, photos)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-500:])
    with np.load(folder / f"{name.replace('/', '--')}.npz") as file:
        return dict(file)


def photo_paths() -> list[Path]:
    """Return scikit-image's photographs."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return [Path(spec.origin).parent / "data" / name for name in PHOTOS]


def cpu_name() -> str:
    """Return the CPU's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def header() -> None:
    """Print the table's first line."""
    print(f"{'model':<39}{'published':<10}{'GFLOP':>7} {'fp32 cosine':>12}{'texts':>10}{'half':>6}{'cosine':>9}"
          f"{'batch':>6}{'images/s':>10}{'of bare':>8}{'half/s':>9}")  # fmt: skip


def print_row(row: Row) -> None:
    """Print one model."""

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    print(f"{row.model:<39}{'yes' if row.as_published else 'NO':<10}{row.gflops:>7,.0f} {number(row.image_cosine, 7):>12}"
          f"{number(row.text_cosine, 7):>10}{row.half:>6}{number(row.half_cosine, 5):>9}{row.batch_size:>6}"
          f"{number(row.images_per_second, 1):>10}{number(row.forward_share, 2):>8}{number(row.half_images_per_second, 1):>9}"
          f"  {row.problem}", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
