"""Walking folders for files that may be images."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

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


def explain_absence(root: Path, *, may_be_empty: bool) -> str | None:
    """Say why no picture below a root can be had, or None when nothing speaks against it.

    Args:
        may_be_empty: False where an empty folder means one that is not mounted.
    """
    found = None
    try:
        # Fails for what is no folder, and for one that this user may not enter.
        os.stat(f"{root}/.")  # noqa: PTH116 - Path would drop the dot
        if not may_be_empty and is_empty(root):
            found = "is empty"
    except OSError as error:
        found = f"cannot be opened ({error.strerror})"
    return found and f"the root folder {root} {found}: mount it, or name another with --root"


def is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder; False where this user may not list it."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False


@dataclass(frozen=True)
class FoundFile:
    """A regular file.

    Attributes:
        path: Absolute, its folder free of symbolic links.
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
    """A symbolic link met in a folder; it is not followed, since it may lead out."""

    path: str


HIDDEN, SYSTEM, EXCLUDED = "hidden", "system", "excluded"


@dataclass(frozen=True)
class LeftOut:
    """A file or a whole folder that is not looked at, and why: HIDDEN, SYSTEM (SYSTEM_NAMES) or EXCLUDED."""

    path: str
    why: str


Met = FoundFile | Unreadable | SymbolicLink | LeftOut


def walk_files(paths: Iterable[Path], exclude: Sequence[str] = ()) -> Iterator[Met]:
    """Yield the files named and those in the folders named, in order of name; hidden ones only when named.

    Symbolic links are followed where they are named themselves, never inside a folder.

    Args:
        exclude: Shell patterns of what is left out of folders. One without a slash is held against each name, one with
            a slash against the path below the folder named; `*` stands for slashes too, and case counts.
    """
    for path in paths:
        resolved = path.resolve()
        if resolved.is_dir():
            yield from _walk(str(resolved), exclude)
        else:
            yield _look(str(resolved), is_named=True)


def is_gone(path: str) -> bool:
    """Whether nothing is at a path. What cannot be looked at, as on a disk that fails, is not gone."""
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


class GoneFiles:
    """Tells files that were deleted from files whose disk is not mounted; remembers the folders it has looked at.

    Nobody can tell an empty folder from a mount point without its disk, so a deleted file counts as such only where its
    folder still holds something.
    """

    def __init__(self) -> None:
        self._filled: dict[Path, bool] = {}

    def is_deleted(self, path: str) -> bool:
        """Whether a file is gone while its folder is there and holds something."""
        return is_gone(path) and self._is_filled(Path(path).parent)

    def may_have_moved(self, path: str) -> bool:
        """Whether a file is gone, perhaps with its folder, and the nearest folder that is left holds something."""
        if not is_gone(path):
            return False
        return self._is_filled(next(folder for folder in Path(path).parents if not is_gone(str(folder))))

    def _is_filled(self, folder: Path) -> bool:
        if folder not in self._filled:
            try:
                with os.scandir(folder) as entries:
                    self._filled[folder] = next(entries, None) is not None
            except OSError:
                self._filled[folder] = False
        return self._filled[folder]


def _look(path: str, *, is_named: bool) -> Met:
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path would refuse some names
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))
    return FoundFile(path, status.st_size, status.st_mtime_ns, is_named)


def _why_left_out(entry: os.DirEntry[str], folder: str, exclude: Sequence[str]) -> str | None:
    if entry.name.startswith("."):
        return HIDDEN
    if entry.name.casefold() in _SYSTEM:
        return SYSTEM
    below = entry.path.removeprefix(folder).lstrip("/")
    if any(fnmatchcase(below if "/" in glob else entry.name, glob.strip("/")) for glob in exclude):
        return EXCLUDED
    return None


def _walk(folder: str, exclude: Sequence[str]) -> Iterator[Met]:
    # A stack of folders, not recursion: a hostile tree may be thousands deep.
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Unreadable(current, error.strerror or str(error))
            continue
        folders = []
        for entry in entries:
            why = _why_left_out(entry, folder, exclude)
            if why is not None:
                yield LeftOut(entry.path, why)
            elif entry.is_symlink():
                yield SymbolicLink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield _look(entry.path, is_named=False)
        pending += reversed(folders)
