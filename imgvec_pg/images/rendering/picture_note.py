"""What is noted of a picture that is embedded all the same: it is one single colour, or its file is odd."""

from dataclasses import dataclass
from typing import cast

from PIL import Image

from imgvec_pg.images.rendering.notes import NO_END, PROFILE_IGNORED

Extrema = tuple[tuple[int, int], ...]
"""Of each channel the lowest and the highest value."""

BLANK_CODE = "blank"
NOTED_CODE = "noted"
"""In imgvec.failure; sql/tables/failure.sql."""
MESSAGES = {
    PROFILE_IGNORED: "its colour profile is broken or of another colour space: left out of account",
    NO_END: "it is a JPEG without its end marker, and has all its pixels",
}
"""What is told of a file; other notes are the rules of rendering at work."""


@dataclass(frozen=True)
class PictureNote:
    """A note on a row that is embedded.

    Attributes:
        code: "blank" or "noted".
    """

    code: str
    message: str


def note_on(image: Image.Image) -> PictureNote | None:
    """Return what to note of an RGB picture as its model gets it, None for most.

    Args:
        image: With the codes of `rendering.notes` in its `info`, as decoding gives it.
    """
    told = [MESSAGES[code] for code in image.info.get("notes", ()) if code in MESSAGES]
    color = _only_color(image)
    if color is not None:
        return PictureNote(BLANK_CODE, "; ".join([f"every pixel is {color}", *told]))
    return PictureNote(NOTED_CODE, "; ".join(told)) if told else None


def _only_color(image: Image.Image) -> str | None:
    """Return the one colour of a picture; of nearly all that have several the first row of pixels tells."""
    if _color(image.crop((0, 0, image.width, 1))) is None:
        return None
    return _color(image)


def _color(image: Image.Image) -> str | None:
    extrema = cast(Extrema, image.getextrema())
    if any(low != high for low, high in extrema):
        return None
    return "#" + "".join(f"{low:02x}" for low, _ in extrema)
