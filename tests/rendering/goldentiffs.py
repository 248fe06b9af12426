"""Golden TIFFs, written and read back by tifffile: depths, number formats, layouts, compressions, ranges, transparency."""

from collections.abc import Iterator
from io import BytesIO
from itertools import cycle, product
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from golden import NAMES, Golden, Levels, ellipse, grey_photograph, over, photograph, rgb

BY = "tifffile"
FULL = {1: 255, 2: 65535, 4: 2**32 - 1}


def tiffs() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for kind in (
        _whole_numbers,
        _few_bits,
        _fractions,
        _measurements,
        _planes,
        _transparent,
        _faint,
        _few_bits_with_alpha,
        _light_inks,
        _ranges,
    ):
        yield from kind(names)


def encode(samples: npt.NDArray[Any], **options: Any) -> bytes:
    """Return a TIFF."""
    stream = BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def decode(data: bytes) -> npt.NDArray[Any]:
    """Return the samples of a TIFF as they are stored; planes last."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        samples = np.asarray(page.asarray())
        return np.moveaxis(samples, 0, -1) if page.planarconfig == 2 and samples.ndim == 3 else samples


def levels_of(data: bytes, low: float, high: float) -> Levels:
    """Return what is stored, spread from `low` to `high` over 0 to 255."""
    samples = decode(data).astype(np.float64)
    return rgb((((samples - low) / (high - low)).clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _golden(name: str, data: bytes, low: float, high: float, **more: Any) -> Golden:
    return Golden(f"tiff/{name}", data, levels_of(data, low, high), BY, **more)


def _whole_numbers(names: Iterator[str]) -> Iterator[Golden]:
    for dtype in ("<u1", "<u2", ">u2", "<u4"):
        most = FULL[np.dtype(dtype).itemsize]
        for compression in (None, "zlib", "lzw"):
            grey = (grey_photograph(next(names)).astype(np.float64) / 255 * most).astype(dtype)
            data = encode(grey, byteorder=dtype[0], compression=compression)
            yield _golden(f"grey {dtype} {compression}", data, 0, most)
    for dtype in ("<u1", ">u1", "<u2"):
        most = FULL[np.dtype(dtype).itemsize]
        negative = most - (grey_photograph(next(names)).astype(np.float64) / 255 * most)
        data = encode(negative.astype(dtype), photometric="miniswhite", byteorder=dtype[0])
        yield _golden(f"white is zero {dtype}", data, most, 0)
    for dtype in ("<i2", ">i2", "<i4", ">i4", "<u4", "<f4", ">f4"):
        for compression in (None, "zlib"):
            data = encode(
                grey_photograph(next(names)).astype(dtype), byteorder=dtype[0], compression=compression
            )
            yield _golden(f"0 to 255 in {dtype} {compression}", data, 0, 255)
    data = encode((grey_photograph(next(names)) // 2).astype("i1"))
    yield _golden("signed 8 bits", data, 0, 127)
    negative = 255 - grey_photograph(next(names)).astype("<f4")
    yield _golden("white is zero in floats", encode(negative, photometric="miniswhite"), 255, 0)


def _few_bits(names: Iterator[str]) -> Iterator[Golden]:
    for bits in (10, 12, 14):
        most = 2**bits - 1
        grey = (grey_photograph(next(names)).astype(np.uint32) * most // 255).astype(np.uint16)
        colours = (photograph(next(names)).astype(np.uint32) * most // 255).astype(np.uint16)
        for compression in (None, "zlib"):
            yield _golden(
                f"grey, {bits} bits in 16 {compression}", encode(grey, compression=compression), 0, most
            )
            data = encode(colours, photometric="rgb", compression=compression)
            yield _golden(f"colour, {bits} bits in 16 {compression}", data, 0, most)
    grey = (grey_photograph(next(names)).astype(np.uint32) * 4095 // 255).astype(np.uint16)
    yield _golden("grey, 12 bits packed", encode(grey, bitspersample=12), 0, 4095)
    yield _golden("16 bits that are really 8", encode(grey_photograph(next(names)).astype(np.uint16)), 0, 255)
    bright = (grey_photograph(next(names)).astype(np.uint32) * 900 // 255).astype(np.uint16)
    tag = [(281, "H", 1, 4095, True)]
    yield _golden("dim, and MaxSampleValue says 12 bits", encode(bright, extratags=tag), 0, 4095)


def _fractions(names: Iterator[str]) -> Iterator[Golden]:
    for compression, predictor in ((None, None), ("zlib", None), ("lzw", None), ("zlib", 3)):
        grey = (grey_photograph(next(names)) / 255).astype(np.float32)
        data = encode(grey, compression=compression, predictor=predictor)
        yield _golden(f"fractions to 1 {compression}, predictor {predictor}", data, 0, 1)
    overshoot = (grey_photograph(next(names)) / 255 * 1.12 - 0.06).astype(np.float32)
    yield _golden("fractions with overshoot", encode(overshoot), 0, 1)
    filtered = (grey_photograph(next(names)) * 0.998 + 0.25).astype(np.float32)
    yield _golden("filtered 8 bits", encode(filtered), 0, 255)
    grey = (grey_photograph(next(names)) / 255).astype(np.float32)
    holes = grey.copy()
    holes[::7, ::5] = np.nan
    holes[3::9, ::8] = np.inf
    data = encode(holes)
    stored = np.where(np.isfinite(decode(data)), decode(data), 0)
    yield Golden(
        "tiff/NaN and infinities among fractions", data, rgb((stored * 255 + 0.5).astype(np.uint8)), BY
    )


def _measurements(names: Iterator[str]) -> Iterator[Golden]:
    """CT numbers, reflectances, heights: their range is that of the percentiles 0.1 and 99.9."""
    grey = grey_photograph(next(names)).astype(np.float64)
    for name, samples in (
        ("CT numbers", (grey * 4 - 200).astype("<i2")),
        ("CT numbers, int32", (grey * 8 - 1024).astype("<i4")),
        ("heights in floats", (grey * 3.7 + 312.25).astype("<f4")),
        ("negative floats", (grey * -2.5 - 7.5).astype("<f4")),
        ("reflectance in floats", (grey / 255 * 0.21).astype("<f4")),
    ):
        low, high = np.percentile(samples, (0.1, 99.9))
        yield _golden(name, encode(samples), low, high)
    reflectance = (grey_photograph(next(names)).astype(int) * 14).astype("<u2")
    yield _golden("reflectance to 3570", encode(reflectance), 0, 4095)
    heights = (grey_photograph(next(names)) * 3.7 + 312.25).astype("<f4")
    heights[:20] = -9999
    data = encode(heights, extratags=[(42113, "s", 0, "-9999", True)])
    low, high = np.percentile(heights[20:], (0.1, 99.9))
    yield _golden("heights with GDAL's nodata", data, low, high)


def _planes(names: Iterator[str]) -> Iterator[Golden]:
    for order in "<>":
        for planar in ("contig", "separate"):
            for bits in (8, 16):
                for compression in (None, "zlib", "lzw"):
                    samples = photograph(next(names)).astype(f"{order}u{bits // 8}") * (
                        257 if bits == 16 else 1
                    )
                    stored = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
                    data = encode(
                        stored,
                        photometric="rgb",
                        planarconfig=planar,
                        compression=compression,
                        byteorder=order,
                    )
                    yield _golden(f"{bits} bits {planar} {order} {compression}", data, 0, 2**bits - 1)
    tiles = photograph(next(names)).astype(np.uint16) * 257
    yield _golden(
        "16 bits in tiles", encode(tiles, photometric="rgb", tile=(64, 64), compression="zlib"), 0, 65535
    )
    for order in "<>":
        for layout in ({"tile": (64, 48)}, {"rowsperstrip": 7}):
            planes = np.moveaxis(photograph(next(names)).astype(f"{order}u2") * 257, -1, 0)
            data = encode(planes, photometric="rgb", planarconfig="separate", byteorder=order, **layout)
            yield _golden(f"16 bits separate {order} {layout}", data, 0, 65535)
    for bits, orientation in product((8, 16), (1, 3, 6, 8)):
        planes = np.moveaxis(
            photograph(next(names)).astype(f"u{bits // 8}") * (257 if bits == 16 else 1), -1, 0
        )
        tag = [(274, "H", 1, orientation, True)]
        data = encode(planes, photometric="rgb", planarconfig="separate", extratags=tag)
        stored = levels_of(data, 0, 2**bits - 1)
        right = np.ascontiguousarray(np.rot90(stored, {1: 0, 3: 2, 6: 3, 8: 1}[orientation]))
        yield Golden(f"tiff/{bits} bits separate, orientation {orientation}", data, right, BY)
    few = np.moveaxis(photograph(next(names)).astype(np.uint32) * 4095 // 255, -1, 0).astype(np.uint16)
    data = encode(few, photometric="rgb", planarconfig="separate")
    yield _golden("planes of 12 bits in 16", data, 0, 4095)


def _transparent(names: Iterator[str]) -> Iterator[Golden]:
    kinds = (("straight", "unassalpha"), ("premultiplied", "assocalpha"))
    for planar, bits in product(("contig", "separate"), (8, 16)):
        most = 2**bits - 1
        for kind, extra in kinds:
            colours = photograph(next(names))
            alpha = ellipse(colours.shape)
            stored = colours / 255 * (alpha[:, :, None] if kind == "premultiplied" else 1)
            samples = np.concatenate([stored, alpha[:, :, None]], axis=-1) * most + 0.5
            stored = samples.astype(f"u{bits // 8}")
            layout = {}
            if planar == "separate":
                stored, layout = np.moveaxis(stored, -1, 0), {"planarconfig": planar}
            data = encode(stored, photometric="rgb", extrasamples=[extra], **layout)
            read = decode(data) / most
            right = (
                read[..., :3] + 1 - read[..., 3:]
                if kind == "premultiplied"
                else over((read[..., :3] * 255).round().astype(np.uint8), read[..., 3]) / 255
            )
            right = (right.clip(0, 1) * 255 + 0.5).astype(np.uint8)
            yield Golden(f"tiff/alpha {kind}, {bits} bits, {planar}", data, right, BY)


def _faint(names: Iterator[str]) -> Iterator[Golden]:
    """Opacity that nowhere reaches a quarter is no opacity of fewer bits."""
    for planar in ("contig", "separate"):
        colours = photograph(next(names)).astype(np.uint16) * 257
        samples = np.dstack([colours, np.full(colours.shape[:2], 65535 // 5, np.uint16)])
        stored, layout = samples, {}
        if planar == "separate":
            stored, layout = np.moveaxis(samples, -1, 0), {"planarconfig": planar}
        data = encode(stored, photometric="rgb", extrasamples=["unassalpha"], **layout)
        read = decode(data) / 65535
        right = over((read[..., :3] * 255).round().astype(np.uint8), read[..., 3])
        yield Golden(f"tiff/faint alpha, {planar}", data, right, BY)


def _few_bits_with_alpha(names: Iterator[str]) -> Iterator[Golden]:
    for bits in (10, 12):
        most = 2**bits - 1
        source = photograph(next(names))
        alpha = ellipse(source.shape)
        samples = np.dstack([source.astype(np.uint32) * most // 255, alpha * most]).astype(np.uint16)
        data = encode(samples, photometric="rgb", extrasamples=["unassalpha"])
        read = decode(data) / most
        right = over((read[..., :3] * 255).round().astype(np.uint8), read[..., 3])
        yield Golden(f"tiff/colour and alpha, {bits} bits in 16", data, right, BY)


def _light_inks(names: Iterator[str]) -> Iterator[Golden]:
    """Little ink in 16 bits: a light picture, not one of fewer bits."""
    inks = (255 - photograph(next(names)).astype(np.uint32)) * 257 // 6
    samples = np.dstack([inks, np.zeros(inks.shape[:2])]).astype(np.uint16)
    data = encode(samples, photometric="separated")
    light = 1 - decode(data)[..., :3] / 65535
    yield Golden("tiff/light CMYK of 16 bits", data, (light * 255 + 0.5).astype(np.uint8), BY)


def _ranges(names: Iterator[str]) -> Iterator[Golden]:
    """SMinSampleValue and SMaxSampleValue say what is black and white."""
    for dtype, low, high in (("<u2", 1000, 9000), ("<i2", -500, 1500), ("<f4", -2.5, 7.5), ("<f4", 0, 0.2)):
        grey = grey_photograph(next(names)) / 255 * (high - low) * 1.2 + low
        code = {"u": "H", "i": "h", "f": "f"}[np.dtype(dtype).kind]
        data = encode(grey.astype(dtype), extratags=[(340, code, 1, low, True), (341, code, 1, high, True)])
        yield _golden(f"{dtype} shown from {low} to {high}", data, low, high)
