"""The size that a JPEG XL announces, read without its library; ISO/IEC 18181-1 section D.2, 18181-2 section 9."""

CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
# Distributions of SizeHeader's fields: bits of a side less 1.
_SIDE_BITS = (9, 13, 18, 30)
# Width in terms of height, by the field `ratio`; 0 stands for a width of its own.
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class _Bits:
    """Bits of a codestream, from the lowest of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        ValueError: There is none.
    """
    stream = _codestream(data)
    if stream[:2] != CODESTREAM or len(stream) < 12:
        raise ValueError("it has no codestream")
    bits = _Bits(stream[2:24])
    is_small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if is_small else bits.take(_SIDE_BITS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        width = height * numerator // denominator
    else:
        width = (bits.take(5) + 1) * 8 if is_small else bits.take(_SIDE_BITS[bits.take(2)]) + 1
    return (height, width) if _orientation(bits) > 4 else (width, height)


def _orientation(bits: _Bits) -> int:
    # ImageMetadata: all_default, extra_fields, orientation less 1.
    if bits.take(1) or not bits.take(1):
        return 1
    return bits.take(3) + 1


def _codestream(data: bytes) -> bytes:
    """Return the beginning of the codestream: itself, or of a container's first box that holds it."""
    if not data.startswith(_CONTAINER):
        return data[:24]
    start = 0
    while start + 8 <= len(data):
        length, head = int.from_bytes(data[start : start + 4], "big"), 8
        kind = data[start + 4 : start + 8]
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if kind == b"jxlc":
            return data[start + head : start + head + 24]
        if kind == b"jxlp":  # in parts: a number comes first
            return data[start + head + 4 : start + head + 28]
        if length < head:
            break
        start += length
    return b""
