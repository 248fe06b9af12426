"""What is met where pictures are looked for, in folders and in archives, and what is left out there."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

SYSTEM_NAMES = (
    "@eaDir",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
    "Thumbs",
    "Thumbs.db",
    "desktop.ini",
)
"""Files and folders that systems put beside people's own: thumbnails, bins, snapshots. Compared without regard to case."""
_SYSTEM = frozenset(name.casefold() for name in SYSTEM_NAMES)


PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jls", ".exr", ".dcm", ".dng"),
    *(".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef"),
)
"""A file of another kind under such a name is a damaged picture, which its owner wants to know of."""


@dataclass(frozen=True)
class FoundFile:
    """A regular file, or a regular member of an archive.

    Attributes:
        path: Absolute, its folder free of symbolic links; of a member the archive's and the member's name.
        size: In bytes.
        mtime_ns: Last change, nanoseconds since 1970.
        is_named: It was named itself, not met in a folder.
    """

    path: str
    size: int
    mtime_ns: int
    is_named: bool


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that cannot be looked at, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class SymbolicLink:
    """A symbolic link met in a folder, or a link of any kind in a tar; it is not followed, since it may lead out."""

    path: str


HIDDEN, SYSTEM, EXCLUDED = "hidden", "system", "excluded"


@dataclass(frozen=True)
class LeftOut:
    """A file or a whole folder that is not looked at, and why: HIDDEN, SYSTEM (SYSTEM_NAMES) or EXCLUDED."""

    path: str
    why: str


@dataclass(frozen=True)
class OtherMembers:
    """Members of an archive that are not named like pictures; they are not read."""

    path: str
    count: int


Met = FoundFile | Unreadable | SymbolicLink | LeftOut | OtherMembers


def why_left_out(name: str, below: str, exclude: Sequence[str]) -> str | None:
    """Return why a file or folder met is left out: HIDDEN, SYSTEM or EXCLUDED; None where it is not.

    Args:
        below: Its path below the folder that was named, without a slash at its start.
        exclude: As `folders.walk_files` takes it.
    """
    if name.startswith("."):
        return HIDDEN
    if name.casefold() in _SYSTEM:
        return SYSTEM
    if exclude and any(fnmatchcase(below if "/" in glob else name, glob.strip("/")) for glob in exclude):
        return EXCLUDED
    return None
