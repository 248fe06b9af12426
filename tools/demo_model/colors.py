"""Names of the main colours of a picture, read from its pixels."""

from collections import Counter

import numpy as np
from PIL import Image

PALETTE = {
    "red": [(220, 40, 40), (180, 25, 30), (245, 70, 60)],
    "orange": [(250, 140, 20), (240, 110, 10)],
    "yellow": [(252, 210, 50), (250, 230, 90), (255, 200, 20)],
    "green": [(70, 160, 60), (40, 110, 50), (130, 190, 70), (20, 160, 110)],
    "blue": [(40, 110, 200), (25, 60, 140), (70, 160, 240), (130, 200, 245)],
    "purple": [(130, 60, 170), (170, 110, 210)],
    "pink": [(240, 120, 170), (250, 170, 190), (230, 60, 130)],
    "brown": [(120, 75, 50), (90, 55, 40), (165, 115, 80)],
    "black": [(30, 30, 30), (55, 55, 60)],
    "grey": [(130, 135, 140), (175, 180, 185), (95, 100, 105)],
    "white": [(250, 250, 250), (225, 230, 235)],
}


def name_colors(image: Image.Image, background: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[str]:
    """Name at most two colours that cover a quarter of what is drawn, the larger first."""
    drawn = ~background[::2, ::2]  # every fourth pixel is plenty
    pixels = np.asarray(image.convert("RGB"))[::2, ::2].astype(np.float32)[drawn]
    if not len(pixels):
        return []
    points = [(name, point) for name, points in PALETTE.items() for point in points]
    distances = np.stack([((pixels - np.array(point)) ** 2).sum(axis=1) for _, point in points])
    counts = Counter(points[nearest][0] for nearest in distances.argmin(axis=0))
    return [name for name, count in counts.most_common(2) if count >= len(pixels) / 4]
