"""Pictures that are small to store and dear to decode."""

import struct
import zlib


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """Return a progressive JPEG of one grey that passes over all its blocks `scans` times, 60 bytes a scan for 2,000 x 2,000."""
    blocks = ((side + 7) // 8) ** 2
    # One code of one bit in each table: DC difference 0; AC "end of band" for 2 ** 14 blocks and more.
    one_code = bytes([1] + [0] * 15)
    header = (
        b"\xff\xd8"
        + jpeg_segment(0xDB, b"\0" + b"\1" * 64)
        + jpeg_segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0))
        + jpeg_segment(0xC4, b"\x00" + one_code + b"\x00")
        + jpeg_segment(0xC4, b"\x10" + one_code + b"\xe0")
    )
    dc = jpeg_segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0])) + b"\0" * (blocks // 8) + b"\x7f"
    # A code is 1 bit and 14 further bits for how many blocks more than 2 ** 14 it ends.
    runs, bits = -(-blocks // (2**14)), ""
    bits = "0" + "0" * 14
    data = (bits * runs).ljust(-(-15 * runs // 8) * 8, "1")
    ac = jpeg_segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0])) + bytes(
        int(data[i : i + 8], 2) for i in range(0, len(data), 8)
    )
    return header + dc + ac * scans + b"\xff\xd9"


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *, bits: int = 8, color: int = 0) -> bytes:
    """Return a PNG all black; its size costs next to nothing."""
    channels = {0: 1, 2: 3, 6: 4}[color]
    row = b"\0" * (1 + (width * bits * channels + 7) // 8)
    squeeze = zlib.compressobj(9 if len(row) * height < 2**20 else 1)
    body = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
        + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )
