"""Resource limits of a decoding child, set before it reads the first byte: memory, time, files, child processes."""

import contextlib
import ctypes
import errno
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
KEPT_DESCRIPTORS = 32
OOM_SCORE = 1000
"""The first to go when the machine is short of memory: linux/oom.h, OOM_SCORE_ADJ_MAX."""


def confine(memory_bytes: int, parent: int) -> None:
    """Give up this process's means, for good; systems other than Linux know fewer of these limits.

    Args:
        memory_bytes: Address space beyond what is mapped now.
        parent: Process to die with; where it is gone already, this ends at once.
    """
    # A terminal's ctrl-C and a service manager's SIGTERM reach the whole group: the parent still wants its pictures.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        _tie_to(parent)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
        _limit(resource.RLIMIT_AS, _mapped_bytes() + memory_bytes)
    _limit(resource.RLIMIT_NOFILE, KEPT_DESCRIPTORS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def allow_cpu(seconds: float) -> None:
    """Let this process compute for at most that many seconds more; the kernel kills it then (SIGXCPU)."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds)
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # A system that refuses one limit still has the others.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, (value, value))


def _tie_to(parent: int) -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def forget_shortage() -> None:
    """Begin to watch for a lack of memory in this thread."""
    if _errno is not None:
        _errno().contents.value = 0


def was_short_of_memory() -> bool:
    """Whether memory was refused since then, whatever became of it: some decoders call their picture damaged.

    malloc leaves ENOMEM in errno, which no call that succeeds resets; False with C libraries that keep it elsewhere.
    """
    return _errno is not None and _errno().contents.value == errno.ENOMEM


_errno = getattr(ctypes.CDLL(None), "__errno_location", None)
if _errno is not None:
    _errno.restype = ctypes.POINTER(ctypes.c_int)
