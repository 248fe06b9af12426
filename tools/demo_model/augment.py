"""Batched changes to training pictures, in torch: position, size, background, colour, blur and noise."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

CACHE_SIZE = 96
IMAGE_SIZE = 64
# Chosen near the pictures' own statistics: mostly white.
MEAN = (0.78, 0.74, 0.70)
STD = (0.32, 0.32, 0.36)
_MARK = (255, 0, 254)
BoolImage = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def cache_pictures(images: list[Image.Image], backgrounds: list[BoolImage], size: int = CACHE_SIZE) -> Tensor:
    """Scale pictures once: shape (n, 4, size, size), uint8, the fourth channel 0 on the white background."""
    return torch.stack([_with_mask(*both, size) for both in zip(images, backgrounds, strict=True)])


def find_background(image: Image.Image) -> BoolImage:
    """Mark the white that touches the corners: shape (height, width)."""
    flooded = image.copy()
    for corner in ((0, 0), (0, image.height - 1), (image.width - 1, 0), (image.width - 1, image.height - 1)):
        if min(image.getpixel(corner)) > 235:  # type: ignore[arg-type]
            ImageDraw.floodfill(flooded, corner, _MARK, thresh=24)
    return np.asarray((np.asarray(flooded) == _MARK).all(axis=2))


def _with_mask(image: Image.Image, background: BoolImage, size: int) -> Tensor:
    mask = Image.fromarray(np.where(background, 0, 255).astype(np.uint8))
    both = [np.asarray(i.resize((size, size), Image.Resampling.BICUBIC)) for i in (image, mask)]
    return torch.from_numpy(np.concatenate([both[0], both[1][:, :, None]], axis=2)).permute(2, 0, 1)


def normalise(images: Tensor) -> Tensor:
    """Apply the model's mean and standard deviation to images in 0..1."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (images - mean) / std


def plain(cached: Tensor) -> Tensor:
    """Scale cached pictures to the model's size without any change: shape (n, 3, 64, 64), normalised."""
    return normalise(_scale(cached[:, :3].float() / 255, IMAGE_SIZE))


def augment(cached: Tensor, may_flip: Tensor, generator: torch.Generator, size: int = IMAGE_SIZE) -> Tensor:
    """Change every cached picture at random; about one in six stays as it is.

    Args:
        cached: Shape (n, 4, size, size), uint8.
        may_flip: Shape (n,), bool: pictures that mean the same in a mirror.
        generator: All randomness comes from here.
        size: Edge of the result in pixels.

    Returns:
        Shape (n, 3, size, size), float32, normalised.
    """
    count = len(cached)
    source = functional.interpolate(
        cached.float() / 255, scale_factor=1.5 * size / cached.shape[2], mode="bilinear", antialias=True
    )
    moved = functional.grid_sample(
        torch.cat([1 - source[:, :3], source[:, 3:]], dim=1),
        functional.affine_grid(
            _placements(count, may_flip, generator), [count, 4, size, size], align_corners=False
        ),
        align_corners=False,
    )
    color, mask = 1 - moved[:, :3], moved[:, 3:]
    changed = _recolor(color, generator) * mask + _backgrounds(count, size, generator) * (1 - mask)
    on_white = _uniform(generator, count, 1, 1, 1) < 0.5
    changed = torch.where(on_white, _recolor(color, generator), changed)
    changed = _degrade(changed, generator).clamp(0, 1)
    untouched = _uniform(generator, count, 1, 1, 1) < 0.16
    return normalise(torch.where(untouched, _scale(source[:, :3], size), changed))


def _scale(images: Tensor, size: int) -> Tensor:
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(*shape, generator=generator) * (high - low) + low


def _placements(count: int, may_flip: Tensor, generator: torch.Generator) -> Tensor:
    """Draw zoom, aspect, turn, mirror and shift: shape (count, 2, 3). Zoom below 1 crops."""
    zoom = _uniform(generator, count, low=0.72, high=1.25)
    aspect = _uniform(generator, count, low=0.92, high=1.08)
    turn = torch.randn(count, generator=generator) * 0.1
    mirror = torch.where(may_flip & (_uniform(generator, count) < 0.4), -1.0, 1.0)
    theta = torch.empty(count, 2, 3)
    theta[:, 0, 0] = zoom * aspect * mirror * turn.cos()
    theta[:, 0, 1] = -zoom * turn.sin()
    theta[:, 1, 0] = zoom * mirror * turn.sin()
    theta[:, 1, 1] = zoom / aspect * turn.cos()
    theta[:, :, 2] = _uniform(generator, count, 2, low=-0.13, high=0.13)
    return theta


def _recolor(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and the balance of colours a little."""
    count = len(images)
    balance = _uniform(generator, count, 3, 1, 1, low=0.92, high=1.08)
    brightness = _uniform(generator, count, 1, 1, 1, low=0.85, high=1.12)
    contrast = _uniform(generator, count, 1, 1, 1, low=0.75, high=1.2)
    saturation = _uniform(generator, count, 1, 1, 1, low=0.65, high=1.3)
    grey = images.mean(dim=1, keepdim=True)
    colored = grey + (images - grey) * saturation
    return ((colored - 0.7) * contrast + 0.7) * brightness * balance


def _backgrounds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw plain colours and gradients: shape (count, 3, size, size)."""
    first, second = (_uniform(generator, count, 3, 1, 1) ** 0.6 for _ in range(2))
    direction = _uniform(generator, count, 2, 1, 1, low=-1)
    axis = torch.linspace(-0.5, 0.5, size)
    slope = direction[:, :1] * axis.view(1, 1, -1, 1) + direction[:, 1:] * axis.view(1, 1, 1, -1)
    share = (0.5 + slope) * (_uniform(generator, count, 1, 1, 1) < 0.5)
    return first * (1 - share) + second * share


def _degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur some, coarsen some as recompression does, add noise to some."""
    count = len(images)
    choice = _uniform(generator, count, 1, 1, 1)
    blurred = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    coarse = functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")
    images = torch.where(choice < 0.15, blurred, torch.where(choice > 0.9, coarse, images))
    noise = torch.randn(images.shape, generator=generator) * _uniform(generator, count, 1, 1, 1, high=0.05)
    noisy = _uniform(generator, count, 1, 1, 1) < 0.3
    return torch.where(noisy, images + noise, images)
