"""Data directory of a private server: layout, ownership, and what may be deleted."""

import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imgvec_pg.database.local_server.postmaster import names_a_stranger
from imgvec_pg.database.local_server.unprivileged import (
    ROOT_DIRECTORY,
    ServerUser,
    choose_user,
    closed_folder,
    may_enter,
    require_reachable,
)
from imgvec_pg.errors import ServerError
from imgvec_pg.settings import state_directory

MARKER = "imgvec-server"
MARKER_TEXT = (
    "A private PostgreSQL server of imgvec-pg lives in this folder. `imgvec server stop` stops it.\n"
)
LOCK_SECONDS = 120.0
# struct sockaddr_un holds 108 bytes, the last one NUL.
MAX_SOCKET_PATH_BYTES = 107


def default_directory(name: str = "server") -> Path:
    """Return where a server lives unless told otherwise: in the state directory.

    Root's home is often closed to the user that runs the server; then it is below /var/lib/imgvec, unless
    IMGVEC_HOME asks for a place.

    Args:
        name: Its path below that.
    """
    directory = state_directory() / name
    user = choose_user(directory / "data")
    if user is not None and "IMGVEC_HOME" not in os.environ and closed_folder(directory, user) is not None:
        return ROOT_DIRECTORY.parent / name
    return directory


class ServerFolder:
    """Paths below one directory; it is ours, and `data`, `socket` and `log` are the server's user's."""

    def __init__(self, directory: Path, port: int) -> None:
        self.path = directory.expanduser().resolve()
        self.data = self.path / "data"
        # initdb works here and one rename makes it `data`: so an interrupted initdb never looks complete.
        self.unfinished_data = self.path / "data.new"
        self.log = self.path / "log" / "server.log"
        self.server_lock = self.path / "log" / "server.lock"
        self.binaries = self.path / "binaries"
        self.marker = self.path / MARKER
        self.socket = self._socket_folder(port)

    def _socket_folder(self, port: int) -> Path:
        folder = self.path / "socket"
        if len(os.fsencode(folder / f".s.PGSQL.{port}")) <= MAX_SOCKET_PATH_BYTES:
            return folder
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path("/tmp", f"imgvec-{name}")  # noqa: S108 - its owner and mode are checked before use

    def is_ours(self) -> bool:
        """Tell whether a server was ever prepared here."""
        return self.marker.is_file()

    def prepare(self, user: ServerUser | None) -> None:
        """Create the folder itself and mark it as ours, for `user` to run the server in."""
        require_reachable(self.path, user)
        self._create()
        if user is not None and not may_enter(self.path, user):
            self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) | 0o011)

    def make_private_folders(self, user: ServerUser | None) -> None:
        """Create the folders of the log and the socket; only under `start_lock`."""
        make_private_folder(self.log.parent, user)
        make_private_folder(self.socket, user)

    def _create(self) -> None:
        if self.is_ours():
            return
        make_folders(self.path)
        strangers = sorted(entry.name for entry in self.path.iterdir())
        if strangers and not self.is_ours():  # another start may have come first meanwhile
            raise ServerError(
                f"{self.path} holds other files ({strangers[0]}, …): "
                "choose a new or an empty directory for the server"
            )
        if self.path.stat().st_uid != os.geteuid() or self.path.stat().st_mode & stat.S_ISVTX:
            raise ServerError(
                f"{self.path} is not a folder of our own: choose a new directory for the server"
            )
        self.marker.write_text(MARKER_TEXT)

    def make_unfinished_data(self, user: ServerUser | None) -> None:
        """Make an empty folder for initdb, in place of what an interrupted one left."""
        self.remove_unfinished_data()
        make_private_folder(self.unfinished_data, user)

    def remove_unfinished_data(self) -> None:
        """Remove the work of an initdb that did not finish."""
        shutil.rmtree(self.unfinished_data, ignore_errors=True)

    def remove_distant_socket(self) -> None:
        """Remove the socket folder of a stopped server where it had to be in /tmp."""
        if self.socket.parent != self.path:
            with suppress(OSError):
                self.socket.rmdir()

    def forget_crashed_server(self, port: int) -> None:
        """Remove pid files whose pid is another program's by now; only while nobody holds `server_lock`."""
        for pid_file in (self.data / "postmaster.pid", self.socket / f".s.PGSQL.{port}.lock"):
            if names_a_stranger(pid_file):
                pid_file.unlink()

    @contextmanager
    def start_lock(self) -> Iterator[int]:
        """Let one process at a time start or stop the server; gives the descriptor, for initdb to hold."""
        descriptor = os.open(
            self.path / "start.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise ServerError(
                            f"another process has been starting or stopping the server in {self.path} for "
                            f"{LOCK_SECONDS:.0f} s: end it, then try again"
                        ) from None
                    time.sleep(0.05)
            yield descriptor
        finally:
            os.close(descriptor)


def make_private_folder(path: Path, user: ServerUser | None) -> None:
    """Create a folder that only the server's user may enter, or check that an existing one is like that."""
    uid = os.geteuid() if user is None else user.uid
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
        # Ours, perhaps from a start that was interrupted right here; so nobody else can have prepared it.
        path.chmod(0o700)
        if user is not None:
            os.chown(path, user.uid, user.gid)
    elif not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
        raise ServerError(
            f"{path} should be a folder that belongs to uid {uid} with mode 0700: "
            "remove it, then start the server"
        )


def make_folders(path: Path) -> None:
    """Create `path` and its missing parents; those we make are open to every user, whatever the umask."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            folder.chmod(0o755)
