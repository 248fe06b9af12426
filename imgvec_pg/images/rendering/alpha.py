"""Transparency: laid over white, and over a neutral grey where white would leave nothing to see."""

from PIL import Image

from imgvec_pg.images.rendering.notes import OVER_GREY

NEUTRAL_GREY = (128, 128, 128)
FAINT_LEVELS = 8
"""A picture whose channels differ by no more than this shows nothing."""
_PROBE = (16, 16)


def flatten(colours: Image.Image, alpha: Image.Image | None) -> tuple[Image.Image, str | None]:
    """Lay colours over white by their opacity, or over grey where they would be lost on white.

    Args:
        colours: Of mode RGB, not multiplied by their opacity.
        alpha: Of mode L; None where all is opaque.

    Returns:
        An image of mode RGB, and a note where it is over grey.
    """
    if alpha is None or alpha.getextrema() == (255, 255):
        return colours, None
    over_white = _lay_over((255, 255, 255), colours, alpha)
    if shows_something(over_white):
        return over_white, None
    over_grey = _lay_over(NEUTRAL_GREY, colours, alpha)
    return (over_grey, OVER_GREY) if shows_something(over_grey) else (over_white, None)


def shows_something(image: Image.Image) -> bool:
    """Whether an RGB image has more than faint differences."""
    return _levels(image, FAINT_LEVELS) > FAINT_LEVELS


def is_blank(image: Image.Image) -> bool:
    """Whether all pixels of an RGB image are the same. Of most others two corners tell."""
    if image.getpixel((0, 0)) != image.getpixel((image.width - 1, image.height - 1)):
        return False
    return _levels(image, 0) == 0


def _levels(image: Image.Image, enough: int) -> int:
    """Return how far the levels of a channel lie apart at most; more than `enough` is."""
    few = _spread(image.resize(_PROBE, Image.Resampling.NEAREST))
    return few if few > enough else _spread(image)


def _spread(image: Image.Image) -> int:
    extrema: tuple[tuple[int, int], ...] = image.getextrema()  # type: ignore[assignment]  # of RGB
    return max(high - low for low, high in extrema)


def _lay_over(ground: tuple[int, int, int], colours: Image.Image, alpha: Image.Image) -> Image.Image:
    result = Image.new("RGB", colours.size, ground)
    result.paste(colours, mask=alpha)
    return result
