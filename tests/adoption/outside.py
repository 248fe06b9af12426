"""Make vectors as a script of somebody else's does, with open_clip alone and in a process without imgvec_pg.

Usage: python outside.py MODEL_FOLDER PICTURES OUT.npz [right]

PICTURES is a folder of JPEG files, taken in the order of their names.

Writes three arrays of shape (n, dimensions), float32: `right`, `plain` (GELU where the weights want QuickGELU) and `other_mean`
(another mean and std than the weights want), none of them normalised.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:  # PyPI's torchvision beside a CPU-only torch, pytorch/vision issue 9085
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import numpy as np
import open_clip
from PIL import Image

BATCH = 64
OTHER_MEAN = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


def embed(network: Any, preprocess: Any, paths: list[Path]) -> Any:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            pictures = []
            for path in paths[start : start + BATCH]:
                with Image.open(path) as image:
                    pictures.append(preprocess(image))
            parts.append(network.encode_image(torch.stack(pictures)).float().numpy())
    return np.concatenate(parts)


def load(folder: Path, **changes: Any) -> tuple[Any, Any]:
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}", **changes)
    return network.eval(), preprocess


def main() -> None:
    folder, pictures, out = map(Path, sys.argv[1:4])
    paths = sorted(pictures.iterdir())
    torch.set_num_threads(2)
    if sys.argv[4:] == ["right"]:
        np.savez(out, right=embed(*load(folder), paths))
        return
    with tempfile.TemporaryDirectory() as temporary:
        # What "ViT-B-32" instead of "ViT-B-32-quickgelu" does.
        plain = Path(temporary) / "plain"
        shutil.copytree(folder, plain)
        config = json.loads((plain / "open_clip_config.json").read_text())
        config["model_cfg"]["quick_gelu"] = False
        (plain / "open_clip_config.json").write_text(json.dumps(config))
        made = {
            "right": embed(*load(folder), paths),
            "plain": embed(*load(plain), paths),
            "other_mean": embed(*load(folder, **OTHER_MEAN), paths),
        }
    np.savez(out, **made)


if __name__ == "__main__":
    main()
