"""A model whose activation matters as that of real weights does, pictures, and vectors that open_clip alone made of them."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lean_processes import without_transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tinymodel import write_tiny_model

from imgvec_pg.embedding.local_dir import CONFIG_NAME
from imgvec_pg.embedding.weights import FOLDER_WEIGHTS

ROWS = 300
"""Pictures of the tests' own fixture."""
SCRIPT = Path(__file__).parents[1] / "adoption" / "outside.py"
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outside:
    """What somebody else has: pictures and vectors; and the model that made them."""

    folder: Path
    photos: list[bytes]
    vectors: dict[str, Float32Array]

    @property
    def model(self) -> str:
        return f"local-dir:{self.folder}"


def write_quickgelu_model(
    folder: Path, write: Callable[..., Path] = write_tiny_model, *, seed: int = 3, **vision: Any
) -> Path:
    """Write a small CLIP with QuickGELU, whose pictures differ and for which plain GELU gives a cosine of about 0.98.

    Args:
        write: tinymodel.write_tiny_model.
        vision: Further settings of vision_cfg.
    """

    def change(config: dict[str, Any]) -> None:
        config["model_cfg"]["quick_gelu"] = True
        config["model_cfg"]["vision_cfg"] |= {"layers": 4, **vision}

    write(folder, seed=seed, change=change)
    weights = load_file(folder / FOLDER_WEIGHTS[0])
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in weights.items():
        if not name.startswith("visual"):
            continue
        if tensor.ndim >= 2:
            weights[name] = torch.randn(tensor.shape, generator=generator) * 1.6 / tensor[0].numel() ** 0.5
        if name == "visual.proj":
            weights[name] = torch.randn(tensor.shape, generator=generator)
        # Around -2 the two activations differ most in proportion to what they give.
        if "c_fc.weight" in name:
            weights[name] *= 0.1
        if "c_fc.bias" in name:
            tensor[:] = -2.0
        if "c_proj.weight" in name:
            weights[name] *= 8.0
    save_file(weights, folder / FOLDER_WEIGHTS[0])
    assert (folder / CONFIG_NAME).is_file()
    return folder


def random_photo(random: np.random.Generator) -> bytes:
    """Return a JPEG of soft random colours, 120 x 90."""
    small = random.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(small).resize((120, 90), Image.Resampling.BICUBIC).save(written, "JPEG", quality=90)
    return written.getvalue()


def write_photos(folder: Path, count: int, seed: int = 1) -> list[bytes]:
    """Write JPEG files named 000001.jpg, 000002.jpg, … and return their bytes."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    photos = [random_photo(random) for _ in range(count)]
    for number, data in enumerate(photos, 1):
        (folder / f"{number:06}.jpg").write_bytes(data)
    return photos


def embed_outside(model: Path, photos: Path, out: Path, only: str = "") -> dict[str, Float32Array]:
    """Return what open_clip gives in a process of its own: `right`, `plain`, `other_mean`, or only one of them."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(model), str(photos), str(out), *([only] if only else [])],
        env=without_transformers(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as file:
        return dict(file)
