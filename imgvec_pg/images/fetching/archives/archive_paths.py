"""Paths of pictures inside archives: the archive's own path, then the member's name, as if the archive were a folder."""

import os
import stat
from typing import NamedTuple

SUFFIXES = (".tar",)
_COMPRESSED = (
    ".tgz",
    ".tbz",
    ".tbz2",
    ".txz",
    ".tzst",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
    ".tar.zst",
    ".tar.lz4",
)


class MemberPath(NamedTuple):
    """A path that leads into an archive, or would if the archive were there."""

    archive: str
    member: str


def is_archive(name: str) -> bool:
    """Whether a file of this name is read as an archive."""
    return name.lower().endswith(SUFFIXES)


def is_compressed_tar(name: str) -> bool:
    """Whether a file of this name is a tar from which no single member can be read."""
    return name.lower().endswith(_COMPRESSED)


def split_path(path: str) -> MemberPath | None:
    """Divide a path at its first archive: a name such as 00000.tar that is no folder; None where there is none.

    Raises:
        OSError: It cannot be told.
    """
    if not any(f"{suffix}/" in path.lower() for suffix in SUFFIXES):
        return None
    parts = path.split("/")
    for place, part in enumerate(parts[:-1], 1):
        if is_archive(part):
            archive = "/".join(parts[:place])
            try:
                is_folder = stat.S_ISDIR(os.stat(archive).st_mode)  # noqa: PTH116 - Path would change the path
            except (FileNotFoundError, NotADirectoryError):
                is_folder = False
            if not is_folder:
                return MemberPath(archive, "/".join(parts[place:]))
    return None


def member_name(name: str) -> str:
    """Return a member's name as a path below its archive; "" where nothing of it is left.

    As GNU tar extracts it: without what leads to the root or, by `..`, out of the folder, and all before that.
    """
    if "." not in name[:1] and "/." not in name and "//" not in name and not name.startswith("/"):
        return name
    parts = name.split("/")
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    return "/".join(part for part in parts if part not in ("", "."))
