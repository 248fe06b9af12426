"""Folders of the tests' servers: in memory where there is room, since ext4 is slow to make files where others have just gone.

A database is 300 files, and a test's own is made and removed. ext4 spares the inodes of files that went within the last five
seconds, and looks at each of them again for every file that it makes (Linux, fs/ext4/ialloc.c: recently_deleted). CREATE DATABASE
takes 0.15 to 0.4 s of a core there, 0.03 s in memory.
"""

import os
import tempfile
from pathlib import Path

from imgvec_pg.database.local_server.unprivileged import choose_user, closed_folder, make_temporary_directory

MEMORY = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
NEEDED_BYTES = 3 * 2**30
"""Free in the file system and as memory, for each server: several may run, and PostgreSQL shares its own memory there."""
PARALLEL_BYTES = 2**29
"""For the parallel builds of one server, several at once."""


def make_server_directory(prefix: str) -> Path:
    """Make a directory where a server of the tests can live; the caller removes it."""
    if not has_room():
        return make_temporary_directory(prefix)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY))
    made.chmod(0o700 if choose_user(MEMORY / "none") is None else 0o711)
    return made


def has_room() -> bool:
    """Tell whether a server may live in memory; TMPDIR, where somebody has set it, is obeyed."""
    if os.environ.get("TMPDIR") or not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    user = choose_user(MEMORY / "none")
    if user is not None and closed_folder(MEMORY / "x", user) is not None:
        return False
    state = os.statvfs(MEMORY)
    # Programs that the server's user cannot read are copied beside the data, and started there.
    return (
        not state.f_flag & os.ST_NOEXEC
        and min(state.f_bavail * state.f_frsize, available_memory()) >= NEEDED_BYTES
    )


def available_memory() -> int:
    """Return the bytes of memory that the kernel can give without swapping; 0 where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def shared_memory_settings() -> dict[str, str]:
    """Return what a server needs where /dev/shm is small: a container has 64 MB there, and a parallel build asks for as much."""
    if MEMORY.is_dir():
        state = os.statvfs(MEMORY)
        if state.f_bavail * state.f_frsize >= PARALLEL_BYTES:
            return {}
    return {"dynamic_shared_memory_type": "mmap"}
