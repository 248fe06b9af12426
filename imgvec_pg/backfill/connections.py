"""Connections of a worker: application name, timeouts, and a deadline for a server that does not answer."""

import os
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.connect import Connection, chooses_host, connect, is_pooled
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.database.timeouts import Silence, WatchedConnection
from imgvec_pg.store.transactions import IDLE_IN_TRANSACTION_MS, STATEMENT_MS

CONNECT_SECONDS = 10
"""For a connection string and an environment that name none."""
SESSION_LOCK_TIMEOUT_MS = 5000
"""For single statements; transactions have their own, shorter one."""


def connect_worker(dsn: str, part: str, silence: Silence | None = None) -> Connection:
    """Open one connection of a worker.

    Its statements are limited in time by the server, and by this side where the server does not answer at all. They are
    never prepared on the server, and nothing of the session's is changed behind a pooler that gives it to others.

    Args:
        part: What it is for: its application_name is "imgvec worker PART".
        silence: Shared with the other connections of one session.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
    """
    connection = connect(
        dsn,
        application_name=f"imgvec worker {part}",
        connection_class=WatchedConnection.watched_by(silence or Silence()),
        **connect_options(dsn),
    )
    try:
        if not is_pooled(connection):
            connection.execute(
                load_sql("queries/session_limits.sql"),
                {
                    "statement_ms": STATEMENT_MS,
                    "lock_ms": SESSION_LOCK_TIMEOUT_MS,
                    "idle_in_transaction_ms": IDLE_IN_TRANSACTION_MS,
                },
            )
    except BaseException:
        connection.close()
        raise
    return connection


def connect_options(dsn: str) -> dict[str, Any]:
    """Return how long to wait for a connection, and of several hosts that writes go to the one that takes them.

    Only what neither the connection string nor libpq's variables say.
    """
    try:
        given = conninfo_to_dict(dsn)
    except ProgrammingError:
        return {}  # connect() says what is wrong with it.
    options: dict[str, Any] = {}
    if not given.get("connect_timeout") and not os.environ.get("PGCONNECT_TIMEOUT"):
        options["connect_timeout"] = CONNECT_SECONDS
    if chooses_host(dsn):
        options["target_session_attrs"] = "read-write"
    return options
