"""The frame header of a JPEG, read without a library: which of its many kinds it is, its EXIF and its profile."""

from dataclasses import dataclass

# ITU-T T.81 table B.1, T.87 for JPEG-LS: markers that begin a frame, and those that stand alone.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_LONE = frozenset(range(0xD0, 0xD8)) | {0x01}
_SCAN, _END, _JPEG_LS, _EXIF, _ICC = 0xDA, 0xD9, 0xF7, 0xE1, 0xE2
_ICC_PART = b"ICC_PROFILE\0"


@dataclass(frozen=True)
class JpegFrame:
    """What a frame header says.

    Attributes:
        marker: The second byte of its marker: 0xC0 is baseline, 0xC2 progressive, 0xF7 JPEG-LS.
        bits: Of each sample.
        exif: The block that precedes it; None where there is none.
        profile: ICC, put together of its parts; likewise.
    """

    marker: int
    bits: int
    width: int
    height: int
    components: int
    exif: bytes | None = None
    profile: bytes | None = None

    @property
    def is_jpeg_ls(self) -> bool:
        """Whether it is JPEG-LS, which shares JPEG's beginning alone."""
        return self.marker == _JPEG_LS

    @property
    def variant(self) -> str | None:
        """The name of a kind that Pillow does not decode; None for the others."""
        if self.is_jpeg_ls:
            return "JPEG-LS"
        return f"{self.bits} bit JPEG" if self.bits != 8 else None


def read_frame(data: bytes) -> JpegFrame | None:
    """Return the first frame header; None where the data ends, or goes astray, before one."""
    at, exif, profile = 2, None, b""
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _LONE:
            at += 2
            continue
        if marker in (_SCAN, _END):
            return None
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end] if marker in _FRAMES or marker in (_EXIF, _ICC) else b""
        if marker in _FRAMES:
            return _frame(marker, body, exif, profile or None)
        if marker == _EXIF and body.startswith(b"Exif\0\0"):
            exif = body
        if marker == _ICC and body.startswith(_ICC_PART):
            profile += body[len(_ICC_PART) + 2 :]  # parts are numbered, and written in order
        at = end
    return None


def has_scan(data: bytes) -> bool:
    """Return whether anything of its pixels is there."""
    return bytes([0xFF, _SCAN]) in data


def require_end(data: bytes) -> None:
    """Refuse a JPEG of any kind that ends before its last scan does.

    Decoders go on with what is there: libjpeg fills the rest with grey, CharLS looks for its end for ten seconds and more.

    Raises:
        ValueError: Pixels are missing. Neither marker can stand within the bits of a scan: T.81 section B.1.1.2, T.87 A.1.
    """
    scan = data.rfind(bytes([0xFF, _SCAN]))
    if scan < 0:
        raise ValueError("it ends behind its header, before any pixel")
    if data.find(bytes([0xFF, _END]), scan) < 0:
        raise ValueError("its end marker is missing, and pixels with it or not")


def _frame(marker: int, body: bytes, exif: bytes | None, profile: bytes | None) -> JpegFrame | None:
    if len(body) < 6:
        return None
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return JpegFrame(marker, body[0], width, height, body[5], exif, profile)
