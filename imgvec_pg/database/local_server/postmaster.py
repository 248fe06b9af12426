"""Find the running server by postmaster.pid, checked against the process: a bare pid may be reused."""

import contextlib
import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Postmaster:
    """What postmaster.pid says, checked against the process.

    Attributes:
        pid: The server's process.
        ready: It accepts connections.
    """

    pid: int
    ready: bool


def read_postmaster(data: Path) -> Postmaster | None:
    """Return the server that runs on this data directory, or None: a file left by a crash names no server."""
    try:
        # PostgreSQL 18 src/include/utils/pidfile.h: line 1 is the pid, line 8 the status.
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if not is_server(pid, data):
        return None
    return Postmaster(pid, ready=len(lines) >= 8 and lines[7].strip() == "ready")


def is_server(pid: int, data: Path) -> bool:
    """Tell whether this process is alive and was started as `postgres -D data`; children's titles differ."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # A zombie has no command line, so it counts as gone although nobody has waited for it.
    return arguments[0].endswith(b"/postgres") and arguments[1:3] == [b"-D", os.fsencode(data)]


def is_alive(pid: int) -> bool:
    """Tell whether the process exists and is more than a zombie that nobody has waited for."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def names_a_stranger(pid_file: Path) -> bool:
    """Tell whether the pid in a crashed server's file belongs to another program by now.

    PostgreSQL would take it for a running server and refuse to start. Where the pid is free, or belongs to
    a server that someone started by hand, PostgreSQL judges better than we could.
    """
    try:
        pid = int(pid_file.read_text(errors="replace").split("\n", 1)[0])
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    # A dead server that nobody has waited for, as in a container without an init, has no command line either.
    return arguments[0].rpartition(b"/")[2] != b"postgres"


def lock_is_held(lock: Path) -> bool:
    """Tell whether any process of a server holds the lock that the launcher took."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def wait_until_released(lock: Path, timeout_seconds: float) -> bool:
    """Wait for the last process of a server to go; False when one is still there."""
    deadline = time.monotonic() + timeout_seconds
    while lock_is_held(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def stop_server(pid: int, data: Path, lock: Path, *, timeout_seconds: float) -> bool:
    """Stop the server: fast shutdown, then an immediate one. False when it is still there after that."""
    for number, seconds in ((signal.SIGINT, timeout_seconds), (signal.SIGQUIT, 10.0)):
        # Checked again before each signal: the pid could have passed to another process.
        if is_server(pid, data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if _wait_until_gone(pid, data, lock, seconds):
            return True
    return False


def _wait_until_gone(pid: int, data: Path, lock: Path, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while is_server(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return wait_until_released(lock, max(1.0, deadline - time.monotonic()))
