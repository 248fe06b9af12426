"""A server for the tests, and databases of their own on it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import odd_settings
import psycopg
from psycopg import sql

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
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
        odd_settings.set_odd(connection, SETTINGS, database=database)
        try:
            yield server.dsn(database)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
