"""Colour space that an AVIF or HEIF file states by numbers (`colr` of type `nclx`), which decoders to 8-bit RGB drop."""

import struct
from collections.abc import Iterator

# ISO/IEC 14496-12 and 23008-12: box, its children, the bytes of its own before them.
_META, _PRIMARY, _PROPERTIES, _CONTAINER, _ASSOCIATIONS = b"meta", b"pitm", b"iprp", b"ipco", b"ipma"
FULL_BOX_BYTES = 4


def read_nclx(data: bytes) -> tuple[int, int] | None:
    """Return the primary picture's primaries and transfer characteristics (ITU-T H.273); None where it has none or a profile."""
    colours = _properties_of_primary(data, b"colr")
    if any(colour[:4] in (b"prof", b"rICC") for colour in colours):
        return None
    for colour in colours:
        if colour[:4] == b"nclx" and len(colour) >= 8:
            primaries, transfer = struct.unpack_from(">HH", colour, 4)
            return primaries, transfer
    return None


def read_av1_bits(data: bytes) -> int | None:
    """Return the bits of the primary picture's samples (AV1-ISOBMFF section 2.3.3, `av1C`); None where it does not say."""
    records = _properties_of_primary(data, b"av1C")
    if not records or len(records[0]) < 3:
        return None
    is_high, is_twelve = records[0][2] & 0x40, records[0][2] & 0x20
    return (12 if is_twelve else 10) if is_high else 8


def _properties_of_primary(data: bytes, wanted_kind: bytes) -> list[bytes]:
    """Return the contents of the primary picture's properties of a kind; none where the boxes are damaged."""
    try:
        meta = _find(data, 0, len(data), _META)
        if meta is None:
            return []
        start, end = meta[0] + FULL_BOX_BYTES, meta[1]
        properties = _find(data, start, end, _PROPERTIES)
        if properties is None:
            return []
        container, associations = (_find(data, *properties, kind) for kind in (_CONTAINER, _ASSOCIATIONS))
        if container is None or associations is None:
            return []
        wanted = _of_item(data, *associations, _primary_item(data, start, end))
        return [
            data[box_start:box_end]
            for index, (kind, box_start, box_end) in enumerate(_boxes(data, *container), 1)
            if kind == wanted_kind and index in wanted
        ]
    except (struct.error, IndexError):
        return []


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, start and end of the contents of each box."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def _find(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    return next((box[1:] for box in _boxes(data, start, end) if box[0] == wanted), None)


def _primary_item(data: bytes, start: int, end: int) -> int:
    box = _find(data, start, end, _PRIMARY)
    if box is None:
        return 1
    number: int = struct.unpack_from(">H" if data[box[0]] == 0 else ">I", data, box[0] + FULL_BOX_BYTES)[0]
    return number


def _of_item(data: bytes, start: int, end: int, item: int) -> set[int]:
    """Return the indices, from 1, of an item's properties."""
    version, is_wide = data[start], data[start + 3] & 1
    count = struct.unpack_from(">I", data, start + FULL_BOX_BYTES)[0]
    at = start + FULL_BOX_BYTES + 4
    for _ in range(count):
        if at >= end:
            break
        number = struct.unpack_from(">H" if version == 0 else ">I", data, at)[0]
        at += 2 if version == 0 else 4
        size = 2 if is_wide else 1
        entries = data[at + 1 : at + 1 + size * data[at]]
        at += 1 + size * data[at]
        if number == item:
            # The highest bit says that the property is essential.
            mask = 0x7FFF if is_wide else 0x7F
            return {
                int.from_bytes(entries[place : place + size], "big") & mask
                for place in range(0, len(entries), size)
            }
    return set()
