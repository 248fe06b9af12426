"""Read a TIFF's directories without a library: what kind of picture it is, and how large, is asked before any decoder runs."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# TIFF 6.0 and its registered tags.
REDUCED, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, MAKE = 254, 256, 257, 258, 259, 262, 271
SAMPLES, PLANAR, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 277, 284, 330, 338, 339, 50706
TILE_WIDTH, TILE_HEIGHT, ROWS_PER_STRIP = 322, 323, 278

_GREY, _RGB = (0, 1), 2
_ALPHA = (1, 2)
_TEXT = 2
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_MAX_VALUES = 16
_MAX_TEXT_BYTES = 64
_MAX_ENTRIES = 1024
_MAX_DIRECTORIES = 24


@dataclass(frozen=True)
class Directory:
    """What one image file directory says.

    Attributes:
        numbers: Of each numeric tag its first 16 values.
        texts: Of each text its first 64 bytes.
    """

    numbers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def number(self, tag: int, default: int = 0) -> int:
        """Return a tag's first value."""
        values = self.numbers.get(tag)
        return values[0] if values else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, 0 where the tag is missing."""
        return self.number(WIDTH), self.number(HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether it says of itself that it is a smaller copy of another."""
        return bool(self.number(REDUCED) & 1)


def is_choice_of_bands(photometric: int, count: int, extra_samples: Sequence[int]) -> bool:
    """Whether a picture has more bands than a screen shows, or bands of which it does not say that they are colours.

    Alpha is none of them. Pictures of one or two bands, of ink, of a palette, and of red, green and blue alone have no choice.
    """
    bands = count - sum(1 for kind in extra_samples if kind in _ALPHA)
    if photometric == _RGB:
        return bands > 3
    return photometric in _GREY and bands >= 3


@dataclass(frozen=True)
class _Layout:
    """How a file writes numbers: classic TIFF in 4 bytes, BigTIFF in 8."""

    order: str
    is_big: bool

    @property
    def word(self) -> str:
        return self.order + ("Q" if self.is_big else "I")


def read_directories(data: bytes) -> list[Directory]:
    """Return the directories of the main chain, each followed by those that it points to as its own; at most 24.

    Damaged parts count as missing, and nothing is followed twice.
    """
    return [directory for directory, _ in _walk(data)]


def _walk(data: bytes) -> Iterator[tuple[Directory, int]]:
    layout = _layout(data)
    if layout is None:
        return
    begin = _unpack(layout.word, data, 8 if layout.is_big else 4)
    waiting, seen = [begin or 0], set[int]()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        offset = waiting.pop(0)
        if not offset or offset in seen:
            continue
        seen.add(offset)
        directory, following = _read_directory(data, layout, offset)
        waiting[:0] = [*directory.numbers.get(SUB_DIRECTORIES, ()), following]
        yield directory, offset


def _layout(data: bytes) -> _Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    # 42 in classic TIFF, 43 in BigTIFF; Olympus and Panasonic write numbers of their own and the same directories.
    return _Layout(order, _unpack(order + "H", data, 2) == 43)


def _unpack(form: str, data: bytes, offset: int) -> int | None:
    try:
        value: int = struct.unpack_from(form, data, offset)[0]
    except struct.error:
        return None
    return value


def _read_directory(data: bytes, layout: _Layout, offset: int) -> tuple[Directory, int]:
    """Read a directory and where the next one of its chain begins, 0 for nowhere."""
    directory = Directory()
    head, entry = (8, 20) if layout.is_big else (2, 12)
    count = _unpack(layout.order + ("Q" if layout.is_big else "H"), data, offset) or 0
    for index in range(min(count, _MAX_ENTRIES)):
        _read_entry(data, layout, offset + head + entry * index, directory)
    following = _unpack(layout.word, data, offset + head + entry * count) if count <= _MAX_ENTRIES else 0
    return directory, following or 0


def _read_entry(data: bytes, layout: _Layout, at: int, directory: Directory) -> None:
    tag, kind = _unpack(layout.order + "H", data, at), _unpack(layout.order + "H", data, at + 2)
    count = _unpack(layout.word, data, at + 4)
    if tag is None or kind not in _SIZES or not count:
        return
    value_at, room = (at + 12, 8) if layout.is_big else (at + 8, 4)
    if _SIZES[kind] * count > room:
        value_at = _unpack(layout.word, data, value_at) or len(data)
    if kind == _TEXT:
        raw = data[value_at : value_at + min(count, _MAX_TEXT_BYTES)]
        directory.texts[tag] = raw.split(b"\0")[0].decode("ascii", "replace").strip()
    elif kind in _NUMBERS:
        places = range(min(count, _MAX_VALUES))
        found = [_unpack(layout.order + _NUMBERS[kind], data, value_at + _SIZES[kind] * i) for i in places]
        directory.numbers[tag] = tuple(number for number in found if number is not None)
