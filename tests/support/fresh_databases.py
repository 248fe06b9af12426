"""A server for the tests, and databases of their own on it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import odd_settings
import psycopg
from psycopg import sql

from imgvec_pg.database.local_server.server import LocalServer

# "odd" or "odd applications": the tests' databases get defaults of tests/support/odd_settings.py, as in `make matrix`.
SETTINGS = odd_settings.KINDS.get(os.environ.get("IMGVEC_TEST_SETTINGS", ""), {})


class Server(Protocol):
    """What tests may ask of the server, private or given."""

    def dsn(self, dbname: str = ..., /) -> str:
        """Return the connection string of one of its databases, as a superuser."""


@contextmanager
def fresh_database(server: Server, template: str = "template0") -> Iterator[str]:
    """Create a database from a template, give its connection string, drop it whoever is still connected."""
    database = f"imgvec_test_{uuid.uuid4().hex[:12]}"
    name = sql.Identifier(database)
    connection = administration.connect(server)
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(name, sql.Identifier(template), strategy(server))
    )
    try:
        if SETTINGS:
            odd_settings.set_odd(connection, SETTINGS, database=database)
        yield server.dsn(database)
    finally:
        administration.connect(server).execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def strategy(server: Server) -> sql.SQL:
    """Return how a database is copied: as files, half the processor time, where the checkpoints around it cost nothing.

    By default PostgreSQL copies page by page, through its buffers and into the WAL. A given server has its files on a disk.
    """
    return sql.SQL("STRATEGY file_copy" if isinstance(server, LocalServer) else "")


class Administration:
    """A session that makes and drops the databases of one server after the other, kept: a new one takes as long as a copy."""

    def __init__(self) -> None:
        self._dsn = ""
        self._connection: psycopg.Connection | None = None

    def connect(self, server: Server) -> psycopg.Connection:
        """Return the session, a new one where it is of another server or was ended."""
        dsn = server.dsn()
        if self._connection is None or self._dsn != dsn or not self._is_alive(self._connection):
            self.close()
            self._dsn, self._connection = dsn, psycopg.connect(dsn, autocommit=True)
        return self._connection

    def close(self) -> None:
        """End it, as before its server stops."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_alive(self, connection: psycopg.Connection) -> bool:
        with suppress(psycopg.OperationalError):
            connection.execute("SELECT")
            return True
        return False


administration = Administration()
