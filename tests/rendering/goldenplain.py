"""Golden pictures without any peculiarity, and JPEGs that lack their end, are of CMYK or carry a gain map."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import imagecodecs
import numpy as np
from golden import NAMES, Golden, Levels, grey_photograph, photograph, rgb, srgb_to_linear
from goldenprofiles import by_pillow
from iccprofile import rgb_meaning, separate, srgb_curve


def plain() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for kind in (_formats, _without_end, _gain_map, _cmyk, _blank):
        yield from kind(names)


def _formats(names: Iterator[str]) -> Iterator[Golden]:
    for label, name, decode, by, options in (
        ("jpeg", "JPEG", imagecodecs.jpeg8_decode, "libjpeg", {"quality": 90}),
        (
            "progressive jpeg",
            "JPEG",
            imagecodecs.jpeg8_decode,
            "libjpeg",
            {"quality": 90, "progressive": True},
        ),
        ("png", "PNG", imagecodecs.png_decode, "libpng", {}),
        ("webp", "WEBP", imagecodecs.webp_decode, "libwebp", {"quality": 90}),
        ("lossless webp", "WEBP", imagecodecs.webp_decode, "libwebp", {"lossless": True}),
        ("avif", "AVIF", imagecodecs.avif_decode, "libavif", {"quality": 80}),
    ):
        for source in (photograph(next(names)), grey_photograph(next(names))):
            data = by_pillow(source, name, **options)
            right = rgb(np.asarray(decode(data)))[..., :3]
            kind = "colour" if source.ndim == 3 else "grey"
            yield Golden(f"plain/{label}, {kind}", data, right, by, most_levels=0.5)


def _without_end(names: Iterator[str]) -> Iterator[Golden]:
    for label, options in (
        ("baseline", {}),
        ("progressive", {"progressive": True}),
        ("restart markers", {"restart_marker_rows": 1}),
        ("4:4:4", {"subsampling": 0}),
        ("grey", {}),
    ):
        source = grey_photograph(next(names)) if label == "grey" else photograph(next(names))
        whole = by_pillow(source, "JPEG", quality=90, **options)
        right = rgb(np.asarray(imagecodecs.jpeg8_decode(whole)))
        for bytes_missing in (1, 2):
            name = f"jpeg/without its last {bytes_missing} bytes, {label}"
            yield Golden(name, whole[:-bytes_missing], right, "libjpeg, of the whole file", ("no_end",))


def _gain_map(names: Iterator[str]) -> Iterator[Golden]:
    """A JPEG with a second one, which tells displays of more range what to brighten: the first is the picture."""
    for number in (1, 2):
        linear = srgb_to_linear(photograph(next(names)))
        light = linear * (1 + 3 * linear.max(axis=-1, keepdims=True) ** 4)
        height, width = (side // 2 * 2 for side in light.shape[:2])
        pixels = np.dstack([light, np.ones(light.shape[:2])])[:height, :width].astype(np.float16)
        data = bytes(imagecodecs.ultrahdr_encode(np.ascontiguousarray(pixels)))
        # Its encoder writes a profile of Display P3.
        right = rgb_meaning(np.asarray(imagecodecs.jpeg8_decode(data)), "Display P3", srgb_curve)
        yield Golden(f"jpeg/gain map, {number}", data, right, "libjpeg and the profile's formula")


def _cmyk(names: Iterator[str]) -> Iterator[Golden]:
    """Without a profile: each ink takes its light away."""
    for number in (1, 2):
        inks = separate(photograph(next(names)))
        light = 255 - inks.astype(int)
        right = (light[..., :3] * light[..., 3:] / 255 + 0.5).astype(np.uint8)
        data = by_pillow(inks, "JPEG", "CMYK", quality=95)
        yield Golden(f"jpeg/CMYK without a profile, {number}", data, right, "inks multiplied", most_levels=3)


def _blank(names: Iterator[str]) -> Iterator[Golden]:
    for label, colour in (("white", (255, 255, 255)), ("grey", (128, 128, 128)), ("red", (200, 10, 10))):
        levels: Levels = np.full((120, 160, 3), colour, np.uint8)
        for name, options in (("PNG", {}), ("JPEG", {"quality": 90}), ("WEBP", {"lossless": True})):
            data = by_pillow(levels, name, **options)
            yield Golden(f"blank/{label} {name.lower()}", data, levels, "definition", ("blank",))
    transparent: Any = np.zeros((120, 160, 4), np.uint8)
    white = np.full((120, 160, 3), 255, np.uint8)
    yield Golden(
        "blank/wholly transparent png", by_pillow(transparent, "PNG"), white, "definition", ("blank",)
    )
