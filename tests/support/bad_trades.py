"""Rows with bad pictures of the trades' formats, and odd ones that are embedded all the same."""

import struct

import numpy as np
from dicom_files import series
from trade_files import CAT, GREY, dng, linear, pfm, tiff

Row = tuple[str, str, bytes]

NOT_A_FINITE_NUMBER = np.full((20, 30, 3), np.nan, np.float32)


def with_tiff_numbers(data: bytes, **numbers: int) -> bytes:
    """Return a little-endian TIFF whose first directory says otherwise."""
    tags = {"width": 256, "height": 257, "compression": 259, "rows": 278, "bands": 277}
    changed = bytearray(data)
    start = struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag, kind = struct.unpack_from("<HH", data, at)
        for name, value in numbers.items():
            if tag == tags[name]:
                struct.pack_into("<H" if kind == 3 else "<I", changed, at + 8, value)
    return bytes(changed)


def raw_of_an_unknown_camera(make: str = "NIKON CORPORATION") -> bytes:
    """Return a TIFF of a sensor's values that no library knows."""
    sensor = np.zeros((8, 8), np.uint16)
    return tiff(sensor, photometric=32803, extratags=[(271, 2, 0, make, True)], metadata=None)


def trade_rows(embedded: str) -> list[Row]:
    """Return names, codes and bytes.

    Args:
        embedded: The code of rows that are no failure.
    """
    floats = tiff((CAT / 255).astype("<f4"), photometric="rgb")
    return [
        ("TIFF of 65,535 bands", "too_large", with_tiff_numbers(floats, bands=65_535)),
        ("TIFF cut short", "truncated", floats[: len(floats) // 2]),
        ("raw of an unknown camera", "format_denied", raw_of_an_unknown_camera()),
        ("raw", embedded, dng()),
        ("DICOM of 500 frames", embedded, series(500, GREY[:40, :60].copy())),
        ("floats that are all NaN", "truncated", pfm(NOT_A_FINITE_NUMBER)),
        ("negative floats", embedded, tiff(linear(GREY) - 5)),
        ("absurd light", embedded, pfm(linear(CAT) * np.float32(1e37))),
        ("TGA", "format_denied", struct.pack("<12B3H", 0, 0, 2, *(0,) * 9, 4, 4, 24) + bytes(48)),
    ]
