"""Launcher of PostgreSQL: a program run as `python -I -S launcher.py OPTIONS COMMAND…`.

It stands in for Popen's preexec_fn, which may deadlock in a process with threads. The order matters: changing
the user clears the parent-death signal.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Drop rights, tie the life of the server to its owner or to nobody, and exec the command.

    OPTIONS is JSON: uid and gid (or null), parent (pid to die with, or null), lock and log (paths). Standard
    output gets the server's pid when it is to outlive its parent.
    """
    options = json.loads(sys.argv[1])
    command = sys.argv[2:]
    os.umask(0o077)
    if options["parent"] is None:
        _leave_parent()
    if options["uid"] is not None:
        _become(options["uid"], options["gid"])
    if options["parent"] is not None:
        die_with(options["parent"], signal.SIGINT)
    try:
        log = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        sys.exit(f"FATAL:  cannot write {options['log']}: {error.strerror}")
    os.dup2(log, 2)
    # Held by the server and its processes until the last one is gone, so that nobody need guess by pid.
    lock = os.open(options["lock"], os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("FATAL:  processes of an earlier server still use this directory")
    os.set_inheritable(lock, True)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"FATAL:  cannot run {command[0]}: {error.strerror}")


def _become(uid: int, gid: int) -> None:
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.exit(f"FATAL:  root may not become uid {uid} here to run the server: {error.strerror}")


def _leave_parent() -> None:
    child = os.fork()
    if child:
        os.write(1, b"%d\n" % child)
        os._exit(0)
    os.setsid()


def die_with(parent: int, number: signal.Signals) -> None:
    """Have this process sent a signal when the thread that started it ends; on Linux only.

    Args:
        parent: Pid of the starting process, which may have died before.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("FATAL:  the process that started this one is gone")


if __name__ == "__main__":
    main()
