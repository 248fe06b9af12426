"""A primary and a streaming standby of it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memory_disk import make_server_directory
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.binaries import find_binaries
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.server_process import ENVIRONMENT
from imgvec_pg.database.local_server.unprivileged import choose_user


@contextmanager
def run_primary_and_standby() -> Iterator[tuple[LocalServer, str]]:
    """Give a primary and the connection string of a streaming standby of it, made by pg_basebackup."""
    directory = make_server_directory("imgvec-standby-")
    user = choose_user(directory)
    socket = directory / "standby-socket"
    data = directory / "standby"
    binaries = find_binaries()
    options = {
        "env": ENVIRONMENT,
        "cwd": "/",
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "user": None if user is None else user.uid,
        "group": None if user is None else user.gid,
        "extra_groups": None if user is None else [],
    }
    standby: subprocess.Popen[bytes] | None = None
    try:
        with LocalServer(directory / "primary", settings={"fsync": "off"}, die_with_parent=True) as primary:
            for folder in (directory, socket):
                folder.mkdir(exist_ok=True)
                if user is not None:
                    shutil.chown(folder, user.uid, user.gid)
            programs = directory / "primary" / "binaries"
            folder = programs if programs.is_dir() else binaries.folder
            backup = next(folder.rglob("pg_basebackup"))
            subprocess.run(
                [str(backup), "-D", str(data), "-R", "-X", "stream", "-c", "fast", "-d", primary.dsn()],
                check=True,
                timeout=900,
                **options,
            )
            standby = subprocess.Popen(
                [
                    str(backup.with_name("postgres")),
                    "-D",
                    str(data),
                    "-c",
                    f"unix_socket_directories={socket}",
                    "-c",
                    "listen_addresses=",
                ],
                stderr=subprocess.DEVNULL,
                **options,
            )
            yield primary, make_conninfo(primary.dsn(), host=str(socket))
    finally:
        if standby is not None:
            standby.terminate()
            standby.wait(300)
        shutil.rmtree(directory, ignore_errors=True)


def connect_soon(dsn: str) -> Connection:
    deadline = time.monotonic() + 600
    while True:
        try:
            return connect(dsn)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def await_replay(primary: Connection, standby: Connection) -> None:
    """Wait until the standby has all that the primary has written so far."""
    written = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    primary.execute("CHECKPOINT")
    deadline = time.monotonic() + 600
    while standby.execute("SELECT pg_last_wal_replay_lsn() >= %s", written).fetchone() != (True,):
        assert time.monotonic() < deadline
        time.sleep(0.05)
