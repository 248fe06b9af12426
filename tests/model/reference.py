# ruff: noqa: E402 - open_clip can be imported only after the remedy
"""Make seeded weights and write OpenCLIP's own numbers for them, in a process without imgvec_pg.

Usage: python reference.py FOLDER PHOTO...   (writes FOLDER/<architecture>.npz and .safetensors)
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

REMEDIED = False
try:
    import torchvision  # noqa: F401
except RuntimeError as error:  # PyPI's torchvision beside a CPU-only torch, pytorch/vision issue 9085
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    REMEDIED = True
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import numpy as np
import open_clip
from PIL import Image
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

# architecture, the tag whose preprocessing is used
CASES = (
    ("ViT-B-32-quickgelu", "openai"),
    ("PE-Core-T-16-384", "meta"),
)
TEXTS = (
    "a photo of an astronaut",
    "A cup of COFFEE on a saucer!",
    "a cat",
    "un café très chaud &amp; noir",
    "word " * 120,
)


class Unfilled(TorchFunctionMode):
    """Leaves out the slow random start, which is overwritten anyway."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        fills = func in {torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_}
        return args[0] if fills else func(*args, **(kwargs or {}))


def seed_weights(model: torch.nn.Module) -> None:
    """Fill a model so that embeddings differ from picture to picture, as a fresh model's hardly do."""
    generator = torch.Generator().manual_seed(20240229)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            fan_in = parameter[0].numel()
            parameter.data.normal_(0.0, 1.6 / fan_in**0.5, generator=generator)
        elif "logit" not in name:
            shift = 1.0 if name.endswith("weight") else 0.0
            parameter.data.normal_(shift, 0.1, generator=generator)


def embed(model: Any, architecture: str, tag: str, photos: list[str]) -> dict[str, Any]:
    """Return OpenCLIP's image and text features in the way its README computes them."""
    published = open_clip.get_pretrained_cfg(architecture, tag)
    transform = open_clip.image_transform(
        model.visual.image_size,
        is_train=False,
        mean=published["mean"],
        std=published["std"],
        interpolation=published["interpolation"],
        resize_mode=published["resize_mode"],
    )
    with torch.no_grad():
        images = torch.stack([transform(Image.open(photo).convert("RGB")) for photo in photos])
        features = {"images": model.encode_image(images, normalize=True).numpy()}
        tokens = open_clip.get_tokenizer(architecture)(list(TEXTS))
        features["texts"] = model.encode_text(tokens, normalize=True).numpy()
        features["logit_scale"] = model.logit_scale.exp().numpy()
    return features


def main(folder: Path, photos: list[str]) -> None:
    for architecture, tag in CASES:
        with Unfilled():
            model = open_clip.create_model(architecture, pretrained_text=False).eval()
        seed_weights(model)
        save_file(model.state_dict(), folder / f"{architecture}.safetensors")
        features = embed(model, architecture, tag, photos)
        np.savez(folder / f"{architecture}.npz", **features)
    (folder / "reference.json").write_text(json.dumps({"remedied": REMEDIED, "texts": TEXTS}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
