"""Rows whose pictures are bad in every way that the library names, each with the code it must end with."""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bad_trades import trade_rows
from hostile_images import jpeg_of_many_scans, png, png_chunk
from imgvec_faulty_embedder import NOT_A_NUMBER, RAISER
from PIL import Image
from skimage import data as photographs

from imgvec_pg.images.decoding.formats import is_tiff_allowed

EMBEDDED = "embedded"
CYCLIC_TIFF = b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8)


@dataclass(frozen=True)
class BadPicture:
    """One row: what it holds, what becomes of it, and after how many tries."""

    name: str
    code: str
    path: str | None = None
    content: bytes | None = None
    attempts: int = 1


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def photograph() -> bytes:
    return (Path(photographs.__file__).parent / "rocket.jpg").read_bytes()


def gif_of_many_frames(frames: int) -> bytes:
    """Return a GIF whose first frame is red and whose others are blue."""
    one = []
    for color in ("red", "blue"):
        image = Image.new("P", (8, 8), int(color == "blue"))
        image.putpalette([255, 0, 0, 0, 0, 255])
        one.append(encoded(image, "GIF", optimize=False))
    header = 6 + 7 + 3 * 2  # signature, screen, palette of two
    assert one[0][:header] == one[1][:header]
    return one[0][:-1] + one[1][header:-1] * (frames - 1) + b";"


def contents(decode_bomb: bytes) -> Iterator[BadPicture]:
    """Give the rows that hold their bytes."""
    grey = Image.new("RGB", (40, 30), "grey")
    whole = encoded(Image.open(io.BytesIO(photograph())), "PNG")
    thin = png(1, 60_000)
    assert len(thin) <= 400
    for name, code, content in (
        ("html", "unidentified", b"<!DOCTYPE html><html><body>404</body></html>"),
        ("svg", "unidentified", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("text", "unidentified", b"no picture today"),
        ("truncated JPEG", "truncated", photograph()[: len(photograph()) // 2]),
        ("truncated PNG", "truncated", whole[: len(whole) // 2]),
        ("20,000 x 20,000 of 1 bit", "too_large", png(20_000, 20_000, bits=1)),
        ("13,000 x 13,000", "too_large", png(13_000, 13_000)),
        ("1 x 60,000", "too_large", thin),
        ("GIF of 10,000 frames", EMBEDDED, gif_of_many_frames(10_000)),
        ("cyclic TIFF", "truncated" if is_tiff_allowed() else "format_denied", CYCLIC_TIFF),
        ("EPS", "format_denied", encoded(grey, "EPS")),
        ("PSD", "format_denied", b"8BPS\0\1" + b"\0" * 40),
        ("PDF", "format_denied", encoded(grey, "PDF")),
        ("JPEG of very many scans", "decode_limit", decode_bomb),
        ("picture that the model refuses", "embed_error", encoded(Image.new("RGB", (4, 4), RAISER), "PNG")),
        ("picture that becomes NaN", "bad_embedding", encoded(Image.new("RGB", (4, 4), NOT_A_NUMBER), "PNG")),
        ("PNG with a lying length", "truncated", whole[:8] + struct.pack(">I", 2**31 - 1) + whole[12:]),
        ("PNG without pixels", "truncated", whole[:33] + png_chunk(b"IEND", b"")),
        *trade_rows(EMBEDDED),
    ):
        yield BadPicture(name, code, content=content)


def files(root: Path) -> Iterator[BadPicture]:
    """Make files that are none, and give the rows that name them."""
    root.mkdir(exist_ok=True)
    outside = root.parent / "outside.png"
    outside.write_bytes(photograph())
    (root / "link.png").symlink_to(outside)
    (root / "loop.png").symlink_to("loop.png")
    (root / "folder.png").mkdir()
    os.mkfifo(root / "fifo.png")
    (root / "empty.png").touch()
    (root / "zero.png").symlink_to("/dev/zero")
    for name, code, path, attempts in (
        ("climbing path", "path_denied", "../../etc/passwd", 1),
        ("path outside", "path_denied", "/etc/passwd", 1),
        ("symbolic link out", "path_denied", "link.png", 1),
        ("symbolic link to itself", "path_denied", "loop.png", 1),
        ("symbolic link to /dev/zero", "path_denied", "zero.png", 1),
        ("FIFO", "not_regular_file", "fifo.png", 1),
        ("folder", "not_regular_file", "folder.png", 1),
        ("empty file", "empty", "empty.png", 1),
        ("missing file", "not_found", "none.png", 3),
    ):
        yield BadPicture(name, code, path=path, attempts=attempts)


def urls(server: str) -> Iterator[BadPicture]:
    """Give the rows that name URLs, most of them of a server that misbehaves."""
    for name, code, url, attempts in (
        ("file: URL", "scheme_denied", "file:///etc/passwd", 1),
        ("ftp: URL", "scheme_denied", "ftp://example.com/a.jpg", 1),
        ("data: URL", "scheme_denied", "data:image/png;base64,AAAA", 1),
        ("credentials in a URL", "scheme_denied", "http://user:secret@example.com/a.jpg", 1),
        ("loopback", "address_denied", "http://127.0.0.2/a.jpg", 1),
        ("loopback as a number", "address_denied", "http://2130706434/a.jpg", 1),
        ("loopback mapped to IPv6", "address_denied", "http://[::ffff:127.0.0.2]/a.jpg", 1),
        ("loopback translated", "address_denied", "http://[64:ff9b::7f00:2]/a.jpg", 1),
        ("loopback by 6to4", "address_denied", "http://[2002:7f00:1::]/a.jpg", 1),
        ("private network", "address_denied", "http://10.0.0.1/a.jpg", 1),
        ("metadata service", "address_denied", "http://169.254.169.254/latest/meta-data", 1),
        ("carrier's network", "address_denied", "http://100.64.0.1/a.jpg", 1),
        ("multicast", "address_denied", "http://224.0.0.1/a.jpg", 1),
        ("redirect to the metadata service", "address_denied", f"{server}/to/http:||169.254.169.254|x", 1),
        ("redirect for ever", "fetch_limit", f"{server}/loop", 1),
        ("a byte now and then", "fetch_limit", f"{server}/trickle", 3),
        ("endless body", "fetch_limit", f"{server}/endless", 1),
        ("announced terabyte", "fetch_limit", f"{server}/huge", 1),
        ("fewer bytes than announced", "fetch_limit", f"{server}/short", 3),
        ("gzip bomb", "fetch_limit", f"{server}/bomb", 1),
        ("404", "not_found", f"{server}/status/404", 3),
        ("410", "not_found", f"{server}/status/410", 1),
        ("503 twice, then the picture", EMBEDDED, f"{server}/busy/1", 1),
        ("429 twice, then the picture", EMBEDDED, f"{server}/busy/2", 1),
        ("picture of a server", EMBEDDED, f"{server}/picture", 1),
    ):
        yield BadPicture(name, code, path=url, attempts=attempts)


def decode_bomb() -> bytes:
    """Return a JPEG of 0.8 MB that takes about 40 seconds."""
    return jpeg_of_many_scans(7000, 8000)
