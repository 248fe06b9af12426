"""Run initdb and postgres: as the right user, in a clean environment, alone or bound to this process."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from imgvec_pg.database.local_server.binaries import PostgresBinaries
from imgvec_pg.database.local_server.data_dir import ServerFolder
from imgvec_pg.database.local_server.unprivileged import ServerUser
from imgvec_pg.errors import ServerError

LAUNCHER = Path(__file__).with_name("launcher.py")
# Nothing of the caller's: its PG* variables, language and time zone would all reach the server.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # Unicode's letters without the machine's locales
    "--builtin-locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--no-instructions",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
)


def initialise_data(
    binaries: PostgresBinaries, folder: ServerFolder, user: ServerUser | None, *, sync: bool, lock: int
) -> None:
    """Make `folder.data` by initdb, in one rename at the end.

    Args:
        sync: Wait until the files are on the disk.
        lock: A descriptor for initdb to hold, so that nobody starts over while an orphan still writes.
    """
    folder.make_unfinished_data(user)
    command = [str(binaries.program("initdb")), f"--pgdata={folder.unfinished_data}", *INITDB_OPTIONS]
    if not sync:
        command.append("--no-sync")
    outcome = subprocess.run(
        command,
        env=ENVIRONMENT,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        pass_fds=(lock,),
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
        check=False,
    )
    if outcome.returncode != 0:
        folder.remove_unfinished_data()
        raise ServerError(f"initdb failed in {folder.path}: {first_complaint(outcome.stderr)}")
    folder.unfinished_data.rename(folder.data)


def postgres_command(
    binaries: PostgresBinaries, folder: ServerFolder, settings: Mapping[str, str]
) -> list[str]:
    """Return the command line of the server; `-D data` comes first, since it is recognised by that."""
    command = [str(binaries.program("postgres")), "-D", str(folder.data)]
    quoted_socket = str(folder.socket).replace('"', '""')  # one element of a list, where a comma would end it
    for name, value in {"unix_socket_directories": f'"{quoted_socket}"', **settings}.items():
        command += ["-c", f"{name}={value}"]
    return command


class ServerProcess:
    """A postgres started by the launcher.

    Attributes:
        pid: The postmaster.
    """

    def __init__(
        self, command: Sequence[str], folder: ServerFolder, user: ServerUser | None, *, owned: bool
    ) -> None:
        options = {
            "uid": None if user is None else user.uid,
            "gid": None if user is None else user.gid,
            "parent": os.getpid() if owned else None,
            "lock": str(folder.server_lock),
            "log": str(folder.log),
        }
        self._command = [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(options), *command]
        self._complaint = ""
        self._owner: threading.Thread | None = None
        self.pid = 0
        if owned:
            self._start_owned()
        else:
            self._start_detached()
        if self._complaint:
            raise ServerError(f"PostgreSQL did not start: {first_complaint(self._complaint)}")

    def _popen(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _start_detached(self) -> None:
        # Both pipes end when the server has turned its output to the log, or has failed before.
        pid, complaint = self._popen().communicate()
        self.pid, self._complaint = int(pid or 0), complaint.decode(errors="replace")

    def _start_owned(self) -> None:
        """Start from a thread that lives as long as the server, since the parent it dies with is a thread."""
        begun = threading.Event()

        def own() -> None:
            try:
                with self._popen() as process:
                    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
                    self.pid, self._complaint = process.pid, process.stderr.read().decode(errors="replace")
                    begun.set()
            except OSError as error:
                self._complaint = f"{sys.executable}: {error.strerror}"
            finally:
                begun.set()

        self._owner = threading.Thread(target=own, name="imgvec-server-owner", daemon=True)
        self._owner.start()
        begun.wait()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread of a server that was stopped."""
        if self._owner is not None:
            self._owner.join(timeout_seconds)


def first_complaint(text: str) -> str:
    """Return what went wrong first, out of PostgreSQL's messages: later ones only follow from it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        found = re.search(r"(?:PANIC|FATAL|ERROR|error): +(.*)", line)
        if found:
            hints = [
                text.partition("HINT:")[2].strip() for text in lines[index + 1 : index + 3] if "HINT:" in text
            ]
            return "; ".join([found[1], *hints])
    return lines[-1] if lines else "no message"
