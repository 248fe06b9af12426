"""A real small disk: a tmpfs of its own, where this user may mount one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgvec_pg.database.local_server.unprivileged import make_temporary_directory


class NoSmallDiskError(Exception):
    """This user may not mount a file system."""


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount it, and unmount it whatever happened.

    Raises:
        NoSmallDiskError: This takes root, and a container's root may not.
    """
    directory = make_temporary_directory("imgvec-disk-")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if mounted.returncode != 0:
            raise NoSmallDiskError(mounted.stderr.strip())
        yield directory
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(directory)], check=False)
        directory.rmdir()


def fill_up(folder: Path) -> Path:
    """Write a file until nothing more fits, and return it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        block = os.urandom(1 << 16)
        for size in (len(block), 4096, 1):
            try:
                while file.write(block[:size]):
                    pass
            except OSError:
                continue
    return ballast
