"""Tars of small pictures, as img2dataset and others write them."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

Members = Iterable[tuple[str, bytes] | tarfile.TarInfo]
MTIME = 1_700_000_000


def png(color: str | tuple[int, int, int] = "red") -> bytes:
    """Return a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def sample(number: int, data: bytes) -> list[tuple[str, bytes]]:
    """Return the members of one sample of img2dataset's."""
    return [
        (f"{number:09d}.png", data),
        (f"{number:09d}.json", b'{"key": 1}'),
        (f"{number:09d}.txt", b"a colour"),
    ]


def write_tar(
    path: Path, members: Members, *, form: int = tarfile.USTAR_FORMAT, mtime: float = MTIME, mode: str = "w"
) -> Path:
    """Write a tar of names with their bytes, and of members that need none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=form) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            tar.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a link, device or folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime = kind, target, MTIME
    return info
