"""Golden animations, put together here byte by byte: which frame is shown, and what lies around a small one."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from golden import NAMES, Golden, Levels, photograph
from goldenpngs import chunk
from goldenpngs import encode as encode_png
from PIL import Image

BY = "the frames that it was made of"
# 6 levels of each colour, and a last entry that may be transparent.
_STEPS = np.arange(6) * 51
PALETTE = (
    np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
)
CLEAR_INDEX = 255


@dataclass(frozen=True)
class Placed:
    """A frame upon its canvas: indices of the palette for GIF, shape (height, width), else RGBA."""

    samples: npt.NDArray[Any]
    left: int = 0
    top: int = 0
    disposal: int = 0
    blend: int = 0


def animations() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for kind in (_gifs, _webps, _apngs, _avifs):
        yield from kind(names)


def _indices(levels: Levels) -> npt.NDArray[np.uint8]:
    red, green, blue = np.moveaxis((levels.astype(int) + 25) // 51, -1, 0)
    return (red * 36 + green * 6 + blue).astype(np.uint8)


def _upon(size: tuple[int, int], levels: Levels, left: int, top: int) -> Levels:
    canvas = np.full((*size, 3), 255, np.uint8)
    canvas[top : top + levels.shape[0], left : left + levels.shape[1]] = levels
    return canvas


def gif(size: tuple[int, int], frames: Sequence[Placed], transparent: bool) -> bytes:
    """Return a GIF89a of a canvas of height and width."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(PALETTE)] = PALETTE
    # Index 0 is a strong red that no frame has: what a reader fills the canvas with shows.
    palette[0] = (255, 0, 0)
    body = b"GIF89a" + struct.pack("<HHBBB", size[1], size[0], 0xF7, 0, 0) + palette.tobytes()
    body += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00" if len(frames) > 1 else b""
    for frame in frames:
        flags = frame.disposal << 2 | transparent
        body += b"\x21\xf9\x04" + struct.pack("<BHBB", flags, 10, CLEAR_INDEX, 0)
        height, width = frame.samples.shape
        body += b"," + struct.pack("<HHHHB", frame.left, frame.top, width, height, 0) + b"\x08"
        codes = _lzw(frame.samples)
        body += b"".join(
            bytes([len(codes[at : at + 255])]) + codes[at : at + 255] for at in range(0, len(codes), 255)
        )
        body += b"\0"
    return body + b";"


def _lzw(indices: npt.NDArray[np.uint8]) -> bytes:
    """Return codes of 9 bits each, with a clear code before they would need 10."""
    flat = indices.reshape(-1).astype(np.uint16)
    parts = [np.concatenate([[256], flat[at : at + 250]]) for at in range(0, len(flat), 250)]
    codes = np.concatenate([*parts, [257]]).astype(np.uint16)
    bits = (codes[:, None] >> np.arange(9) & 1).astype(np.uint8).reshape(-1)
    return np.packbits(bits, bitorder="little").tobytes()


def _gifs(names: Iterator[str]) -> Iterator[Golden]:
    def picture() -> tuple[npt.NDArray[np.uint8], Levels]:
        indices = _indices(photograph(next(names)))
        indices[indices == 0] = 1
        return indices, PALETTE[indices]

    indices, levels = picture()
    height, width = indices.shape
    size = (height * 3 // 2, width * 3 // 2)
    yield Golden("gif/whole first frame", gif((height, width), [Placed(indices)], False), levels, BY)
    for transparent in (False, True):
        data = gif(size, [Placed(indices, width // 4, height // 4)], transparent)
        right = _upon(size, levels, width // 4, height // 4)
        yield Golden(f"gif/small first frame, transparent colour {transparent}", data, right, BY)
    indices, levels = picture()
    height, width = indices.shape
    size = (height * 2, width * 2)
    other = Placed(np.full(size, 40, np.uint8))
    data = gif(size, [Placed(indices, 9, height), other], False)
    yield Golden("gif/small first frame of several", data, _upon(size, levels, 9, height), BY)
    holes = indices.copy()
    holes[: height // 3] = CLEAR_INDEX
    right = levels.copy()
    right[: height // 3] = 255
    yield Golden("gif/transparent above", gif((height, width), [Placed(holes)], True), right, BY)
    empty = Placed(np.full((height, width), CLEAR_INDEX, np.uint8))
    for count in (1, 5):
        data = gif((height, width), [*[empty] * count, Placed(indices)], True)
        yield Golden(f"gif/{count} empty frames first", data, levels, BY, ("later_frame",))
    white = Placed(np.full((height, width), 215, np.uint8))
    data = gif((height, width), [white, Placed(indices)], False)
    yield Golden("gif/white first", data, levels, BY, ("later_frame",))
    data = gif((height, width), [empty] * 4, True)
    yield Golden("gif/every frame empty", data, np.full((height, width, 3), 255, np.uint8), BY, ("blank",))


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _three(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def webp(size: tuple[int, int], frames: Sequence[Placed], has_alpha: bool) -> bytes:
    """Return an animated WebP of lossless frames, which says of itself whether it has transparency."""
    head = bytes([0x02 | 0x10 * has_alpha, 0, 0, 0]) + _three(size[1] - 1) + _three(size[0] - 1)
    body = _riff(b"VP8X", head) + _riff(b"ANIM", struct.pack("<IH", 0xFF00FF00, 0))
    for frame in frames:
        encoded = bytes(imagecodecs.webp_encode(np.ascontiguousarray(frame.samples), lossless=True))
        start = encoded.index(b"VP8L")
        height, width = frame.samples.shape[:2]
        place = _three(frame.left // 2) + _three(frame.top // 2) + _three(width - 1) + _three(height - 1)
        body += _riff(b"ANMF", place + _three(100) + bytes([frame.blend << 1]) + encoded[start:])
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _webps(names: Iterator[str]) -> Iterator[Golden]:
    levels = photograph(next(names))
    height, width = levels.shape[:2]
    size = (height * 3 // 2, width * 3 // 2)
    for has_alpha in (False, True):
        data = webp(size, [Placed(levels, 40, 20), Placed(levels[::-1], 0, 0)], has_alpha)
        yield Golden(
            f"webp/small first frame, transparency announced {has_alpha}",
            data,
            _upon(size, levels, 40, 20),
            BY,
        )
    data = webp((height, width), [Placed(levels), Placed(levels[::-1])], False)
    yield Golden("webp/whole first frame", data, levels, BY)
    empty = Placed(np.zeros((height, width, 4), np.uint8))
    for count in (1, 4):
        data = webp((height, width), [*[empty] * count, Placed(levels)], True)
        yield Golden(f"webp/{count} empty frames first", data, levels, BY, ("later_frame",))
    data = webp((height, width), [empty] * 3, True)
    yield Golden("webp/every frame empty", data, np.full(levels.shape, 255, np.uint8), BY, ("blank",))


def apng(size: tuple[int, int], frames: Sequence[Placed], default: Levels | None = None) -> bytes:
    """Return an APNG; `default` is what readers without animations show, and no frame."""
    first = frames[0].samples if default is None else default
    template = encode_png(np.zeros((*size, first.shape[2]), np.uint8), 8)
    body, sequence = template[:33] + chunk(b"acTL", struct.pack(">II", len(frames), 0)), 0
    if default is not None:
        body += chunk(b"IDAT", _idat(default))
    for frame in frames:
        height, width = frame.samples.shape[:2]
        control = struct.pack(
            ">IIIIIHHBB", sequence, width, height, frame.left, frame.top, 1, 10, frame.disposal, frame.blend
        )
        body += chunk(b"fcTL", control)
        sequence += 1
        if sequence == 1 and default is None:
            body += chunk(b"IDAT", _idat(frame.samples))
        else:
            body += chunk(b"fdAT", struct.pack(">I", sequence) + _idat(frame.samples))
            sequence += 1
    return body + chunk(b"IEND", b"")


def _idat(samples: npt.NDArray[Any]) -> bytes:
    encoded = encode_png(samples, 8)
    start = encoded.index(b"IDAT")
    return encoded[start + 4 : start + 4 + int.from_bytes(encoded[start - 4 : start], "big")]


def _apngs(names: Iterator[str]) -> Iterator[Golden]:
    levels = photograph(next(names))
    height, width = levels.shape[:2]
    stand_in = photograph("coffee")[:height, :width][::1]
    other = np.ascontiguousarray(np.resize(stand_in, levels.shape))
    yield Golden("apng/first frame", apng((height, width), [Placed(levels), Placed(other)]), levels, BY)
    data = apng((height, width), [Placed(levels), Placed(levels[::-1])], default=other)
    yield Golden("apng/separate stand-in", data, levels, BY)
    data = apng((height, width), [Placed(levels, blend=1)], default=other)
    yield Golden("apng/separate stand-in, first frame laid over", data, levels, BY)
    part = levels[: height // 2, : width // 2]
    for blend in (0, 1):
        data = apng((height, width), [Placed(part, 30, 20, blend=blend)], default=other)
        right = _upon((height, width), part, 30, 20)
        yield Golden(f"apng/separate stand-in, small first frame, blend {blend}", data, right, BY)
    opaque = np.dstack([levels, np.full((height, width), 255, np.uint8)])
    empty = np.zeros_like(opaque)
    data = apng((height, width), [Placed(empty), Placed(empty), Placed(opaque)])
    yield Golden("apng/2 empty frames first", data, levels, BY, ("later_frame",))
    data = apng((height, width), [Placed(empty), Placed(opaque, blend=1)], default=opaque[::-1])
    yield Golden("apng/separate stand-in, empty frame first", data, levels, BY, ("later_frame",))
    data = apng((height, width), [Placed(empty)] * 3)
    yield Golden("apng/every frame empty", data, np.full(levels.shape, 255, np.uint8), BY, ("blank",))


def _avifs(names: Iterator[str]) -> Iterator[Golden]:
    levels = photograph(next(names))
    opaque = np.dstack([levels, np.full(levels.shape[:2], 255, np.uint8)])
    frames = [Image.fromarray(frame) for frame in (np.zeros_like(opaque), np.zeros_like(opaque), opaque)]
    stream = BytesIO()
    frames[0].save(stream, "AVIF", save_all=True, append_images=frames[1:], quality=95, speed=9)
    data = stream.getvalue()
    yield Golden("avif/2 empty frames first", data, levels, BY, ("later_frame",), 3)
