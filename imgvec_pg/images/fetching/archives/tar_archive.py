"""Reading members of a tar by their positions, from an index that is made once a process for each tar."""

import errno
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from imgvec_pg.images.fetching.archives.archive_paths import member_name
from imgvec_pg.images.fetching.archives.tar_headers import (
    REGULAR,
    BrokenTarError,
    TarHeader,
    read_at,
    scan_headers,
)

MOST_MEMBERS = 500_000
"""Of all tars whose indexes a process keeps, some 250 bytes each; the one in use is kept whatever it has."""
MOST_TARS = 4096
MOST_OF_A_TAR = 4_000_000
"""A gigabyte of index; one of empty members, 512 bytes each, could take all memory."""
Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class TarIndex:
    """The members of a tar, of those of one name the last, as tar extracts them.

    Attributes:
        members: By their path below the tar.
        problem: Why there may be more that could not be read, without the tar's name; None where it is whole.
    """

    members: dict[str, TarHeader]
    problem: str | None = None

    def find(self, member: str) -> TarHeader:
        """Return a regular member.

        Raises:
            OSError: ENOENT where there is none of this path; EIO where it may be missing because the tar is not whole;
                EISDIR for a link, a device, or a sparse member.
        """
        found = self.members.get(member)
        if found is None and self.problem is not None:
            raise OSError(errno.EIO, f"of its tar, {self.problem}")
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if found.kind != REGULAR:
            raise IsADirectoryError(errno.EISDIR, f"it is a {found.kind} member of its tar")
        return found


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    index: TarIndex | None = None


class TarIndexes:
    """Indexes of the tars used last, by device, inode, size and time of change: a tar that is replaced is indexed anew."""

    def __init__(self, most_members: int = MOST_MEMBERS) -> None:
        self._most_members = most_members
        self._lock = threading.Lock()
        self._entries: OrderedDict[Identity, _Entry] = OrderedDict()

    def of(self, descriptor: int) -> TarIndex:
        """Return the index of an open tar.

        Raises:
            OSError: It cannot be read.
        """
        status = os.fstat(descriptor)
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        with self._lock:
            entry = self._entries.setdefault(identity, _Entry())
            self._entries.move_to_end(identity)
        # Of several threads that ask for a new tar one reads its headers; other tars wait for nobody.
        with entry.lock:
            if entry.index is None:
                entry.index = read_index(descriptor, status.st_size, status.st_mtime_ns)
                self._forget_oldest()
            return entry.index

    def _forget_oldest(self) -> None:
        with self._lock:
            total = sum(len(entry.index.members) for entry in self._entries.values() if entry.index)
            while len(self._entries) > 1 and (total > self._most_members or len(self._entries) > MOST_TARS):
                _, entry = self._entries.popitem(last=False)
                total -= len(entry.index.members) if entry.index else 0


tar_indexes = TarIndexes()
"""Those of this process."""


def read_index(descriptor: int, length: int, tar_mtime_ns: int) -> TarIndex:
    """Read the headers of a tar.

    Args:
        length: Of the tar, in bytes.
        tar_mtime_ns: Its own last change, nanoseconds since 1970: the time of members that have none, as in tars whose
            bytes are to be the same each time they are written.
    """
    members: dict[str, TarHeader] = {}
    problem = None
    try:
        for header in scan_headers(descriptor, length):
            if len(members) >= MOST_OF_A_TAR:
                raise BrokenTarError(f"it has more than {MOST_OF_A_TAR:,} members: divide it")
            path = member_name(header.name)
            if path and not (header.name.endswith("/") and header.kind != REGULAR):
                members[path] = header if header.mtime_ns else header._replace(mtime_ns=tar_mtime_ns)
    except BrokenTarError as error:
        problem = str(error)
    return TarIndex(members, problem)


def read_member(descriptor: int, member: TarHeader) -> bytes:
    """Return the bytes of a regular member.

    Raises:
        OSError: They cannot be read, or fewer are there.
    """
    data = read_at(descriptor, member.offset, member.size)
    if len(data) < member.size:
        raise OSError(errno.EIO, "its tar was cut meanwhile")
    return data
