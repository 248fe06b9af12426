"""What the page and the drawing of a similarity matrix share: its rows, and colours of its cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imgvec_pg.search.query_types import Float32Array

MAX_PICTURES = 100
"""Beyond this neither a page nor a drawing can be read."""
STEPS = 64
"""Different colours of cells."""
# cividis in ten steps: sequential, even in lightness and the same to eyes without red or green cones
# (Nuñez, Anderton & Renslow 2018, https://doi.org/10.1371/journal.pone.0199239).
CIVIDIS = np.array(
    [
        (0, 34, 78),
        (18, 53, 112),
        (59, 73, 108),
        (87, 93, 109),
        (112, 113, 115),
        (138, 134, 120),
        (165, 156, 116),
        (195, 179, 105),
        (225, 204, 85),
        (254, 232, 56),
    ],
    dtype=np.float64,
)
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class PictureMatrix:
    """A similarity matrix with its pictures.

    Attributes:
        names: What each row is called, in the matrix's order.
        similarities: Cosine similarities, 1 to -1, shape (n, n).
        thumbnails: A JPEG for each row, or what is said instead of it.
        title, facts: Lines above it.
    """

    names: Sequence[str]
    similarities: Float32Array
    thumbnails: Sequence[bytes | str]
    title: str
    facts: Sequence[str]

    @property
    def lowest(self) -> float:
        """The similarity at which the colours begin: the lowest met, rounded down to a twentieth, and 0.95 at most."""
        return min(0.95, math.floor(round(float(self.similarities.min()) * 20, 3)) / 20)

    def steps(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Return the step of each cell's colour, 0 to STEPS - 1, shape (n, n)."""
        share = (self.similarities - self.lowest) / (1 - self.lowest)
        steps: np.ndarray[tuple[int, int], np.dtype[np.int64]]
        steps = np.rint(np.clip(share, 0, 1) * (STEPS - 1)).astype(np.int64)
        return steps


def shown_similarity(value: float) -> str:
    """Return a similarity as a cell has it: "0.70", "−0.33"; "1" only where three places say so, and "0.99" just below."""
    if value >= 0.9995:
        return "1"
    return f"{min(value, 0.99):.2f}".replace("-0.00", "0.00").replace("-", "−")


def colour_of(step: int) -> Colour:
    """Return red, green and blue, 0 to 255, of a step."""
    place = step / (STEPS - 1) * (len(CIVIDIS) - 1)
    places = np.arange(len(CIVIDIS))
    red, green, blue = (round(float(np.interp(place, places, CIVIDIS[:, band]))) for band in range(3))
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever contrasts more (WCAG 2.2, relative luminance): 4.5 to 1 at least."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (band / 255 for band in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 0.05 * 1.05 else (255, 255, 255)
