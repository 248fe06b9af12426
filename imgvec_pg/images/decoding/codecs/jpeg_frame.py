"""The frame header of a JPEG, read without a library: which of its many kinds it is."""

from dataclasses import dataclass

# ITU-T T.81 table B.1, T.87 for JPEG-LS: markers that begin a frame, and those that stand alone.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_LONE = frozenset(range(0xD0, 0xD8)) | {0x01}
_SCAN, _END, _JPEG_LS = 0xDA, 0xD9, 0xF7


@dataclass(frozen=True)
class Frame:
    """What a frame header says.

    Attributes:
        marker: The second byte of its marker: 0xC0 is baseline, 0xC2 progressive, 0xF7 JPEG-LS.
        bits: Of each sample.
    """

    marker: int
    bits: int
    width: int
    height: int
    components: int

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


def read_frame(data: bytes) -> Frame | None:
    """Return the first frame header; None where the data ends, or goes astray, before one."""
    at = 2
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
        if marker in _FRAMES:
            head = data[at + 4 : at + 10]
            if len(head) < 6:
                return None
            return Frame(
                marker, head[0], int.from_bytes(head[3:5], "big"), int.from_bytes(head[1:3], "big"), head[5]
            )
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
