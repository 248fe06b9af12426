"""Chunks of a PNG that say how its samples are meant, which Pillow leaves out of account, reads too strictly or turns down."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from imgvec_pg.images.rendering.colour import MAX_PROFILE_BYTES

SIGNATURE_BYTES = 8
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
"""Colour types: PNG 3rd edition, section 11.2.1."""
# Texts, and the profile, which this module reads: Pillow refuses the file where one takes more than a mebibyte.
_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_FRAME_CONTROL = struct.Struct(">IIIIIHHBB")
_SEQUENCE_BYTES = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """First frame of an animation that is not the picture that readers without animations show.

    Attributes:
        box: Left, top, width and height within the canvas, in pixels.
        encoded: The frame alone, as a PNG.
    """

    box: tuple[int, int, int, int]
    encoded: bytes


@dataclass(frozen=True)
class PngChunks:
    """What a PNG's chunks say; those that are damaged count as missing.

    Attributes:
        bits: Of each sample.
        colour_type: `GREY` to `COLOUR_ALPHA`.
    """

    data: bytes
    bits: int
    colour_type: int

    @cached_property
    def _first(self) -> dict[bytes, bytes]:
        """The first of each chunk before the pixels."""
        found: dict[bytes, bytes] = {}
        for kind, start, end in chunks(self.data):
            if kind == b"IDAT":
                break
            if kind not in found:
                found[kind] = self.data[start + 8 : end - 4]
        return found

    @property
    def colour_key(self) -> tuple[int, ...] | None:
        """The colour that is transparent, in samples of the file's own bits."""
        body = self._first.get(b"tRNS", b"")
        count = {GREY: 1, COLOUR: 3}.get(self.colour_type, 0)
        if not count or len(body) < 2 * count:
            return None
        return tuple(value & (2**self.bits - 1) for value in struct.unpack_from(f">{count}H", body))

    @property
    def cicp(self) -> tuple[int, int] | None:
        """Colour primaries and transfer characteristics by their numbers in ITU-T H.273."""
        body = self._first.get(b"cICP", b"")
        return (body[0], body[1]) if len(body) == 4 else None

    @property
    def profile(self) -> bytes | None:
        """The ICC profile; b"?", which is none, where it cannot be decompressed or is too large."""
        body = self._first.get(b"iCCP")
        if body is None:
            return None
        _, _, packed = body.partition(b"\0")
        try:
            profile = zlib.decompressobj().decompress(packed[1:], MAX_PROFILE_BYTES + 1)
        except zlib.error:
            return b"?"
        return profile if profile and len(profile) <= MAX_PROFILE_BYTES else b"?"

    @property
    def gamma(self) -> float | None:
        """The exponent that samples were encoded with, such as 0.45455, where nothing else tells the colour space."""
        body = self._first.get(b"gAMA", b"")
        if len(body) != 4 or b"sRGB" in self._first:
            return None
        gamma = int.from_bytes(body, "big") / 100_000
        return gamma if 0.1 <= gamma <= 10 else None

    @property
    def chromaticities(self) -> tuple[Point, Point, Point, Point] | None:
        """White, red, green and blue as CIE x and y, where nothing else tells the colour space."""
        body = self._first.get(b"cHRM", b"")
        if len(body) != 32 or b"sRGB" in self._first:
            return None
        numbers = [value / 100_000 for value in struct.unpack(">8I", body)]
        points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if not all(0 < x < 1 and 0 < y < 1 for x, y in points):
            return None
        return points[0], points[1], points[2], points[3]

    def first_frame(self) -> Frame | None:
        """Return an animation's first frame where the pixels that come first (IDAT) are no part of it; None where they are."""
        if b"acTL" not in self._first or b"fcTL" in self._first:
            return None
        kept: list[bytes] = []
        pixels: list[bytes] = []
        control: bytes | None = None
        for kind, start, end in chunks(self.data):
            if kind == b"fcTL":
                if control is not None:
                    break
                control = self.data[start + 8 : end - 4]
            elif kind == b"fdAT" and control is not None:
                pixels.append(self.data[start + 8 + _SEQUENCE_BYTES : end - 4])
            elif kind not in (b"IHDR", b"IDAT", b"IEND", b"acTL", b"fdAT") and control is None:
                kept.append(self.data[start:end])
        if control is None or len(control) != _FRAME_CONTROL.size or not pixels:
            return None
        _, width, height, left, top, *_ = _FRAME_CONTROL.unpack(control)
        header = struct.pack(">II", width, height) + self._first[b"IHDR"][8:]
        parts = (chunk(b"IHDR", header), *kept, chunk(b"IDAT", b"".join(pixels)), chunk(b"IEND", b""))
        return Frame((left, top, width, height), self.data[:SIGNATURE_BYTES] + b"".join(parts))


def read_chunks(data: bytes) -> PngChunks:
    """Read what a PNG says of its samples.

    Raises:
        StopIteration, IndexError: It has no header, as none that Pillow opened.
    """
    header = next(data[start + 8 : end - 4] for kind, start, end in chunks(data) if kind == b"IHDR")
    return PngChunks(data, header[8], header[9])


def without_notes(data: bytes) -> bytes:
    """Return a PNG without its texts and its profile, however large; what is not whole at its end stays as it is."""
    kept = 0
    parts = []
    for kind, start, end in chunks(data):
        if kind in _NOTES:
            parts.append(data[kept:start])
            kept = end
    return b"".join((*parts, data[kept:])) if parts else data


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, start and end of each chunk that is whole, up to IEND."""
    at = SIGNATURE_BYTES
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
