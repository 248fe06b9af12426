"""Golden PNGs, written here and read back by libpng: depths, colour keys, transparency, colour spaces, large chunks."""

import struct
import zlib
from collections.abc import Iterator
from itertools import cycle, product
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from golden import (
    NAMES,
    Golden,
    Levels,
    ellipse,
    grey_photograph,
    linear_to_srgb,
    over,
    photograph,
    rgb,
    srgb_to_linear,
)
from iccprofile import from_srgb, gamma_curve, rgb_meaning, srgb_curve

BY = "libpng"
GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6
# First row and column, and from each to the next: PNG 3rd edition, section 8.
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_COLOUR_TYPES = {1: GREY, 2: GREY_ALPHA, 3: COLOUR, 4: COLOUR_ALPHA}


def pngs() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for kind in (_depths, _keys, _transparent, _spaces, _large_chunks):
        yield from kind(names)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode(
    samples: npt.NDArray[Any], bits: int, before: bytes = b"", after: bytes = b"", interlaced: bool = False
) -> bytes:
    """Return a PNG of samples of 1 to 16 bits, shape (height, width) or (height, width, channels), rows unfiltered.

    Args:
        before: Chunks between IHDR and IDAT.
        after: Chunks between IDAT and IEND.
        interlaced: In the seven passes of Adam7.
    """
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    parts = [samples[top::down, left::right] for top, left, down, right in (_ADAM7 if interlaced else _WHOLE)]
    body = b"".join(_rows(part, bits) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPES[channels], 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + after + chunk(b"IEND", b"")


def _rows(samples: npt.NDArray[Any], bits: int) -> bytes:
    rows = samples.reshape(samples.shape[0], -1)
    if bits >= 8:
        return b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in rows)
    shifts = np.arange(bits - 1, -1, -1)
    unpacked = (rows[:, :, None] >> shifts & 1).reshape(rows.shape[0], -1).astype(np.uint8)
    return b"".join(b"\0" + row.tobytes() for row in np.packbits(unpacked, axis=1))


def _read(data: bytes) -> npt.NDArray[Any]:
    return np.asarray(imagecodecs.png_decode(data))


def _to_levels(samples: npt.NDArray[Any], most: float) -> Levels:
    return rgb((samples / most * 255).clip(0, 255).round().astype(np.uint8))


def _depths(names: Iterator[str]) -> Iterator[Golden]:
    for bits in (1, 2, 4, 8, 16):
        most = 2**bits - 1
        grey = (grey_photograph(next(names)).astype(np.uint32) * most + 127) // 255
        data = encode(grey, bits)
        # libpng spreads 1 to 4 bits over 8.
        yield Golden(f"png/grey, {bits} bits", data, _to_levels(_read(data), max(most, 255)), BY)
    for bits in (8, 16):
        most = 2**bits - 1
        data = encode(photograph(next(names)).astype(np.uint32) * most // 255, bits)
        yield Golden(f"png/colour, {bits} bits", data, _to_levels(_read(data), most), BY)
    for bits in (8, 10, 12, 14):
        most = 2**bits - 1
        grey = encode(grey_photograph(next(names)).astype(np.uint32) * most // 255, 16)
        colours = encode(photograph(next(names)).astype(np.uint32) * most // 255, 16)
        yield Golden(f"png/grey, {bits} bits in 16", grey, _to_levels(_read(grey), most), BY)
        yield Golden(f"png/colour, {bits} bits in 16", colours, _to_levels(_read(colours), most), BY)
    interlaced = encode(photograph(next(names)).astype(np.uint32) * 1023 // 255, 16, interlaced=True)
    yield Golden("png/colour, 10 bits in 16, interlaced", interlaced, _to_levels(_read(interlaced), 1023), BY)


def _keys(names: Iterator[str]) -> Iterator[Golden]:
    """A colour that is transparent, outside of an ellipse."""
    depths = ((1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3))
    for interlaced, (bits, channels) in product((False, True), depths):
        most = 2**bits - 1
        source = photograph(next(names)) if channels == 3 else grey_photograph(next(names))
        samples = (source.astype(np.uint32) * most + 127) // 255
        # A colour that no pixel within has; white and black would be right by chance.
        key = np.array([most // 3, most // 5, most // 2])[:channels] if bits > 1 else np.array([0])
        outside = ellipse(source.shape) == 0
        if bits > 1:
            taken = (samples.reshape(*source.shape[:2], channels) == key).all(axis=-1)
            samples[taken] += 1
        samples[outside] = key if channels == 3 else key[0]
        transparent = (samples.reshape(*source.shape[:2], channels) == key).all(axis=-1)
        body = b"".join(struct.pack(">H", int(value)) for value in key)
        data = encode(samples, bits, chunk(b"tRNS", body), interlaced=interlaced)
        plain = encode(samples, bits)  # libpng would give an alpha channel in 8 bits alone
        # All that a key leaves of one bit is white, which is laid over grey.
        right = over(
            _to_levels(_read(plain), most if bits >= 8 else 255), 1.0 - transparent, 128 if bits == 1 else 255
        )
        notes = ("over_grey",) if bits == 1 else ()
        label = f"{bits} bits, {channels} channels{', interlaced' * interlaced}"
        yield Golden(f"png/colour key, {label}", data, right, BY, notes)


def _transparent(names: Iterator[str]) -> Iterator[Golden]:
    for bits in (8, 16):
        most = 2**bits - 1
        for channels in (1, 3):
            source = photograph(next(names)) if channels == 3 else grey_photograph(next(names))
            alpha = ellipse(source.shape)
            colours = source.reshape(*source.shape[:2], channels) / 255
            samples = np.concatenate([colours, alpha[:, :, None]], axis=-1) * most + 0.5
            data = encode(samples.astype(np.uint16), bits)
            read = _read(data) / most
            right = over((rgb(read[..., 0]) if channels == 1 else read[..., :3]) * 255, read[..., -1])
            yield Golden(f"png/alpha, {bits} bits, {channels} channels", data, right, BY)
    for name, shape in (("logo", (64, 96)), ("wide logo", (40, 120))):
        alpha = ellipse(shape)
        samples = np.dstack([np.full((*shape, 3), 255), (alpha * 255).round()]).astype(np.uint8)
        data = encode(samples, 8)
        right = over(_read(data)[..., :3], _read(data)[..., 3] / 255, ground=128)
        yield Golden(f"png/white {name} over grey", data, right, BY, ("over_grey",))


def _spaces(names: Iterator[str]) -> Iterator[Golden]:
    def chrm(points: tuple[float, ...]) -> bytes:
        return chunk(b"cHRM", b"".join(struct.pack(">I", round(value * 100_000)) for value in points))

    def gama(gamma: float) -> bytes:
        return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))

    linear = (srgb_to_linear(photograph(next(names))) * 65535 + 0.5).astype(np.uint16)
    data = encode(linear, 16, gama(1.0))
    yield Golden("png/gAMA 1, 16 bits", data, linear_to_srgb(_read(data) / 65535), BY)
    adobe = from_srgb(photograph(next(names)), "Adobe RGB", lambda light: light ** (1 / 2.2))
    samples = (adobe * 255 + 0.5).astype(np.uint8)
    data = encode(samples, 8, gama(1 / 2.2) + chrm((0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)))
    # 0.45455 is sRGB's curve as everybody writes it.
    yield Golden(
        "png/gAMA and cHRM of Adobe RGB", data, rgb_meaning(_read(data), "Adobe RGB", srgb_curve), BY
    )
    data = encode(photograph(next(names)), 8, gama(0.45455) + chunk(b"sRGB", b"\0"))
    yield Golden("png/gAMA and sRGB", data, _read(data), BY, most_levels=0)
    data = encode(photograph(next(names)), 8, chunk(b"cICP", bytes([12, 13, 0, 1])))
    yield Golden("png/cICP Display P3", data, rgb_meaning(_read(data), "Display P3", srgb_curve), BY)
    exponent = 1 / 0.6
    data = encode(photograph(next(names)), 8, gama(0.6))
    yield Golden("png/gAMA 0.6", data, rgb_meaning(_read(data), "sRGB", gamma_curve(exponent)), BY)


def _large_chunks(names: Iterator[str]) -> Iterator[Golden]:
    packed = zlib.compress(b"a" * 2_500_000)
    for name, extra, notes in (
        ("profile that is none", chunk(b"iCCP", b"profile\0\0" + packed), ("profile_ignored",)),
        ("compressed text", chunk(b"zTXt", b"XMP\0\0" + packed), ()),
        ("international text", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed), ()),
    ):
        data = encode(photograph(next(names)), 8, extra)
        yield Golden(f"png/large {name}", data, _read(data), BY, notes, 0)
    data = encode(photograph(next(names)), 8, after=chunk(b"zTXt", b"XMP\0\0" + packed))
    yield Golden("png/large text behind the pixels", data, _read(data), BY, most_levels=0)
