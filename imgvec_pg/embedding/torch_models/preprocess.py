"""Preprocess images for a network: 8 bits a channel up to the device, normalised there.

That is a quarter of the bytes to keep, to copy and to send; the arithmetic is the same as on the CPU, to the bit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from imgvec_pg.embedding import resize as first
from imgvec_pg.errors import ModelError

Resize = Callable[[Image], Image]


def split_transform(name: str, transform: Any) -> tuple[Resize, Sequence[float], Sequence[float]]:  # noqa: ANN401
    """Take OpenCLIP's or timm's own transform apart: what it does to the picture, then mean and std.

    Raises:
        ModelError: It does not end in the conversion to a tensor and its normalisation.
    """
    *resizing, to_tensor, normalise = transform.transforms
    kinds = (type(to_tensor).__name__, type(normalise).__name__)
    if kinds[0] not in {"ToTensor", "MaybeToTensor"} or kinds[1] != "Normalize":
        raise ModelError(
            f"the preprocessing of {name} ends in {' and '.join(kinds)}; expected ToTensor and Normalize: "
            "this release of open_clip or timm is unknown to imgvec, see constraints.txt"
        )

    def resize(image: Image) -> Image:
        for step in resizing:
            image = step(image)
        return image

    return resize, _floats(normalise.mean), _floats(normalise.std)


def shorter_side_resize(transform: Any) -> first.Resize | None:  # noqa: ANN401 - timm's own
    """Return the resize of the shorter side that a transform begins with, None where it begins otherwise.

    The transform finds nothing left to resize, and crops.
    """
    step = transform.transforms[0]
    size = getattr(step, "size", None)
    size = size[0] if isinstance(size, list | tuple) and len(size) == 1 else size
    resampling = first.RESAMPLING.get(getattr(getattr(step, "interpolation", None), "value", ""))
    if type(step).__name__ != "Resize" or not isinstance(size, int) or step.max_size or resampling is None:
        return None
    return first.Resize(size, size, keeps_aspect=True, resampling=int(resampling))


def _floats(values: Any) -> list[float]:  # noqa: ANN401 - a tensor or a sequence
    return [float(value) for value in values]


def pixels_of(image: Image) -> torch.Tensor:
    """Return an RGB picture as a tensor of shape (height, width, 3), uint8."""
    return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.uint8))


class DeviceInput:
    """Makes one batch on the device from prepared pictures."""

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        device: str,
        dtype: torch.dtype,
        *,
        channels_last: bool = False,
    ) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._device = torch.device(device)
        self._dtype = dtype
        self._is_pinned = self._device.type == "cuda"
        self._mean = torch.tensor(mean, dtype=torch.float32, device=self._device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32, device=self._device).view(1, -1, 1, 1)

    def batch(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return shape (n, 3, height, width) in the network's type, normalised.

        The copy to a GPU starts from pinned memory and does not wait.
        """
        first = prepared[0]
        stacked = torch.empty((len(prepared), *first.shape), dtype=first.dtype, pin_memory=self._is_pinned)
        torch.stack(list(prepared), out=stacked)
        return self.normalise(stacked.to(self._device, non_blocking=self._is_pinned))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return uint8 pixels (n, height, width, 3) as the network's input, in float32 until the last step."""
        # ToTensor's and Normalize's own order of steps, so that the numbers are theirs.
        values = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=self._memory_format)
        return values.div_(255).sub_(self._mean).div_(self._std).to(self._dtype)
