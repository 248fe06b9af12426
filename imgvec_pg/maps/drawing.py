"""A map as a PNG, for reports: points, pictures where there is room, names of clusters."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from imgvec_pg.maps.colours import Colour
from imgvec_pg.maps.layout import Floats, Indices
from imgvec_pg.maps.read_map import ColouredMap
from imgvec_pg.search.similarity_drawing import fit_text, font

WIDTH, HEIGHT, HEAD, MARGIN = 1600, 1200, 96, 36
CELL = 34
"""Pixels of a square that one picture at most is shown in."""
PICTURE = 26
PAPER, INK, SOFT = (255, 255, 255), (28, 28, 26), (99, 99, 94)
TIMES = 2
"""Points are drawn so much larger, then made smaller: round edges."""


def shown_pictures(places: Floats) -> Indices:
    """Choose points whose pictures are shown: in each square of the drawing the one nearest to its middle, from two points on."""
    pixels = to_pixels(places)
    cells = (pixels // CELL).astype(np.int64)
    number = cells[:, 1] * (WIDTH // CELL + 1) + cells[:, 0]
    apart = ((pixels - (cells + 0.5) * CELL) ** 2).sum(axis=1)
    order = np.lexsort((apart, number))
    _, first, count = np.unique(number[order], return_index=True, return_counts=True)
    least = 1 if len(places) < 5000 else 2
    chosen: Indices = order[first[count >= least]]
    return chosen


def to_pixels(places: Floats) -> Floats:
    """Return where places lie on the drawing, shape (n, 2)."""
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.zeros(2))
    room = np.array([WIDTH - 2 * MARGIN - CELL, HEIGHT - HEAD - 2 * MARGIN - CELL])
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    middle = np.array([WIDTH / 2, HEAD + (HEIGHT - HEAD) / 2])
    pixels: Floats = (middle + (places - (low + high) / 2) * (scale, -scale)).astype(np.float32)
    return pixels


def map_png(shown: ColouredMap, title: str, facts: Sequence[str], pictures: Mapping[int, bytes]) -> bytes:
    """Return the encoded drawing.

    Args:
        pictures: JPEGs by numbers of points, of those that `shown_pictures` chose.
    """
    image = Image.new("RGB", (WIDTH * TIMES, HEIGHT * TIMES), PAPER)
    _draw_points(image, shown)
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    pixels = to_pixels(shown.places)
    for point, jpeg in pictures.items():
        _draw_picture(image, draw, jpeg, pixels[point].tolist(), tuple(shown.colours[point].tolist()))
    draw.text((MARGIN, 26), fit_text(title, font(26), WIDTH - 2 * MARGIN), INK, font(26))
    draw.text((MARGIN, 62), fit_text(" · ".join(facts), font(15), WIDTH / 2), SOFT, font(15))
    _draw_legend(draw, shown)
    _draw_names(draw, shown)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw_points(image: Image.Image, shown: ColouredMap) -> None:
    """Draw points: as discs, and many of them as squares at once."""
    pixels = to_pixels(shown.places) * TIMES
    count = len(pixels)
    if count <= 50_000:
        radius = TIMES * (4.5 if count < 5000 else 2.5)
        draw = ImageDraw.Draw(image)
        for (x, y), colour in zip(pixels.tolist(), shown.colours.tolist(), strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(colour))
        return
    canvas = np.asarray(image).copy()
    order = np.random.default_rng(0).permutation(count)
    at = np.rint(pixels[order]).astype(np.intp)
    for across in (0, 1):
        for down in (0, 1):
            x = np.clip(at[:, 0] + across, 0, canvas.shape[1] - 1)
            y = np.clip(at[:, 1] + down, 0, canvas.shape[0] - 1)
            canvas[y, x] = shown.colours[order]
    image.paste(Image.fromarray(canvas))


def _draw_picture(
    image: Image.Image, draw: ImageDraw.ImageDraw, jpeg: bytes, at: Sequence[float], colour: tuple[int, ...]
) -> None:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:  # `thumbnail` has made it
        opened.thumbnail((PICTURE, PICTURE), Image.Resampling.LANCZOS)
        cell = [int(pixel // CELL) * CELL + CELL // 2 for pixel in at]
        left, top = cell[0] - opened.width // 2, cell[1] - opened.height // 2
        box = (left - 2, top - 2, left + opened.width + 1, top + opened.height + 1)
        draw.rounded_rectangle(box, 4, colour)
        image.paste(opened, (left, top))


def _draw_names(draw: ImageDraw.ImageDraw, shown: ColouredMap) -> None:
    """Write the names, the largest cluster's first; one that would lie on another is moved down, or left out."""
    sizes = np.bincount(shown.clusters, minlength=max((one.number for one in shown.named), default=0) + 1)
    low_high = (
        np.concatenate([shown.places, [(one.x, one.y) for one in shown.named]])
        if shown.named
        else shown.places
    )
    pixels = to_pixels(low_high.astype(np.float32))[len(shown.places) :]
    taken: list[tuple[float, float, float, float]] = []
    label = font(18)
    for place in sorted(range(len(shown.named)), key=lambda place: -int(sizes[shown.named[place].number])):
        one = shown.named[place]
        text = fit_text(one.name, label, 260)
        half = label.getlength(text) / 2 + 10
        x = min(max(float(pixels[place][0]), half + 4), WIDTH - half - 4)
        for shift in (0, 29, -29, 58, -58):
            y = min(max(float(pixels[place][1]) + shift, HEAD + 20), HEIGHT - 20)
            box = (x - half, y - 14, x + half, y + 14)
            if all(box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for b in taken):
                taken.append(box)
                edge: Colour = shown.cluster_colours.get(one.number, SOFT)
                draw.rounded_rectangle(box, 8, PAPER, edge if shown.by == "cluster" else SOFT, 3)
                draw.text((x, y), text, INK, label, anchor="mm")
                break


def _draw_legend(draw: ImageDraw.ImageDraw, shown: ColouredMap) -> None:
    """Write what colours mean, at the right; the names tell it where they are of clusters."""
    small, x = font(15), float(WIDTH - MARGIN)
    if shown.is_scale:
        (low, _), *_, (high, _) = shown.legend
        right = x - small.getlength(high) - 10
        for pixel in range(200):
            colour = shown.legend[pixel * len(shown.legend) // 200][1]
            draw.line((right - 200 + pixel, 28, right - 200 + pixel, 46), colour)
        draw.text((right + 10, 37), high, SOFT, small, anchor="lm")
        draw.text((right - 210, 37), low, SOFT, small, anchor="rm")
        draw.text((right, 64), shown.by, SOFT, small, anchor="rm")
        return
    for name, colour in reversed(shown.legend):
        text = fit_text(name, small, 160)
        x -= small.getlength(text) + 32
        draw.ellipse((x, 62, x + 14, 76), colour)
        draw.text((x + 20, 69), text, SOFT, small, anchor="lm")
