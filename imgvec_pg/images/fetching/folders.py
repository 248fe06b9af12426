"""Walking folders for files that may be images."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


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
