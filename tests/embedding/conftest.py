"""Seeded weights, photographs, and OpenCLIP's own numbers for them."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tinymodel import write_tiny_model, write_tiny_siglip

from imgvec_pg.embedding.embedder import Float32Array

PHOTOS = ("astronaut.png", "coffee.png", "rocket.jpg")


@dataclass(frozen=True)
class Reference:
    """What a process that imports only open_clip wrote."""

    folder: Path
    texts: list[str]
    remedied: bool
    """Whether that process needed the torchvision remedy."""

    def weights(self, name: str) -> Path | None:
        """Return the seeded weights of a model, None where they are in its folder."""
        return None if name.startswith("local-dir:") else self.folder / f"{self.stem(name)}.safetensors"

    def numbers(self, name: str) -> dict[str, Float32Array]:
        """Return OpenCLIP's `images`, `texts`, `tokens` and `logit_scale`, or timm's `images`."""
        with np.load(self.folder / f"{self.stem(name)}.npz") as file:
            return dict(file)

    @staticmethod
    def stem(name: str) -> str:
        """Return what reference.py calls a model's files."""
        return Path(name).name if name.startswith("local-dir:") else name.replace("/", "--")


@pytest.fixture(scope="session")
def photo_paths() -> list[Path]:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return [Path(spec.origin).parent / "data" / name for name in PHOTOS]


@pytest.fixture(scope="session")
def photos(photo_paths: list[Path]) -> list[Image.Image]:
    opened = []
    for path in photo_paths:
        with Image.open(path) as image:
            opened.append(image.convert("RGB"))
    return opened


# OpenCLIP's own tower with OpenAI's activation, mean and standard deviation; a timm tower with others, whose images are
# squashed; a convolutional one with an uncausal text tower; timm's own models. Larger ones: benchmarks/models.py.
PUBLISHED = (
    "ViT-B-32-quickgelu/openai",
    "PE-Core-T-16-384/meta",
    "MobileCLIP2-S0/dfndr2b",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "timm/vit_small_patch16_dinov3.lvd1689m",
    "timm/efficientnet_b0.ra_in1k",
)


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the name of a tiny SigLIP: its kind of towers, and a SentencePiece tokenizer trained here."""
    return f"local-dir:{write_tiny_siglip(tmp_path_factory.mktemp('models') / 'tiny-siglip')}"


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path], siglip: str) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    script = Path(__file__).with_name("reference.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), ",".join((*PUBLISHED, siglip)), *map(str, photo_paths)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # two threads wait for each other on a busy machine
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "reference.json").read_text())
    return Reference(folder=folder, texts=told["texts"], remedied=told["remedied"])


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """Give a folder with a tiny CLIP of seeded weights, the same each time, which the test may spoil."""
    return write_tiny_model(tmp_path / "tiny")
