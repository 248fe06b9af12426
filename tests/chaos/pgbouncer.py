"""pgbouncer in transaction mode before a server, where Debian's package is installed."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from own import Own, free_port
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.unprivileged import choose_user, make_temporary_directory
from imgvec_pg.errors import ConnectionFailedError

CONFIGURATION = """
[databases]
shop = host={socket} port={port} user=postgres dbname=shop
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
logfile = {folder}/log
pidfile = {folder}/pid
"""


def needs_pgbouncer() -> pytest.MarkDecorator:
    """Skip where it is not installed, unless IMGVEC_TEST_REQUIRES says that it is: then the tests fail."""
    required = "pgbouncer" in os.environ.get("IMGVEC_TEST_REQUIRES", "")
    missing = find_pgbouncer() is None and not required
    return pytest.mark.skipif(missing, reason="not run: pgbouncer is not installed (Debian: pgbouncer)")


def find_pgbouncer() -> str | None:
    """Return the program, None where it is not installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooled(own: Own, size: int) -> Iterator[str]:
    """Give a connection string through a pool of so many sessions."""
    program = find_pgbouncer()
    assert program is not None, "pgbouncer is required here and not installed"
    folder, listen = make_temporary_directory("imgvec-pgbouncer-"), free_port()
    user = choose_user(own.directory / "data")
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            socket=own.server.socket_directory, port=own.server.port, listen=listen, size=size, folder=folder
        )
    )
    if user is not None:
        for path in (folder, configuration):
            shutil.chown(path, user.uid, user.gid)
    process = subprocess.Popen(
        [program, "-q", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
    )
    dsn = make_conninfo("", host="127.0.0.1", port=listen, user="anybody", dbname="shop")
    try:
        wait_until_open(dsn, folder)
        yield dsn
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_open(dsn: str, folder: Path) -> None:
    """Wait for its port."""
    deadline = time.monotonic() + 20
    while True:
        try:
            connect(dsn).close()
            return
        except ConnectionFailedError:
            log = folder / "log"
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "pgbouncer said nothing"
            time.sleep(0.1)
