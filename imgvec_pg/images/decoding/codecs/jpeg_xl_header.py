"""What a JPEG XL announces, read without its library; ISO/IEC 18181-1 annex D, 18181-2 section 9."""

from dataclasses import dataclass

CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
# Distributions of SizeHeader's fields: bits of a side less 1.
_SIDE_BITS = (9, 13, 18, 30)
# Width in terms of height, by the field `ratio`; 0 stands for a width of its own.
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_HEADER_BYTES = 40


@dataclass(frozen=True)
class Header:
    """Width and height in pixels, upright, and whether there are several frames."""

    width: int
    height: int
    is_animated: bool


class _Bits:
    """Bits of a codestream, from the lowest of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def read_header(data: bytes) -> Header:
    """Read the beginning of a codestream, bare or in a container.

    Raises:
        ValueError: There is none.
    """
    stream = _codestream(data)
    if stream[:2] != CODESTREAM or len(stream) < 8:
        raise ValueError("it has no codestream")
    bits = _Bits(stream[2:])
    width, height = _size(bits)
    orientation, is_animated = 1, False
    # ImageMetadata: all_default, extra_fields.
    if not bits.take(1) and bits.take(1):
        orientation = bits.take(3) + 1
        if bits.take(1):  # have_intr_size
            _size(bits)
        has_preview = bits.take(1)  # none is written in practice; what follows it would have to be skipped
        is_animated = not has_preview and bool(bits.take(1))
    return Header(height, width, is_animated) if orientation > 4 else Header(width, height, is_animated)


def _size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if is_small else bits.take(_SIDE_BITS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height
    return (bits.take(5) + 1) * 8 if is_small else bits.take(_SIDE_BITS[bits.take(2)]) + 1, height


def _codestream(data: bytes) -> bytes:
    """Return the beginning of the codestream: itself, or of a container's first box that holds it."""
    if not data.startswith(_CONTAINER):
        return data[:_HEADER_BYTES]
    start = 0
    while start + 8 <= len(data):
        length, head = int.from_bytes(data[start : start + 4], "big"), 8
        kind = data[start + 4 : start + 8]
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            at = start + head + (4 if kind == b"jxlp" else 0)  # of parts, each begins with its number
            return data[at : at + _HEADER_BYTES]
        if length < head:
            break
        start += length
    return b""
