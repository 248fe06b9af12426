"""Read the few EXIF tags that matter here without Pillow, which answers damaged EXIF with warnings."""

import struct
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime

# Exif 2.32: tag numbers and types.
ORIENTATION, EXIF_FOLDER, DATE_TIME_ORIGINAL, OFFSET_TIME_ORIGINAL = 0x0112, 0x8769, 0x9003, 0x9011
ASCII, SHORT, LONG = 2, 3, 4
MAX_TEXT_BYTES = 64


@dataclass(frozen=True)
class Exif:
    """What an EXIF block says.

    Attributes:
        orientation: 1 to 8; 1 is upright, and what a missing or damaged tag means.
        taken_at: When the photograph was taken, in the years 2 to 9998; a camera that noted no offset is taken to be in
            UTC.
    """

    orientation: int = 1
    taken_at: datetime | None = None


def read_exif(block: bytes | None) -> Exif:
    """Read an EXIF block; damaged parts count as missing."""
    if not block:
        return Exif()
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return Exif()
    main = _read_folder(tiff, order, _number(tiff, order, 4, LONG) or 0)
    orientation = main.get(ORIENTATION)
    folder = main.get(EXIF_FOLDER)
    details = _read_folder(tiff, order, folder) if isinstance(folder, int) else {}
    return Exif(
        orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        _time(details.get(DATE_TIME_ORIGINAL), details.get(OFFSET_TIME_ORIGINAL)),
    )


def _number(tiff: bytes, order: str, offset: int, kind: int) -> int | None:
    try:
        value: int = struct.unpack_from(order + ("H" if kind == SHORT else "I"), tiff, offset)[0]
    except struct.error:
        return None
    return value


def _read_folder(tiff: bytes, order: str, offset: int) -> dict[int, int | str]:
    """Read the numbers and texts of one image file directory; nothing nests, so nothing can loop."""
    entries: dict[int, int | str] = {}
    for index in range(_number(tiff, order, offset, SHORT) or 0):
        try:
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, offset + 2 + 12 * index)
        except struct.error:
            break
        value_at = offset + 10 + 12 * index
        if kind in (SHORT, LONG) and count == 1:
            number = _number(tiff, order, value_at, kind)
            if number is not None:
                entries[tag] = number
        elif kind == ASCII and count <= MAX_TEXT_BYTES:
            start = value_at if count <= 4 else _number(tiff, order, value_at, LONG)
            if start is not None:
                entries[tag] = tiff[start : start + count].split(b"\0")[0].decode("ascii", "replace").strip()
    return entries


def _time(taken: int | str | None, offset: int | str | None) -> datetime | None:
    if not isinstance(taken, str):
        return None
    if isinstance(offset, str):
        try:
            return _possible(datetime.strptime(f"{taken} {offset}", "%Y:%m:%d %H:%M:%S %z"))
        except ValueError:
            pass
    try:
        return _possible(datetime.strptime(taken, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC))
    except ValueError:
        return None


def _possible(taken: datetime) -> datetime | None:
    """Return a time, or None in the first and the last year of all, which programs write for "unknown".

    In another time zone such a time may lie outside of what a datetime can hold.
    """
    if not MINYEAR < taken.year < MAXYEAR:
        return None
    return taken if MINYEAR < taken.astimezone(UTC).year < MAXYEAR else None
