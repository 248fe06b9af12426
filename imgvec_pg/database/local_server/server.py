"""Local server: start, stop and set up a private PostgreSQL with pgvector in one directory.

Roles log in without a password through the Unix socket; only the server's user and root may enter its folder.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import make_conninfo

from imgvec_pg.database.local_server import postmaster
from imgvec_pg.database.local_server.binaries import binaries_for
from imgvec_pg.database.local_server.data_dir import ServerFolder
from imgvec_pg.database.local_server.server_process import (
    ServerProcess,
    first_complaint,
    initialise_data,
    postgres_command,
)
from imgvec_pg.database.local_server.unprivileged import ServerUser, choose_user
from imgvec_pg.errors import ServerError

DEFAULT_PORT = 5432
# Crash recovery is waited for as long as the server works at it; this bounds a server that hangs.
START_SECONDS = 300.0
STOP_SECONDS = 60.0
# Sessions of a killed server notice within a second or two.
LEFTOVER_SECONDS = 30.0


@dataclass(frozen=True)
class ServerStatus:
    """State of the server of a directory: running or not, and its pid."""

    running: bool
    pid: int | None


class LocalServer:
    """A PostgreSQL server that lives in `directory`.

    Args:
        directory: New, empty, or made by an earlier LocalServer; no parent folder is changed.
        settings: PostgreSQL's own settings for this run, such as {"fsync": "off"}.
        die_with_parent: Stop when this process ends, however it ends; otherwise the server outlives it.
        port: Also listen on 127.0.0.1 at this port, for roles with a password (scram-sha-256).
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        die_with_parent: bool = False,
        port: int | None = None,
    ) -> None:
        self._folder = ServerFolder(directory, port or DEFAULT_PORT)
        self._settings = dict(settings or {})
        self._die_with_parent = die_with_parent
        self._port = port
        self._process: ServerProcess | None = None

    @property
    def directory(self) -> Path:
        """The directory, resolved."""
        return self._folder.path

    @property
    def socket_directory(self) -> Path:
        """The folder of the Unix socket: what PGHOST wants."""
        return self._folder.socket

    @property
    def port(self) -> int:
        """The number in the socket's name, and the TCP port where there is one."""
        return self._port or DEFAULT_PORT

    @property
    def log_file(self) -> Path:
        """Where the server writes its messages."""
        return self._folder.log

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """Return libpq's connection string through the Unix socket."""
        return make_conninfo("", host=str(self.socket_directory), port=self.port, user=user, dbname=dbname)

    def status(self) -> ServerStatus:
        """Look whether the server runs; changes nothing."""
        with _one_line_errors(self.directory):
            found = postmaster.read_postmaster(self._folder.data)
        return ServerStatus(
            running=found is not None and found.ready, pid=None if found is None else found.pid
        )

    def start(self) -> bool:
        """Start the server, after initdb where there is none yet, and wait until it answers.

        Returns:
            False when it runs already; then its settings stay as they are.
        """
        if not sys.platform.startswith("linux"):
            raise ServerError(
                "the private PostgreSQL runs on Linux only: use a server of your own through PGHOST"
            )
        with _one_line_errors(self.directory):
            user = choose_user(self._folder.data)
            self._folder.prepare(user)
            with self._folder.start_lock() as lock:
                running = postmaster.read_postmaster(self._folder.data)
                if running is not None:
                    self._wait_until_ready(running.pid, 0)
                    return False
                self._folder.make_private_folders(user)
                self._start_under_lock(user, lock)
                return True

    def _start_under_lock(self, user: ServerUser | None, lock: int) -> None:
        folder = self._folder
        if not postmaster.wait_until_released(folder.server_lock, LEFTOVER_SECONDS):
            raise ServerError(
                f"processes of a crashed server still use {folder.data}: end them, "
                f"`fuser {folder.server_lock}` names them"
            )
        folder.forget_crashed_server(self.port)
        binaries = binaries_for(user, folder.binaries)
        if not folder.data.exists():
            initialise_data(binaries, folder, user, sync=self._settings.get("fsync") != "off", lock=lock)
        settings = {
            "listen_addresses": "" if self._port is None else "127.0.0.1",
            "port": str(self.port),
            **self._settings,
        }
        command = postgres_command(binaries, folder, settings)
        log_start = folder.log.stat().st_size if folder.log.exists() else 0
        self._process = ServerProcess(command, folder, user, owned=self._die_with_parent)
        self._wait_until_ready(self._process.pid, log_start)

    def _wait_until_ready(self, pid: int, log_start: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = postmaster.read_postmaster(self._folder.data)
            if found is not None and found.pid == pid and found.ready:
                return
            if not postmaster.is_alive(pid):
                with self.log_file.open(errors="replace") as log:
                    log.seek(log_start)
                    complaint = first_complaint(log.read())
                raise ServerError(
                    f"PostgreSQL did not start in {self.directory}: {complaint} (see {self.log_file})"
                )
            time.sleep(postmaster.POLL_SECONDS)
        raise ServerError(f"PostgreSQL was not ready after {START_SECONDS:.0f} s: see {self.log_file}")

    def stop(self) -> bool:
        """Stop the server: open sessions are ended, their transactions rolled back.

        Returns:
            False when it did not run.
        """
        with _one_line_errors(self.directory):
            if not self._folder.is_ours():
                raise ServerError(f"no server lives in {self.directory}: `imgvec server start` makes one")
            with self._folder.start_lock():
                found = postmaster.read_postmaster(self._folder.data)
                if found is None:
                    return False
                if not postmaster.stop_server(
                    found.pid, self._folder.data, self._folder.server_lock, timeout_seconds=STOP_SECONDS
                ):
                    raise ServerError(f"the server (pid {found.pid}) does not stop: see {self.log_file}")
                self._folder.remove_distant_socket()
        if self._process is not None:
            self._process.join(STOP_SECONDS)
            self._process = None
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A server that ran before is not ours to stop.
        if self._process is not None:
            self.stop()


@contextmanager
def _one_line_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or directory
        raise ServerError(
            f"cannot use {place} for the server: {error.strerror or error}; choose another directory"
        ) from error
