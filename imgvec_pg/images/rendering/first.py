"""Rendering 1, as it was before there were versions: collections made then keep it, bit for bit."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB: no profile is heeded, transparent parts are laid over white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_scale(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    if image.mode == "RGB":
        # As Pillow's own methods make their results: converting would copy each pixel of most photographs once more.
        return image._new(image.im)
    return image.convert("RGB")


def _scale(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Bring whole numbers or fractions to 0 to 255; those beyond 16 bits, or above 1, by the largest there is."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    usual = (
        65535.0
        if values.max() > 1.0 and values.max() <= 65535.0 and np.all(values == np.floor(values))
        else 1.0
    )
    scaled = values.clip(min=0.0) * (255.0 / max(values.max(), usual))
    # A hair above, or the largest would fall short of 255.
    levels: npt.NDArray[np.uint8] = (scaled + 1e-6).astype(np.uint8)
    return levels
