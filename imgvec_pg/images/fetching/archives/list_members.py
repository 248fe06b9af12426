"""Listing the pictures of an archive, and asking whether one is still there."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from imgvec_pg.images.fetching.archives.archive_paths import MemberPath
from imgvec_pg.images.fetching.archives.tar_archive import TarIndex, tar_indexes
from imgvec_pg.images.fetching.archives.tar_headers import LINK, REGULAR, SPARSE
from imgvec_pg.images.fetching.found_files import (
    PICTURE_SUFFIXES,
    FoundFile,
    LeftOut,
    Met,
    OtherMembers,
    SymbolicLink,
    Unreadable,
    why_left_out,
)

MOST_PATH_BYTES = 2000
"""Of archive and member together: the library's unique index holds no 2,704 (PostgreSQL's btree, a third of a page)."""
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def list_members(archive: str, folder: str, exclude: Sequence[str]) -> Iterator[Met]:
    """Yield what an archive holds that is named like a picture, in the archive's order; its contents are not read.

    Args:
        folder: The folder that was named and holds it, or the archive's own path.
        exclude: As `folders.walk_files` takes it.
    """
    try:
        with _index(archive, os.O_NOFOLLOW) as index:
            pass
    except OSError as error:
        yield Unreadable(archive, error.strerror or str(error))
        return
    below = archive.removeprefix(folder).strip("/")
    left_out = _MemberFilter(f"{below}/" if below else "", exclude)
    others = 0
    for name, member in index.members.items():
        if member.kind == REGULAR and not name.lower().endswith(PICTURE_SUFFIXES):
            others += 1
            continue
        path = f"{archive}/{name}"
        why = left_out.why(name)
        if why is not None:
            if why:
                yield LeftOut(path, why)
        elif member.kind == LINK:
            yield SymbolicLink(path)
        elif member.kind == SPARSE:
            yield Unreadable(path, "it is stored as a sparse member: pack it again without --sparse")
        elif member.kind == REGULAR and (reason := _why_not_stored(path)):
            yield Unreadable(path, reason)
        elif member.kind == REGULAR:
            yield FoundFile(path, member.size, member.mtime_ns, is_named=False)
    if others:
        yield OtherMembers(archive, others)
    if index.problem is not None:
        whole = f"; its {len(index.members):,} whole members were taken" if index.members else ""
        yield Unreadable(archive, f"{index.problem}{whole}")


class _MemberFilter:
    """Tells what is left out of one archive; a folder of it, and all below, is told once."""

    def __init__(self, above: str, exclude: Sequence[str]) -> None:
        self._above = above
        self._exclude = exclude
        self._folders: dict[str, str | None] = {}

    def why(self, name: str) -> str | None:
        """Return why a member is left out, "" where that was told before, None where it is not."""
        place = name.find("/")
        while place >= 0:
            folder = name[:place]
            if folder not in self._folders:
                self._folders[folder] = why_left_out(
                    folder.rpartition("/")[2], self._above + folder, self._exclude
                )
                if self._folders[folder] is not None:
                    return self._folders[folder]
            if self._folders[folder] is not None:
                return ""
            place = name.find("/", place + 1)
        return why_left_out(name.rpartition("/")[2], self._above + name, self._exclude)


def _why_not_stored(path: str) -> str:
    if "\0" in path:
        return "its name holds a NUL byte: rename it"
    size = len(path.encode("utf-8", "surrogateescape"))
    return (
        f"its path has {size:,} bytes, at most {MOST_PATH_BYTES:,} are stored"
        if size > MOST_PATH_BYTES
        else ""
    )


def is_member_gone(path: MemberPath) -> bool:
    """Whether a regular member is gone, or its archive. What cannot be looked at, as behind a break, is not gone."""
    try:
        with _index(path.archive) as index:
            index.find(path.member)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return True
    except OSError:
        pass
    return False


def holds_members(archive: str) -> bool:
    """Whether an archive is there and holds something."""
    try:
        with _index(archive) as index:
            return bool(index.members)
    except OSError:
        return False


@contextmanager
def _index(archive: str, flags: int = 0) -> Iterator[TarIndex]:
    descriptor = os.open(archive, _OPEN | flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is a folder, device or pipe")
        yield tar_indexes.of(descriptor)
    finally:
        os.close(descriptor)
