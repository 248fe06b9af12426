"""Reconnect with exponential backoff and a deadline; limit polling to 5 % of wall time."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from imgvec_pg.database.connect import one_line
from imgvec_pg.errors import ConnectionFailedError

log = logging.getLogger(__name__)

SHARE_OF_TIME = 0.05
"""Part of the time that may go into looking."""


class PollingLimit:
    """Limits polling to 5 % of wall time: says when to poll again.

    Args:
        least_seconds: Not sooner than this, however fast it was.
    """

    def __init__(self, least_seconds: float = 0.0) -> None:
        self.least_seconds = least_seconds
        self._next_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._next_at

    def took(self, seconds: float) -> None:
        """Note that it was looked, and for how long."""
        self._next_at = time.monotonic() + max(self.least_seconds, seconds / SHARE_OF_TIME)


PAUSE_SECONDS = (0.5, 4.0)
"""First and longest pause between attempts to reconnect."""
GIVE_UP_AFTER_SECONDS = 900.0
FULL_DISK_LOG_SECONDS = 60.0
"""How often a full disk is logged: the message names another file each time, and small writes succeed between."""

CONNECTION_LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    ConnectionFailedError,
    # Not operational errors to psycopg: the server hangs up on a worker that was stopped within a transaction.
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    # A name or address that leads to the old primary or a standby for a moment, or a provider's brake on a full disk.
    psycopg.errors.ReadOnlySqlTransaction,
)
"""Connection-lost exceptions; a full disk, a stopping server and one that is read-only for a moment raise the same."""


@contextmanager
def loss_told_from_answers() -> Iterator[None]:
    """Raise as a lost connection what psycopg finds in answers that do not belong together.

    Behind a pooler the end of a session may come with the answer to the first statement that was given to it: two results of
    one command, an InternalError of psycopg's own. Those of the server have an SQLSTATE and stay.

    Raises:
        psycopg.OperationalError: The connection is lost.
    """
    try:
        yield
    except psycopg.InternalError as error:
        if error.sqlstate is not None:
            raise
        raise psycopg.OperationalError(one_line(error)) from error


class Backoff:
    """Exponential backoff between the reconnects of one worker, with a deadline.

    Args:
        stop: Ends a pause at once.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._pause = PAUSE_SECONDS[0]
        self._away_since: float | None = None
        self._logged = ""
        self._full_disk_logged_at: float | None = None

    def renew(self) -> None:
        """Forget earlier attempts: there was success since."""
        self._away_since = None

    def wait(self, error: Exception) -> None:
        """Pause after an attempt that met this error.

        Raises:
            ConnectionFailedError: The database has been unreachable for 15 minutes.
            Exception: The error itself, when something else stayed away for so long.
        """
        now = time.monotonic()
        if self._away_since is None:
            self._pause, self._away_since, self._logged = PAUSE_SECONDS[0], now, ""
        if now - self._away_since > GIVE_UP_AFTER_SECONDS:
            if not isinstance(error, CONNECTION_LOST) or isinstance(error, psycopg.errors.QueryCanceled):
                raise error
            raise ConnectionFailedError(
                f"the database has been unreachable for {GIVE_UP_AFTER_SECONDS / 60:.0f} minutes ({one_line(error)}); "
                "nothing is lost: run the same command again"
            ) from error
        self._log(error, now)
        self._stop.wait(self._pause)
        self._pause = min(self._pause * 2, PAUSE_SECONDS[1])

    def _log(self, error: Exception, now: float) -> None:
        cause = one_line(error)
        if isinstance(error, psycopg.errors.DiskFull):
            if (
                self._full_disk_logged_at is not None
                and now - self._full_disk_logged_at < FULL_DISK_LOG_SECONDS
            ):
                return
            self._full_disk_logged_at = now
            cause = f"the database's disk is full ({cause})"
        elif isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            cause = f"the server is read-only, a standby perhaps ({cause})"
        elif isinstance(error, psycopg.errors.QueryCanceled):
            cause = (
                f"the database cancelled a statement ({cause}), perhaps since a transaction has been open for long, or the "
                "server or the way to it is slow"
            )
        elif isinstance(error, CONNECTION_LOST):
            cause = f"lost the connection to the database ({cause})"
        if cause != self._logged:
            log.warning("%s; retrying with backoff", cause)
            self._logged = cause
