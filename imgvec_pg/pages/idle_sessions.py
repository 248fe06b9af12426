"""Database sessions between requests: a new one costs the server 50 to 200 ms of work, as it knows no table yet."""

import time
import weakref
from collections.abc import Callable
from threading import Lock

import psycopg
from psycopg.pq import TransactionStatus

from imgvec_pg.database.connect import Connection

KEPT = 4
KEPT_SECONDS = 300.0


class IdleSessions:
    """A few sessions that no request uses. Each request has one for itself; threads share this."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, str, Connection]] = []
        self._lock = Lock()
        weakref.finalize(self, _close_all, self._kept)

    def take(self, dsn: str, ask: Callable[[Connection], object]) -> Connection | None:
        """Return a session that still answers; None where there is none.

        Args:
            ask: Runs the first statement of a request, by which a session is known to answer.
        """
        while True:
            with self._lock:
                found = self._kept.pop() if self._kept else None
            if found is None:
                return None
            since, kept_for, connection = found
            if kept_for == dsn and time.monotonic() - since < KEPT_SECONDS and _answers(connection, ask):
                return connection
            connection.close()

    def give(self, dsn: str, connection: Connection) -> None:
        """Keep a session for another request, unless it is broken or there are enough."""
        is_idle = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
        with self._lock:
            if is_idle and len(self._kept) < KEPT:
                self._kept.append((time.monotonic(), dsn, connection))
                return
        connection.close()


def _answers(connection: Connection, ask: Callable[[Connection], object]) -> bool:
    try:
        ask(connection)
    except psycopg.Error:
        return False
    return True


def _close_all(kept: list[tuple[float, str, Connection]]) -> None:
    for _, _, connection in kept:
        connection.close()
