"""pgbouncer in transaction mode before a server, where Debian's package is installed."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from free_ports import free_port
from own import Own
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import connect
from imgvec_pg.database.index_methods.hnsw import DATABASE_DEFAULTS
from imgvec_pg.database.local_server.unprivileged import choose_user, make_temporary_directory
from imgvec_pg.errors import ConnectionFailedError

CARRIED = ("application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings")
"""Settings that pgbouncer itself carries from one session to another for each client."""
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


def left_in_sessions(direct: str, behind: str, sessions: int) -> dict[str, str]:
    """Return what differs in the sessions of a pool from a fresh one: what one client left to the next.

    Args:
        direct: How the database is reached without the pool.
        sessions: How many the pool has; each is looked at.
    """
    with psycopg.connect(direct) as fresh:
        wanted = session_settings(fresh)
    found: dict[str, str] = {}
    held = [psycopg.connect(behind, prepare_threshold=None) for _ in range(sessions)]
    try:
        # Open transactions: each holds another session.
        seen = {c.execute("SELECT pg_backend_pid()").fetchone() for c in held}
        assert len(seen) == sessions
        for connection in held:
            settings = session_settings(connection)
            found |= {name: value for name, value in settings.items() if wanted.get(name, value) != value}
            for what, query in LEFT.items():
                row = connection.execute(query).fetchone()  # type: ignore[arg-type]
                if row != (0,):
                    found[what] = str(row)
    finally:
        for connection in held:
            connection.close()
    return found


LEFT = {
    "prepared statements": "SELECT count(*) FROM pg_prepared_statements",
    "listening channels": "SELECT count(*) FROM pg_listening_channels()",
    "advisory locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
}


def session_settings(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[str, str]:
    """Return the settings of a session that are its own to leave behind."""
    rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name <> ALL (%s)", [list(CARRIED)])
    # pgvector's own appear once its library is loaded; defaults of the database are those of when a session began.
    others = {str(name): str(value) for name, value in rows if not str(name).startswith("hnsw.")}
    return {name: value for name, value in others.items() if name not in DATABASE_DEFAULTS}


def wait_until_open(dsn: str, folder: Path) -> None:
    """Wait for its port."""
    deadline = time.monotonic() + 300
    while True:
        try:
            connect(dsn).close()
            return
        except ConnectionFailedError:
            log = folder / "log"
            assert time.monotonic() < deadline, log.read_text() if log.exists() else "pgbouncer said nothing"
            time.sleep(0.1)
