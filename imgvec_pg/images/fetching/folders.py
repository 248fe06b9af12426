"""Walking folders, and archives in them, for files that may be images."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from imgvec_pg.images.fetching.archives.archive_paths import is_archive, is_compressed_tar
from imgvec_pg.images.fetching.archives.list_members import list_members
from imgvec_pg.images.fetching.found_files import (
    FoundFile,
    LeftOut,
    Met,
    SymbolicLink,
    Unreadable,
    why_left_out,
)


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
            yield from _look_into(str(resolved), str(resolved), exclude, is_named=True)


def _look_into(path: str, folder: str, exclude: Sequence[str], *, is_named: bool) -> Iterator[Met]:
    """Yield a file, or the members of an archive."""
    if is_archive(path):
        yield from list_members(path, folder, exclude)
    elif is_compressed_tar(path):
        yield Unreadable(
            path, "a compressed tar gives no access to single members: store it uncompressed, as .tar"
        )
    else:
        yield _look(path, is_named=is_named)


def _look(path: str, *, is_named: bool) -> Met:
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path would refuse some names
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))
    return FoundFile(path, status.st_size, status.st_mtime_ns, is_named)


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
            why = why_left_out(entry.name, entry.path.removeprefix(folder).lstrip("/"), exclude)
            if why is not None:
                yield LeftOut(entry.path, why)
            elif entry.is_symlink():
                yield SymbolicLink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield from _look_into(entry.path, folder, exclude, is_named=False)
        pending += reversed(folders)
