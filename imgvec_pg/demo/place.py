"""Data folder of the demo: server, images and what the demo writes, with a lock."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgvec_pg.database.local_server import data_dir
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.errors import ServerError

MARKER = "imgvec-demo"
MARKER_TEXT = "The demo shop of imgvec-pg lives in this folder. `imgvec demo --reset` makes it anew.\n"
# Measured on PostgreSQL 18: 64 MB of database and write-ahead log, 8 MB of photos; and for root, where the
# programs lie closed to other users, 45 MB of copies.
NEEDED_BYTES = 200_000_000
NEEDED_AGAIN_BYTES = 50_000_000


def default_directory() -> Path:
    """Return `demo` in the state directory; for root /var/lib/imgvec/demo where that is closed to other users."""
    return data_dir.default_directory("demo/server").parent


class DemoPlace:
    """Paths below one directory that the demo owns."""

    def __init__(self, directory: Path) -> None:
        self.path = directory.expanduser().absolute()
        self.server = self.path / "server"
        self.photos = self.path / "photos"
        self.photographs = self.path / "photographs"
        self.sheet = self.path / "contact-sheet.html"
        self.script = self.path / "questions.sql"
        self._marker = self.path / MARKER
        self._lock = self.path / "demo.lock"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder and keep other demos out of it meanwhile.

        Raises:
            ServerError: It holds other files, cannot be written, or another demo is running in it.
        """
        with self.one_line_errors():
            self._make()
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServerError(
                    f"another imgvec demo is running in {self.path}: wait for it, or choose another --directory"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        if self._marker.is_file():
            return
        data_dir.make_folders(self.path)
        strangers = sorted(entry.name for entry in self.path.iterdir() if entry.name != self._lock.name)
        if strangers and not self._marker.is_file():
            raise ServerError(
                f"{self.path} holds other files ({strangers[0]}, …): "
                "choose a new or an empty folder with --directory"
            )
        self._marker.write_text(MARKER_TEXT)

    def require_space(self) -> None:
        """Refuse to begin on a disk that would be full halfway.

        Raises:
            ServerError: There is too little space.
        """
        needed = NEEDED_AGAIN_BYTES if (self.server / "data").exists() else NEEDED_BYTES
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise ServerError(
                f"the demo needs {needed / 1e6:.0f} MB in {self.path}, where {free / 1e6:.0f} MB are free: "
                "make room, or choose another --directory"
            )

    def reset(self) -> None:
        """Stop the server and remove all that the demo made; only while the place is opened."""
        with self.one_line_errors():
            if self.server.is_dir():
                if (self.server / data_dir.MARKER).is_file():
                    LocalServer(self.server).stop()
                shutil.rmtree(self.server)
            for folder in (self.photos, self.photographs):
                if folder.is_dir():
                    shutil.rmtree(folder)
            self.sheet.unlink(missing_ok=True)
            self.script.unlink(missing_ok=True)

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn what the file system refuses into a ServerError that says what to do."""
        try:
            yield
        except OSError as error:
            advice = (
                "make room, then run it again"
                if error.errno == errno.ENOSPC
                else "choose another --directory"
            )
            raise ServerError(
                f"cannot use {error.filename or self.path} for the demo: {error.strerror or error}; {advice}"
            ) from error
