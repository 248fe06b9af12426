# ruff: noqa: E402 - open_clip can be imported only after the remedy
"""Make seeded weights and write OpenCLIP's or timm's own numbers for them, in a process without imgvec_pg.

Usage: python reference.py FOLDER NAME[,NAME...] PHOTO...   (writes FOLDER/<stem>.npz and .safetensors, or into a folder)

NAME is architecture/tag (the tag whose preprocessing is used), timm/architecture.tag, or local-dir:FOLDER, a folder that
has its configuration and tokenizer and gets its weights. The stem is the name with -- instead of /.
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
        fan_in = parameter[0].numel() if parameter.ndim >= 2 else 1
        if fan_in > 1:
            parameter.data.normal_(0.0, 1.6 / fan_in**0.5, generator=generator)
        elif "logit" not in name:
            shift = 1.0 if name.endswith("weight") else 0.0
            parameter.data.normal_(shift, 0.1, generator=generator)


def settle_normalisations(encode: Any, model: torch.nn.Module, images: torch.Tensor) -> None:
    """Let batch normalisations learn their running sums from the photographs, else random layers overflow."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        encode(images)
    model.eval()


def open_clip_numbers(name: str, folder: Path, photos: list[str]) -> dict[str, Any]:
    """Return OpenCLIP's image and text features in the way its README computes them."""
    if name.startswith("local-dir:"):
        config = json.loads(Path(name.removeprefix("local-dir:"), "open_clip_config.json").read_text())
        with Unfilled():
            build = (
                open_clip.CustomTextCLIP if config["model_cfg"].pop("custom_text", False) else open_clip.CLIP
            )
            model = build(**config["model_cfg"]).eval()
        published, tokenizer = config["preprocess_cfg"], open_clip.get_tokenizer(name)
        weights = Path(name.removeprefix("local-dir:"), "open_clip_model.safetensors")
    else:
        architecture, tag = name.split("/")
        with Unfilled():
            model = open_clip.create_model(architecture, pretrained_text=False).eval()
        published = open_clip.get_pretrained_cfg(architecture, tag)
        needs_hub = "hf_tokenizer_name" in open_clip.get_model_config(architecture)["text_cfg"]
        tokenizer = None if needs_hub else open_clip.get_tokenizer(architecture)
        weights = folder / f"{stem(name)}.safetensors"
    seed_weights(model)
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
        settle_normalisations(model.encode_image, model, images)
        save_file(model.state_dict(), weights)
        features = {"images": model.encode_image(images, normalize=True).numpy()}
        if tokenizer is not None:
            tokens = tokenizer(list(TEXTS))
            features["tokens"] = tokens.numpy()
            features["texts"] = model.encode_text(tokens, normalize=True).numpy()
        features["logit_scale"] = model.logit_scale.exp().numpy()
    return features


def timm_numbers(name: str, folder: Path, photos: list[str]) -> dict[str, Any]:
    """Return timm's features in the way its model cards compute image embeddings, from weights with a classifier."""
    import timm

    own = name.removeprefix("timm/")
    with Unfilled():
        model = timm.create_model(own, pretrained=False).eval()
    seed_weights(model)
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.no_grad():
        images = torch.stack([transform(Image.open(photo).convert("RGB")) for photo in photos])
        settle_normalisations(model, model, images)
        save_file(model.state_dict(), folder / f"{stem(name)}.safetensors")
        model.reset_classifier(0)
        features = torch.nn.functional.normalize(model(images), dim=-1)
    return {"images": features.numpy()}


def stem(name: str) -> str:
    """Return what the files of a model are called."""
    return Path(name).name if name.startswith("local-dir:") else name.replace("/", "--")


def main(folder: Path, names: list[str], photos: list[str]) -> None:
    for name in names:
        numbers = timm_numbers if name.startswith("timm/") else open_clip_numbers
        np.savez(folder / f"{stem(name)}.npz", **numbers(name, folder, photos))
    (folder / "reference.json").write_text(json.dumps({"remedied": REMEDIED, "texts": TEXTS}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])
