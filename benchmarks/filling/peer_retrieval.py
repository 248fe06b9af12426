"""Row 2: clip-retrieval 2.45.0's own inference, which lives in an environment of its own."""

import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from filling.against_loop import PICTURES, VIT, compared, filled, lowest_cosine
from filling.result import Result
from filling.setting import Setting, ShortError, write_pictures

REQUIREMENTS = ("clip-retrieval==2.45.0", "setuptools<81", "torch==2.13.0", "torchvision==0.28.0")
"""It imports pkg_resources, which setuptools 81 no longer has."""
INSIDE = """
import json, logging, sys
from pathlib import Path
import torch
try:
    import torchvision
except RuntimeError as error:  # PyPI's torchvision beside a CPU-only torch (pytorch/vision #9085)
    if "nms does not exist" not in str(error):
        raise
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from clip_retrieval import clip_inference
logging.disable(logging.INFO)
pictures, weights, out, batch = sys.argv[1:5]
clip_inference(
    input_dataset=pictures, output_folder=out, input_format="files", batch_size=int(batch), num_prepro_workers=2,
    enable_text=False, enable_image=True, enable_metadata=False, write_batch_size=100000,
    clip_model=f"open_clip:ViT-B-32/{weights}")
"""
BATCH = 32


def install(environment: Path) -> Path:
    """Return the Python of an environment with clip-retrieval, made now where it is not (2 GB, some minutes, no device).

    Raises:
        ShortError: It cannot be installed here.
    """
    python = environment / "bin" / "python"
    installed = environment / ".installed"
    if installed.exists():
        return python
    venv.create(environment, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ShortError(f"clip-retrieval cannot be installed: {done.stderr.strip()[-300:]}")
    installed.touch()
    return python


def clip_retrieval(setting: Setting) -> Iterator[Result]:
    """Row 2: images/s of whole processes; ours also commits and indexes, theirs writes .npy."""
    what = "clip-retrieval 2.45's own inference"
    if setting.clip_retrieval is None:
        yield Result.missing(2, what, "no environment of its own: --clip-retrieval DIR makes one")
        return
    python = install(setting.clip_retrieval)
    count = PICTURES
    folder = setting.folder / "pictures-1600"
    names = write_pictures(folder, count, 1600, 1200)
    weights = setting.weights(VIT)
    out = setting.folder / "clip-retrieval"
    theirs = setting.run(["-c", INSIDE, folder, weights, out, BATCH], python=python)
    vectors = ordered_vectors(out, names)
    for precision, target in (("fp32", 1.8), ("auto", 3.0)):
        _, ours, dsn = filled(setting, VIT, folder, names, precision)
        yield compared(2, what, count, precision, target, theirs, ours, lowest_cosine(dsn, vectors))


def ordered_vectors(out: Path, names: list[str]) -> Path:
    """Put what it wrote into the order of the names, and return the file."""
    import pyarrow.parquet as parquet

    parts = sorted((out / "img_emb").glob("img_emb_*.npy"))
    vectors = np.concatenate([np.load(part) for part in parts]).astype(np.float32)
    paths = [
        Path(path).name
        for part in sorted((out / "metadata").glob("metadata_*.parquet"))
        for path in parquet.read_table(part).column("image_path").to_pylist()
    ]
    if sorted(paths) != names:
        raise ShortError(f"clip-retrieval embedded {len(paths)} pictures, {len(names)} expected")
    order = np.argsort(paths)
    vectors = vectors[order] / np.linalg.norm(vectors[order], axis=1, keepdims=True)
    file = out / "ordered.npy"
    np.save(file, vectors)
    return file
