"""OpenCLIP's own vectors for a list of pictures; imports nothing of imgvec_pg.

Usage: reference.py FOLDER ARCHITECTURE LIST OUTPUT.npy

Writes a model folder with seeded weights, reads it as OpenCLIP does and embeds the files named in LIST, one a line.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import torch

try:
    import torchvision
except RuntimeError as error:
    # PyPI's torchvision beside a CPU-only torch (pytorch/vision #9085).
    if "nms does not exist" not in str(error):
        raise
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

import open_clip
from PIL import Image, ImageCms
from safetensors.torch import save_file


def seed(folder: Path, architecture: str) -> None:
    """Write a model folder as OpenCLIP's hub has them, the weights drawn from a fixed seed."""
    torch.manual_seed(20_26)
    model = open_clip.create_model(architecture)
    folder.mkdir(parents=True)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    config = {
        "model_cfg": open_clip.get_model_config(architecture),
        "preprocess_cfg": {
            "mean": list(open_clip.OPENAI_DATASET_MEAN),
            "std": list(open_clip.OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert a picture to sRGB by its profile, as a viewer does; OpenCLIP itself leaves profiles out of account."""
    profile = image.info.get("icc_profile")
    if profile is None:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image.convert("RGB"),
            io.BytesIO(profile),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:
        # A grey picture's profile, kept when the alterations made its pixels RGB.
        return image.convert("RGB")
    assert converted is not None
    return converted


def embed(folder: Path, names: Path, output: Path) -> None:
    """Embed pictures with OpenCLIP's own model and transform, one at a time, and save unit vectors."""
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    vectors = []
    with torch.inference_mode():
        for name in names.read_text().splitlines():
            with Image.open(name) as image:
                vectors.append(model.encode_image(transform(in_srgb(image))[None])[0])
    stacked = torch.stack(vectors).float()
    np.save(output, torch.nn.functional.normalize(stacked, dim=1).numpy())


if __name__ == "__main__":
    model_folder, architecture_name, list_of_names, output_file = sys.argv[1:]
    seed(Path(model_folder), architecture_name)
    embed(Path(model_folder), Path(list_of_names), Path(output_file))
