"""Walking folders for files that may be images."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


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


Met = FoundFile | Unreadable | SymbolicLink


def walk_files(paths: Iterable[Path]) -> Iterator[Met]:
    """Yield the files named and those in the folders named, in order of name; hidden ones only when named.

    Symbolic links are followed where they are named themselves, never inside a folder.
    """
    for path in paths:
        resolved = path.resolve()
        if resolved.is_dir():
            yield from _walk(str(resolved))
        else:
            yield _look(str(resolved), is_named=True)


def _look(path: str, *, is_named: bool) -> Met:
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path would refuse some names
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))
    return FoundFile(path, status.st_size, status.st_mtime_ns, is_named)


def _walk(folder: str) -> Iterator[Met]:
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
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                yield SymbolicLink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield _look(entry.path, is_named=False)
        pending += reversed(folders)
