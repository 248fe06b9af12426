"""Connections of a worker: application name, timeouts, and a deadline for a server that does not answer."""

import os

from psycopg import IsolationLevel, ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.connect import Connection, connect
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
        prepare_threshold=None,
        **connect_timeouts(dsn),
    )
    try:
        # The write protocol is proved for READ COMMITTED; the database's own default may be another.
        connection.isolation_level = IsolationLevel.READ_COMMITTED
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


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler such as pgbouncer stands between: it gives out process ids of its own."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def connect_timeouts(dsn: str) -> dict[str, int]:
    """Return how long to wait for a connection, where neither the connection string nor libpq's variable says it."""
    try:
        given = conninfo_to_dict(dsn).get("connect_timeout")
    except ProgrammingError:
        return {}  # connect() says what is wrong with it.
    return {} if given or os.environ.get("PGCONNECT_TIMEOUT") else {"connect_timeout": CONNECT_SECONDS}
