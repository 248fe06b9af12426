"""Golden pictures with colour profiles in every format that carries them; what is right comes from the profiles' own formulas."""

import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import cycle
from typing import Any

import imagecodecs
import numpy as np
from golden import NAMES, Golden, Levels, ellipse, grey_photograph, linear_to_srgb, over, photograph, rgb
from goldenpngs import chunk
from goldenpngs import encode as encode_png
from goldentiffs import decode as read_tiff
from goldentiffs import encode as encode_tiff
from iccprofile import (
    Floats,
    cmyk_meaning,
    cmyk_profile,
    from_srgb,
    gamma_curve,
    grey_meaning,
    grey_profile,
    rgb_meaning,
    rgb_profile,
    separate,
    srgb_curve,
)
from PIL import Image

BY = "the profile's formula"
Curve = Callable[[Floats], Floats]
# Primaries, the curve that decodes and the one that encodes.
SPACES: tuple[tuple[str, Curve, Curve], ...] = (
    ("Display P3", srgb_curve, lambda light: linear_to_srgb(light) / 255),
    ("Adobe RGB", gamma_curve(563 / 256), gamma_curve(256 / 563)),
    ("ProPhoto", gamma_curve(1.8), gamma_curve(1 / 1.8)),
    ("BT.2020", gamma_curve(2.4), gamma_curve(1 / 2.4)),
    ("sRGB", gamma_curve(1.0), gamma_curve(1.0)),
    ("red and green exchanged", srgb_curve, lambda light: linear_to_srgb(light) / 255),
)


def profiles() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for kind in (_rgb, _grey, _cmyk, _ignored):
        yield from kind(names)


def iccp(profile: bytes) -> bytes:
    """Return a PNG's chunk."""
    return chunk(b"iCCP", b"golden\0\0" + zlib.compress(profile))


def by_pillow(levels: Levels, name: str, mode: str | None = None, **options: Any) -> bytes:
    """Return levels encoded by Pillow, which only writes here."""
    stream = BytesIO()
    Image.fromarray(levels, mode).save(stream, name, **options)
    return stream.getvalue()


def _rgb(names: Iterator[str]) -> Iterator[Golden]:
    for space, curve, inverse in SPACES:
        profile = rgb_profile(space, curve)
        source = (from_srgb(photograph(next(names)), space, inverse) * 255 + 0.5).astype(np.uint8)
        png = encode_png(source, 8, iccp(profile))
        jpeg = by_pillow(source, "JPEG", quality=92, icc_profile=profile)
        webp = by_pillow(source, "WEBP", quality=92, icc_profile=profile)
        tiff = encode_tiff(source, photometric="rgb", iccprofile=profile)
        avif = by_pillow(source, "AVIF", quality=90, icc_profile=profile)
        for name, data, stored in (
            ("png", png, imagecodecs.png_decode(png)),
            ("jpeg", jpeg, imagecodecs.jpeg8_decode(jpeg)),
            ("webp", webp, imagecodecs.webp_decode(webp)),
            ("tiff", tiff, read_tiff(tiff)),
            ("avif", avif, imagecodecs.avif_decode(avif)),
        ):
            right = rgb_meaning(np.asarray(stored)[..., :3], space, curve)
            yield Golden(f"profile/{space}, {curve_name(curve)}, {name}", data, right, BY, most_levels=1.5)
    space, curve, _ = SPACES[0]
    source = photograph(next(names))
    alpha = ellipse(source.shape)
    png = encode_png(
        np.dstack([source, (alpha * 255).round().astype(np.uint8)]), 8, iccp(rgb_profile(space, curve))
    )
    read = np.asarray(imagecodecs.png_decode(png))
    right = over(rgb_meaning(read[..., :3], space, curve), read[..., 3] / 255)
    yield Golden("profile/Display P3 with alpha, png", png, right, BY)
    grey = grey_photograph(next(names))
    space, curve = "sRGB", gamma_curve(1.0)
    png = encode_png(grey, 8, iccp(rgb_profile(space, curve)))
    yield Golden(
        "profile/of RGB, grey pixels", png, rgb_meaning(rgb(grey), space, curve), BY, most_levels=1.5
    )


def curve_name(curve: Curve) -> str:
    """Return a curve by what it makes of the middle."""
    return f"half is {float(curve(np.array(0.5))):.3f}"


def _grey(names: Iterator[str]) -> Iterator[Golden]:
    for gamma in (1.0, 1.8, 3.0):
        profile = grey_profile(gamma_curve(gamma))
        source = grey_photograph(next(names))
        png = encode_png(source, 8, iccp(profile))
        jpeg = by_pillow(source, "JPEG", quality=92, icc_profile=profile)
        for name, data, stored in (
            ("png", png, imagecodecs.png_decode(png)),
            ("jpeg", jpeg, imagecodecs.jpeg8_decode(jpeg)),
        ):
            right = grey_meaning(np.asarray(stored), gamma_curve(gamma))
            yield Golden(f"profile/grey, gamma {gamma}, {name}", data, right, BY, most_levels=1.5)
    deep = grey_photograph(next(names)).astype(np.uint16) * 257
    png = encode_png(deep, 16, iccp(grey_profile(gamma_curve(3.0))))
    right = grey_meaning((deep // 257).astype(np.uint8), gamma_curve(3.0))
    yield Golden("profile/grey, gamma 3.0, 16 bits", png, right, BY, most_levels=1.5)


def _cmyk(names: Iterator[str]) -> Iterator[Golden]:
    profile = cmyk_profile()
    for number in (1, 2):
        inks = separate(photograph(next(names)))
        right = cmyk_meaning(inks / 255)
        jpeg = by_pillow(inks, "JPEG", "CMYK", quality=95, icc_profile=profile)
        yield Golden(f"profile/CMYK, jpeg, {number}", jpeg, right, BY, most_levels=3)
        tiff = encode_tiff(inks, photometric="separated", iccprofile=profile)
        yield Golden(
            f"profile/CMYK, tiff, {number}", tiff, cmyk_meaning(read_tiff(tiff) / 255), BY, most_levels=1.5
        )


def _ignored(names: Iterator[str]) -> Iterator[Golden]:
    """Profiles that are broken or of another space: left out of account, and told."""
    whole = rgb_profile("ProPhoto", gamma_curve(1.8))
    for name, profile in (
        ("no profile at all", b"nonsense" * 40),
        ("cut off", whole[:400]),
        ("of CMYK", cmyk_profile()),
        ("of grey", grey_profile(gamma_curve(1.8))),
        ("bomb", bytes(40_000_000)),
    ):
        data = encode_png(photograph(next(names)), 8, iccp(profile))
        right = np.asarray(imagecodecs.png_decode(data))
        yield Golden(f"ignored profile/{name}", data, right, "libpng", ("profile_ignored",), 0)
    source = photograph(next(names))
    data = by_pillow(source, "JPEG", quality=92, icc_profile=cmyk_profile())
    right = np.asarray(imagecodecs.jpeg8_decode(data))
    yield Golden("ignored profile/of CMYK, jpeg", data, right, "libjpeg", ("profile_ignored",), 1)
