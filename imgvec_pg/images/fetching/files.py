"""Getting the bytes of an image: from files below one root folder, and from URLs where they are allowed.

A path in a table is data that others wrote. So it is walked component by component from an open descriptor of
the root: no `..` and no symbolic link leads out, whatever is renamed meanwhile. A path that goes on behind an archive
(`archives/`) names its member; the archive itself is walked to like any file.
"""

import errno
import io
import os
import stat
from contextlib import closing
from pathlib import Path

from imgvec_pg.errors import ImageError, PicturesAwayError
from imgvec_pg.images.fetching.archives.archive_paths import is_archive
from imgvec_pg.images.fetching.archives.tar_archive import read_member, tar_indexes
from imgvec_pg.images.fetching.folders import explain_absence
from imgvec_pg.images.fetching.url import NO_URLS, AllowedUrls, fetch_url
from imgvec_pg.images.limits import max_image_bytes as allowed_image_bytes
from imgvec_pg.images.reference import ImageReference, shown, url_scheme

# Linux gives up after as many; include/linux/namei.h: MAXSYMLINKS.
MAX_SYMLINKS = 40
# Each folder on the way costs a descriptor while the file is opened.
MAX_DEPTH = 64
# O_PATH needs no right to list the folder; other systems lack it.
_OPEN_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that took the file's place meanwhile is opened without waiting for its writer.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def fetch_bytes(
    reference: ImageReference,
    root: Path | None,
    max_image_bytes: int | None = None,
    urls: AllowedUrls = NO_URLS,
) -> bytes:
    """Return the encoded bytes of an image.

    Args:
        root: The folder that paths are relative to, or that absolute paths lie in; None allows no path.
        max_image_bytes: More is refused, unread; None for the limit of `images/limits.py`.
        urls: Those that may be fetched.

    Raises:
        ImageError: `empty`, `too_large`, `not_found` (transient: the file may yet come), `not_regular_file`,
            `path_denied` or `fetch_failed`; of a URL those of `fetch_url`.
        PicturesAwayError: It was not read because the whole folder is gone.
    """
    if max_image_bytes is None:
        max_image_bytes = allowed_image_bytes()
    if reference.content is not None:
        name, data = "the image", reference.content
        if len(data) > max_image_bytes:
            raise _too_large(name, len(data), max_image_bytes)
    else:
        path = reference.path or ""
        is_url = url_scheme(path) is not None
        name = "the URL" if is_url else shown(path)
        data = fetch_url(path, urls, max_image_bytes) if is_url else _read_below(path, root, max_image_bytes)
    if not data:
        raise ImageError("empty", f"{name} has 0 bytes, an encoded image was expected: replace it")
    return data


def _read_below(path: str, root: Path | None, max_image_bytes: int) -> bytes:
    if root is None:
        raise ImageError(
            "path_denied", f"{shown(path)} cannot be read without a root folder: name one with --root"
        )
    if not path or "\0" in path:
        raise ImageError(
            "path_denied", f"{shown(path)} is not a path of a file: it is empty or holds a NUL byte"
        )
    try:
        with closing(_Walk(root, path)) as walk, closing(walk.open_file()) as file:
            if walk.member:
                return _read_member(file, walk.member, path, max_image_bytes)
            return _read(file, path, max_image_bytes)
    except OSError as error:
        raise _explain(error, path, root) from error
    except UnicodeEncodeError as error:
        raise ImageError(
            "path_denied", f"{shown(path)} has characters that no file name here can have"
        ) from error


class _Walk:
    """A walk from the root to a file, holding a descriptor of every folder between them.

    Attributes:
        member: What of the path is left where the file opened is an archive, "" where it is the file itself.
    """

    def __init__(self, root: Path, path: str) -> None:
        self._path = path
        self._root = root
        self._folders = [os.open(root, _OPEN_FOLDER)]
        self._pending: list[str] = []
        self.member = ""

    def close(self) -> None:
        """Let go of the folders."""
        self._climb_to(0)

    def _climb_to(self, depth: int) -> None:
        while len(self._folders) > depth:
            os.close(self._folders.pop())

    def open_file(self) -> io.FileIO:
        """Open the regular file at the end of the walk, or the archive in which it lies."""
        self._push(self._path)
        symlinks = 0
        while self._pending:
            name = self._pending.pop()
            if name == ".":
                continue
            if name == "..":
                if len(self._folders) == 1:
                    raise self._outside()
                self._climb_to(len(self._folders) - 1)
                continue
            folder = self._folders[-1]
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                symlinks += 1
                if symlinks > MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                self._push(os.readlink(name, dir_fd=folder))
            elif stat.S_ISDIR(mode):
                if len(self._folders) > MAX_DEPTH:
                    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                self._enter(name, folder)
            elif self._pending and not (stat.S_ISREG(mode) and is_archive(name)):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            elif stat.S_ISREG(mode):
                self.member = "/".join(reversed(self._pending))
                return io.FileIO(os.open(name, _OPEN_FILE, dir_fd=folder))
            else:
                raise _not_regular(self._path)
        raise _not_regular(self._path)

    def _enter(self, name: str, folder: int) -> None:
        try:
            self._folders.append(os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=folder))
        except NotADirectoryError as error:
            # It was a folder a moment ago: a link has taken its place.
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error

    def _push(self, path: str) -> None:
        """Add the components of a path or of a link's target; an absolute one starts at the root again."""
        if path.startswith("/"):
            path = self._relative(path)
            self._climb_to(1)
        # What a slash follows must be a folder, at the end too.
        self._pending += [part or "." for part in reversed(path.split("/"))]

    def _relative(self, path: str) -> str:
        for root in (self._root.absolute(), self._root.resolve()):
            prefix = str(root).rstrip("/") + "/"
            if (path + "/").startswith(prefix):
                return path[len(prefix) :]
        raise self._outside()

    def _outside(self) -> ImageError:
        return ImageError(
            "path_denied",
            f"{shown(self._path)} leads out of the root folder {self._root.absolute()}: store a path inside it",
        )


def _read(file: io.FileIO, path: str, max_image_bytes: int) -> bytes:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(path)
    if status.st_size > max_image_bytes:
        raise _too_large(shown(path), status.st_size, max_image_bytes)
    chunks: list[bytes] = []
    size = 0
    # One byte more than the size shows that a growing file has not outgrown the limit.
    while chunk := file.read(min(max(status.st_size, 4096), max_image_bytes) + 1):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_image_bytes:
            raise _too_large(shown(path), size, max_image_bytes)
    # Of most one, which is not copied: a photograph has megabytes.
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _read_member(file: io.FileIO, member: str, path: str, max_image_bytes: int) -> bytes:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise _not_regular(path)
    # Names of an index hold no "." or "..": a path with one of them leads to nothing.
    found = tar_indexes.of(file.fileno()).find(member)
    if found.size > max_image_bytes:
        raise _too_large(shown(path), found.size, max_image_bytes)
    return read_member(file.fileno(), found)


def _not_regular(path: str) -> ImageError:
    return ImageError(
        "not_regular_file", f"{shown(path)} is a folder, device or pipe: store the path of a file"
    )


def _too_large(name: str, size: int, limit: int) -> ImageError:
    way_out = ", or raise IMGVEC_MAX_BYTES" if limit == allowed_image_bytes() else ""
    return ImageError(
        "too_large",
        f"{name} has {size} bytes or more, at most {limit} are read: store a smaller one{way_out}",
    )


def _explain(error: OSError, path: str, root: Path) -> ImageError:
    if isinstance(error, IsADirectoryError):
        return _not_regular(path)
    away = explain_absence(root, may_be_empty=True)
    if away is not None:
        return PicturesAwayError(root, away)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ImageError(
            "not_found", f"{shown(path)} does not exist below {root}: put it there", transient=True
        )
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return ImageError("path_denied", f"{shown(path)} cannot be followed: {error.strerror}")
    refused = error.errno in (errno.EACCES, errno.EPERM)
    return ImageError(
        "fetch_failed", f"{shown(path)} cannot be read: {error.strerror or error}", transient=not refused
    )
