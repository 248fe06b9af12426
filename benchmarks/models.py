"""The catalogue's models with seeded weights: as published, exact against OpenCLIP and timm, images/s in fp32 and bf16.

Usage: python benchmarks/models.py [--only NAME …] [--minutes 10] [--model-minutes 3] [--seconds 3] [--no-half] [--json FILE]
[--out FILE]. Runs unattended: each model in a process of its own, which may take --model-minutes and is ended then, all of them
--minutes; models that the targets name come first, then the cheap ones. What one process dies of is its line's remark. With the
whole catalogue the table is written to benchmarks/results/models.txt, line by line; --out names another file.

Exit code 1 when a target falls short, or a model could not be measured: cosine to the library's own numbers at least 0.9999 in
fp32 and 0.999 in half precision; 0.95 of the bare network's rate; 1.5 times fp32 in bf16 where the CPU has bf16 instructions; on
an H100 2,400 images/s of ViT-L/14, 30,000 of ViT-B/32, 600 of SO400M-384.

The reference numbers come from a process that imports only open_clip or timm (tests/embedding/reference.py). ViT-H takes 8 GB of
memory and 4 GB of temporary disk. A figure that this machine cannot give is "-", and no target.
"""

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imgvec_pg.embedding.catalog import CATALOGUE
from imgvec_pg.embedding.description import TIMM, ModelDescription
from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.golden import lowest_cosine
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.timm_names import describe_timm_model
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "models.txt"
PHOTOS = ("astronaut.png", "coffee.png", "rocket.jpg")
FP32_COSINE, HALF_COSINE, FORWARD_SHARE, BF16_GAIN = 0.9999, 0.999, 0.95, 1.5
ON_H100 = {
    "ViT-L-14/laion2b_s32b_b82k": 2400,
    "ViT-L-14-quickgelu/openai": 2400,
    "ViT-B-32/laion2b_s34b_b79k": 30_000,
    "ViT-SO400M-14-SigLIP-384/webli": 600,
}
FIRST = ("ViT-B-32/laion2b_s34b_b79k", *ON_H100, "ViT-H-14/laion2b_s32b_b79k")
# Half precision is slow where the CPU only emulates it: one picture of a large model takes minutes.
EMULATED_GFLOPS = 20.0
LARGE_GFLOPS = 250.0
"""From here on one photograph and two turns must do on a CPU."""


@dataclass
class Row:
    """What was measured of one model; None where this machine cannot tell."""

    model: str
    as_published: bool | None
    gflops: float | None = None
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
        found = ["not as published"] if self.as_published is False else []
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
    parser.add_argument("--only", nargs="+", choices=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all of them")
    parser.add_argument("--model-minutes", type=float, default=3.0, help="for each")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--no-half", action="store_true", help="leave half precision out")
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)  # one model, in a process of its own
    options = parser.parse_args()
    if options.row is not None:
        measure_here(CATALOGUE[options.only[0]], options.row, options.seconds, not options.no_half)
        return 0
    out = options.out or (None if options.only else RESULTS)
    table = Table(out)
    device, fast_half, machine = describe_machine()
    told = shlex.join(["python", "benchmarks/models.py", *sys.argv[1:]])
    table.print(f"{told}, {time.strftime('%Y-%m-%d')}\n{machine}")
    table.print(bf16_line(device, fast_half))
    table.print(header())
    ends = time.monotonic() + 60 * options.minutes
    rows = []
    for name in options.only or in_order():
        left = min(60 * options.model_minutes, ends - time.monotonic())
        row = measure_apart(name, left, options.seconds, options.no_half)
        rows.append(row)
        table.print(row_line(row))
    missed = {row.model: row.shortfalls(fast_half, device) for row in rows}
    missed = {name: lines for name, lines in missed.items() if lines}
    for name, lines in missed.items():
        table.print(f"MISSED {name}: {'; '.join(lines)}")
    table.print(
        f"load at the end {os.getloadavg()[0]:.1f}; {len(rows) - len(missed)} of {len(rows)} models meet all targets"
    )
    if options.json:
        facts = {"device": device, "machine": machine, "bf16_instructions": fast_half, "missed": missed}
        options.json.write_text(json.dumps({**facts, "models": [asdict(row) for row in rows]}, indent=2))
    return 1 if missed else 0


class Table:
    """Prints lines, and writes them to a file as they come, so that a run that is cut short leaves what it measured."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        if file is not None:
            file.write_text("")

    def print(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(f"{line.rstrip()}\n")


def in_order() -> list[str]:
    """Return the catalogue: what the targets name, then the cheapest first."""
    first = list(dict.fromkeys(FIRST))
    rest = [model for model in CATALOGUE.values() if model.name not in first]
    return first + [model.name for model in sorted(rest, key=gflops_of)]


def gflops_of(model: ModelDescription) -> float:
    """Return what the catalogue says of an image's work."""
    return model.facts.gflops if model.facts is not None else 0.0


def describe_machine() -> tuple[str, bool, str]:
    """Return the device, whether it has instructions for half precision, and a line about both."""
    import torch

    from imgvec_pg.embedding.runtime import cpu_has_bf16

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    fast_half = torch.cuda.is_available() or cpu_has_bf16()
    line = f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    return device, fast_half, line


def bf16_line(device: str, fast_half: bool) -> str:
    """Say whether bf16 is timed here, and why not."""
    if fast_half:
        return f"half precision: {device} has instructions for it; bf16 at least {BF16_GAIN} times fp32 is a target on a CPU"
    return (
        f"half precision: rates NOT MEASURED: {device} has neither AVX512-BF16 nor AMX, so torch emulates bf16 and fp16, "
        f"slower than fp32; the target of {BF16_GAIN} times fp32 stays open. "
        f"Its cosines are measured up to {EMULATED_GFLOPS:.0f} GFLOP an image"
    )


def measure_apart(name: str, limit_seconds: float, seconds: float, no_half: bool) -> Row:
    """Measure one model in a process of its own, ended after the limit; what stops it becomes its problem."""
    if limit_seconds < 5:
        return Row(
            name, as_published=None, half=CATALOGUE[name].half, problem="not measured: --minutes are over"
        )
    with tempfile.TemporaryDirectory(prefix="imgvec-models-") as folder:
        file = Path(folder) / "row.json"
        command = [sys.executable, __file__, "--only", name, "--row", str(file), "--seconds", str(seconds)]
        # A session of its own, so that the reference's process ends with it; TMPDIR, so that nothing of it stays.
        child = subprocess.Popen(
            [*command, *(["--no-half"] if no_half else [])],
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        problem = ""
        try:
            _, errors = child.communicate(timeout=limit_seconds)
            if child.returncode < 0:
                problem = f"killed by {signal.Signals(-child.returncode).name}: out of memory?"
            elif child.returncode:
                problem = (errors.strip().splitlines() or ["it ended without a word"])[-1][:200]
        except subprocess.TimeoutExpired:
            problem = f"stopped after {limit_seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        row = Row(name, as_published=None, half=CATALOGUE[name].half)
        if file.is_file():
            row = Row(**json.loads(file.read_text()))
        row.problem = "; ".join(filter(None, [row.problem, problem]))
        return row


def measure_here(model: ModelDescription, file: Path, seconds: float, with_half: bool) -> None:
    """Measure one model and write its row anew after each step."""
    row = Row(model.name, as_published=is_as_published(model), half=model.half)

    def note() -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(row)))
        partial.replace(file)

    note()
    try:
        measure(model, row, note, seconds, with_half)
    except Exception as error:
        row.problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    note()


def measure(
    model: ModelDescription, row: Row, note: Callable[[], None], seconds: float, with_half: bool
) -> None:
    """Fill in a row."""
    import torch

    from imgvec_pg.embedding.runtime import cpu_has_bf16
    from imgvec_pg.embedding.torch_models.throughput import count_gflops, measure_turns

    fast_half = torch.cuda.is_available() or cpu_has_bf16()
    is_large = gflops_of(model) > LARGE_GFLOPS and not torch.cuda.is_available()
    paths = photo_paths()[: 1 if is_large else None]
    photos = [Image.open(path).convert("RGB") for path in paths]
    with tempfile.TemporaryDirectory(prefix="imgvec-models-") as folder:
        expected = reference_numbers(model.name, Path(folder), paths)
        weights = Path(folder) / f"{model.name.replace('/', '--')}.safetensors"
        embedder = load_embedder(model.name, weights=weights, precision="fp32")
        assert isinstance(embedder, TorchEmbedder)
        row.image_cosine = lowest_cosine(embedder.embed_images(photos), expected["images"])
        note()
        if "texts" in expected:
            texts = json.loads((Path(folder) / "reference.json").read_text())["texts"]
            row.text_cosine = lowest_cosine(embedder.embed_texts(texts), expected["texts"])
            note()
        row.batch_size = 256 if embedder.device != "cpu" else max(1, min(16, int(200 / gflops_of(model))))
        rate, row.forward_share = measure_turns(embedder, row.batch_size, seconds, 2 if is_large else 3)
        row.images_per_second = rate.images_per_second
        note()
        row.gflops = round(count_gflops(embedder), 1)
        note()
        del embedder
        gc.collect()
        if with_half and (fast_half or row.gflops <= EMULATED_GFLOPS):
            half = load_embedder(model.name, weights=weights, precision=model.half)
            assert isinstance(half, TorchEmbedder)
            row.half_cosine = lowest_cosine(half.embed_images(photos), expected["images"])
            note()
            if fast_half:
                rate, _ = measure_turns(half, row.batch_size, seconds, 3)
                row.half_images_per_second = rate.images_per_second


def is_as_published(model: ModelDescription) -> bool:
    """Whether dimension, size and preprocessing are what the installed open_clip or timm publishes."""
    from dataclasses import replace

    from imgvec_pg.embedding.openclip_names import describe_open_clip_model

    if model.library == TIMM:
        return replace(model, facts=None) == describe_timm_model(model.name.removeprefix("timm/"))
    return replace(model, facts=None) == describe_open_clip_model(model.architecture, model.pretrained)


def reference_numbers(name: str, folder: Path, photos: Sequence[Path]) -> dict[str, Float32Array]:
    """Let a process without imgvec make seeded weights and embed the photographs."""
    script = ROOT / "tests" / "embedding" / "reference.py"
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


def header() -> str:
    """Return the table's first line."""
    return (f"{'model':<39}{'published':<10}{'GFLOP':>7} {'fp32 cosine':>12}{'texts':>10}{'half':>6}{'cosine':>9}"
            f"{'batch':>6}{'images/s':>10}{'of bare':>8}{'half/s':>9}")  # fmt: skip


def row_line(row: Row) -> str:
    """Return one model's line."""

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    published = {True: "yes", False: "NO", None: "-"}[row.as_published]
    return (f"{row.model:<39}{published:<10}{number(row.gflops, 1):>7} {number(row.image_cosine, 7):>12}"
            f"{number(row.text_cosine, 7):>10}{row.half:>6}{number(row.half_cosine, 5):>9}{row.batch_size or '-':>6}"
            f"{number(row.images_per_second, 1):>10}{number(row.forward_share, 2):>8}{number(row.half_images_per_second, 1):>9}"
            f"  {row.problem}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
