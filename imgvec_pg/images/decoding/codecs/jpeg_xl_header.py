"""What a JPEG XL announces, read without its library; ISO/IEC 18181-1 annexes D and E, 18181-2 section 9."""

from dataclasses import dataclass

CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
# Distributions of numbers: the bits that follow, and what is added to them.
_SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_BITS = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_BITS = ((0, 32), (0, 16), (0, 24), (6, 1))
_EXTRA_CHANNELS = ((0, 0), (0, 1), (4, 2), (12, 1))
_DIMENSION_SHIFT = ((0, 0), (0, 3), (0, 4), (3, 1))
_NAME_BYTES = ((0, 0), (4, 0), (5, 16), (10, 48))
_FILTER_INDEX = ((0, 1), (2, 0), (4, 3), (8, 19))
_COORDINATE = ((19, 0), (19, 524_288), (20, 1_048_576), (21, 2_097_152))
_TICKS = ((0, 100), (0, 1000), (10, 1), (30, 1))
_DIVISOR = ((0, 1), (0, 1001), (8, 1), (10, 1))
_LOOPS = ((0, 0), (3, 0), (16, 0), (32, 0))
# Width in terms of height, by the field `ratio`; 0 stands for a width of its own.
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA, _SPOT, _FILTER = 0, 2, 5
_GREY, _XYB = 1, 2
_CUSTOM = 2
_HEADER_BYTES = 8192
SRGB = (1, 13)


@dataclass(frozen=True)
class Header:
    """What precedes the first frame.

    Attributes:
        width: In pixels, upright.
        height: Likewise.
        bits: Of a sample.
        is_animated: There are several frames.
        space: Primaries and transfer characteristics as numbers of ITU-T H.273; None where an ICC profile says it.
        has_alpha_multiplied: Colours were multiplied by their opacity.
    """

    width: int
    height: int
    bits: int = 8
    is_animated: bool = False
    space: tuple[int, int] | None = SRGB
    has_alpha_multiplied: bool = False


class _Bits:
    """Bits of a codestream, from the lowest of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def number(self, distribution: tuple[tuple[int, int], ...]) -> int:
        """Take two bits, and what the distribution of these says."""
        count, offset = distribution[self.take(2)]
        return self.take(count) + offset


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
    if bits.take(1):  # all_default
        return Header(width, height)
    orientation, is_animated = _extra_fields(bits) if bits.take(1) else (1, False)
    depth = _bit_depth(bits)
    bits.take(1)  # modular_16bit_buffers
    multiplied = [_extra_channel(bits) for _ in range(bits.number(_EXTRA_CHANNELS))]
    bits.take(1)  # xyb_encoded
    size = (height, width) if orientation > 4 else (width, height)
    return Header(*size, depth, is_animated, _colour_space(bits), any(multiplied))


def _size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if is_small else bits.number(_SIDE)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height
    return (bits.take(5) + 1) * 8 if is_small else bits.number(_SIDE), height


def _extra_fields(bits: _Bits) -> tuple[int, bool]:
    """Read the orientation, and whether there is an animation."""
    orientation = bits.take(3) + 1
    if bits.take(1):  # have_intr_size
        _size(bits)
    if bits.take(1):
        raise ValueError("it has a preview frame, which no encoder writes")
    is_animated = bool(bits.take(1))
    if is_animated:
        for distribution in (_TICKS, _DIVISOR, _LOOPS):
            bits.number(distribution)
        bits.take(1)  # have_timecodes
    return orientation, is_animated


def _bit_depth(bits: _Bits) -> int:
    """Read the bits of a sample, of whole numbers and of floats."""
    if not bits.take(1):
        return bits.number(_BITS)
    depth = bits.number(_FLOAT_BITS)
    bits.take(4)  # of the exponent
    return depth


def _extra_channel(bits: _Bits) -> bool:
    """Read what is said of a channel beside the colours: whether it is opacity that they were multiplied by."""
    if bits.take(1):  # d_alpha: opacity, not multiplied
        return False
    kind = bits.number(_ENUM)
    _bit_depth(bits)
    bits.number(_DIMENSION_SHIFT)
    bits.take(8 * bits.number(_NAME_BYTES))
    is_multiplied = bool(bits.take(1)) if kind == _ALPHA else False
    if kind == _SPOT:
        bits.take(4 * 16)
    if kind == _FILTER:
        bits.number(_FILTER_INDEX)
    return is_multiplied


def _colour_space(bits: _Bits) -> tuple[int, int] | None:
    if bits.take(1):  # all_default
        return SRGB
    has_profile, kind = bits.take(1), bits.number(_ENUM)
    if has_profile:
        return None
    white, primaries = 1, 1
    if kind != _XYB:
        white = bits.number(_ENUM)
        if white == _CUSTOM:
            _points(bits, 1)
        if kind != _GREY:
            primaries = bits.number(_ENUM)
            if primaries == _CUSTOM:
                _points(bits, 3)
    gamma = bits.take(24) if bits.take(1) else None
    # Gamma is told as the exponent that encodes, in ten-millionths: that of 2.2 has a number of its own.
    transfer = bits.number(_ENUM) if gamma is None else 4 if abs(gamma / 1e7 - 1 / 2.2) < 0.01 else 13
    # The numbers are H.273's, but P3 is 11 with either of its white points.
    return (12 if primaries == 11 and white == 1 else primaries), transfer


def _points(bits: _Bits, count: int) -> None:
    for _ in range(2 * count):
        bits.number(_COORDINATE)


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
