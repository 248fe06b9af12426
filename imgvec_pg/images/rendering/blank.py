"""Blank pictures: those of one single colour, such as a shop's white placeholder. They are embedded, and noted."""

from typing import cast

from PIL import Image

Extrema = tuple[tuple[int, int], ...]
"""Of each channel the lowest and the highest value."""


def describe_blank(image: Image.Image) -> str | None:
    """Return what to note of an RGB picture of one single colour, None for any other.

    Of nearly all others the first row of pixels tells.
    """
    if _color(image.crop((0, 0, image.width, 1))) is None:
        return None
    color = _color(image)
    return None if color is None else f"every pixel is {color}"


def _color(image: Image.Image) -> str | None:
    extrema = cast(Extrema, image.getextrema())
    if any(low != high for low, high in extrema):
        return None
    return "#" + "".join(f"{low:02x}" for low, _ in extrema)
