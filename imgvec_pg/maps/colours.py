"""Colours of a map: ten that colour-blind people tell apart, so given to clusters that neighbours differ; a scale for numbers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imgvec_pg.maps.map_tables import NamedCluster

CATEGORIES = (
    (63, 144, 218),
    (255, 169, 14),
    (189, 31, 1),
    (148, 164, 162),
    (131, 45, 182),
    (169, 107, 89),
    (231, 99, 0),
    (185, 172, 112),
    (113, 117, 129),
    (146, 218, 221),
)
"""Petroff 2021, "Accessible color sequences for data visualization", arXiv:2107.02270: petroff10 of Matplotlib 3.10."""
GREYS = (3, 8)
"""Of CATEGORIES those that read as "other": given to clusters last."""
OTHER = (128, 128, 128)
SCALE = ((0, 34, 78), (59, 73, 108), (112, 113, 115), (165, 156, 116), (225, 204, 85), (254, 232, 56))
"""cividis (Nunez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239)."""

Colour = tuple[int, int, int]


def cluster_colours(clusters: Sequence[NamedCluster]) -> dict[int, Colour]:
    """Give each cluster a colour: the one that is least used by those near its name."""
    order = [place for place in range(len(CATEGORIES)) if place not in GREYS] + list(GREYS)
    found: dict[int, int] = {}
    for one in clusters:
        costs = []
        for rank, place in enumerate(order):
            near = [
                1 / (1 + (other.x - one.x) ** 2 + (other.y - one.y) ** 2)
                for other in clusters
                if found.get(other.number) == place
            ]
            costs.append((sum(near), rank, place))
        found[one.number] = min(costs)[2]
    return {number: CATEGORIES[place] for number, place in found.items()}


def scale_colours(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Colour numbers by a scale between their 2nd and 98th percentile; what is none is grey.

    Returns:
        Shape (n, 3), and the numbers at both ends of the scale.
    """
    colours = np.empty((len(values), 3), dtype=np.uint8)
    colours[:] = OTHER
    known = np.isfinite(values)
    if not known.any():
        return colours, 0.0, 0.0
    low, high = np.quantile(values[known], [0.02, 0.98]).tolist()
    place = np.clip((values[known] - low) / max(high - low, 1e-12), 0, 1) * (len(SCALE) - 1)
    stops = np.array(SCALE, dtype=np.float64)
    colours[known] = np.stack(
        [np.interp(place, np.arange(len(SCALE)), stops[:, channel]) for channel in range(3)], axis=1
    )
    return colours, low, high


def css(colour: Colour) -> str:
    """Return a colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
