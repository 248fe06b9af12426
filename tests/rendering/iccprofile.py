"""Write ICC profiles (ICC.1:2001-04, version 2) from formulas, and compute by these what they mean, without LittleCMS."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from golden import Levels, linear_to_srgb

Floats = npt.NDArray[np.float64]
D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
WHITES = {"D65": (0.3127, 0.3290), "D50": (0.3457, 0.3585)}
# Red, green and blue as CIE x and y, and the white.
SPACES: dict[str, tuple[tuple[tuple[float, float], ...], str]] = {
    "sRGB": (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), "D65"),
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), "D65"),
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), "D65"),
    "ProPhoto": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), "D50"),
    "BT.2020": (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), "D65"),
    "red and green exchanged": (((0.30, 0.60), (0.64, 0.33), (0.15, 0.06)), "D65"),
}


def _xyz(point: tuple[float, float]) -> Floats:
    x, y = point
    return np.array([x / y, 1, (1 - x - y) / y])


def to_d50(space: str) -> Floats:
    """Return the matrix from a space's linear RGB to XYZ, adapted to D50."""
    points, white_name = SPACES[space]
    white = _xyz(WHITES[white_name])
    columns = np.stack([_xyz(point) for point in points], axis=1)
    matrix = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ D50) / (_BRADFORD @ white)
    adapted: Floats = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix
    return adapted


def srgb_curve(codes: Floats) -> Floats:
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def gamma_curve(gamma: float) -> Callable[[Floats], Floats]:
    return lambda codes: codes**gamma


def _fixed(numbers: npt.ArrayLike) -> bytes:
    return b"".join(struct.pack(">i", round(float(number) * 65536)) for number in np.ravel(numbers))


def _curve(curve: Callable[[Floats], Floats]) -> bytes:
    table = (curve(np.arange(4096) / 4095) * 65535 + 0.5).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(table)) + table.tobytes()


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"golden\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(D50),
        **tags,
    }
    body, table = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for signature, content in tags.items():
        table += struct.pack(">4sII", signature, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb_profile(space: str, curve: Callable[[Floats], Floats]) -> bytes:
    """Return a matrix profile."""
    matrix = to_d50(space)
    tags = {
        signature: b"XYZ " + bytes(4) + _fixed(matrix[:, column])
        for column, signature in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
    }
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))}
    )


def rgb_meaning(
    levels: npt.NDArray[Any], space: str, curve: Callable[[Floats], Floats], most: int = 255
) -> Levels:
    """Return in sRGB what RGB levels mean by such a profile."""
    linear = curve(levels / most) @ to_d50(space).T @ np.linalg.inv(to_d50("sRGB")).T
    return linear_to_srgb(linear)


def from_srgb(levels: Levels, space: str, inverse: Callable[[Floats], Floats]) -> Floats:
    """Return codes of 0 to 1 of a space that mean these sRGB levels; `inverse` encodes light."""
    linear = srgb_curve(levels / 255) @ to_d50("sRGB").T @ np.linalg.inv(to_d50(space)).T
    return inverse(linear.clip(0, 1))


def grey_profile(curve: Callable[[Floats], Floats]) -> bytes:
    """Return a profile of grey."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(curve)})


def grey_meaning(levels: Levels, curve: Callable[[Floats], Floats]) -> Levels:
    """Return in sRGB what grey levels mean by such a profile."""
    return np.repeat(linear_to_srgb(curve(levels / 255))[:, :, None], 3, axis=2)


GRID = 17
# What is left of red, green and blue light under full cyan, magenta, yellow and black.
_INKS = np.array([[0.12, 0.42, 0.72], [0.75, 0.15, 0.32], [0.96, 0.86, 0.14], [0.16, 0.16, 0.16]])


def _print(inks: Floats) -> Floats:
    """Return XYZ of inks of 0 to 1, shape (..., 4)."""
    light = np.prod(1 - inks[..., :, None] * (1 - _INKS), axis=-2)
    xyz: Floats = light @ to_d50("sRGB").T
    return xyz


def _lab(xyz: Floats) -> Floats:
    relative = xyz / D50
    cubic = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(cubic, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def cmyk_profile() -> bytes:
    """Return a scanner's profile of a press with inks that are none too pure, as a table (lut16) to Lab."""
    steps = np.linspace(0, 1, GRID)
    grid = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), axis=-1)
    lightness, a, b = np.moveaxis(_lab(_print(grid)), -1, 0)
    encoded = np.stack([lightness / 100 * 65280, (a + 128) * 256, (b + 128) * 256], axis=-1)
    table = (encoded + 0.5).clip(0, 65535).astype(">u2").tobytes()
    straight = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + struct.pack(">4B", 4, 3, GRID, 0) + _fixed(np.eye(3))
    lut += struct.pack(">2H", 2, 2) + straight * 4 + table + straight * 3
    return _profile(b"scnr", b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})


def cmyk_meaning(inks: Floats) -> Levels:
    """Return in sRGB what inks of 0 to 1 mean by that profile, its darkest print as black (black point compensation)."""
    # LittleCMS takes the darkest print as neutral.
    darkest = _print(np.ones(4))[1] * D50
    xyz = (_print(inks) - darkest) / (1 - darkest[1])
    return linear_to_srgb(xyz @ np.linalg.inv(to_d50("sRGB")).T)


def separate(levels: Levels) -> npt.NDArray[np.uint8]:
    """Return a plain separation of RGB levels to inks of 0 to 255, half of the common grey as black."""
    inks = 255 - levels.astype(float)
    black = inks.min(axis=-1) * 0.5
    rest = (inks - black[..., None]) / (1 - black[..., None] / 255).clip(0.01)
    return (np.concatenate([rest, black[..., None]], axis=-1) + 0.5).clip(0, 255).astype(np.uint8)
