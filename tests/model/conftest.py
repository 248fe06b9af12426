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
from tinymodel import write_tiny_model

from imgvec_pg.embedding.embedder import Float32Array

PHOTOS = ("astronaut.png", "coffee.png", "rocket.jpg")


@dataclass(frozen=True)
class Reference:
    """What a process that imports only open_clip wrote."""

    folder: Path
    texts: list[str]
    remedied: bool
    """Whether that process needed the torchvision remedy."""

    def weights(self, architecture: str) -> Path:
        """Return the seeded weights of an architecture."""
        return self.folder / f"{architecture}.safetensors"

    def numbers(self, architecture: str) -> dict[str, Float32Array]:
        """Return OpenCLIP's `images`, `texts` and `logit_scale`."""
        with np.load(self.folder / f"{architecture}.npz") as file:
            return dict(file)


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


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    script = Path(__file__).with_name("reference.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *map(str, photo_paths)],
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
