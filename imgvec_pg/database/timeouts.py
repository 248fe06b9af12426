"""Connections with a deadline for a server that neither answers nor hangs up, as behind a half-open network.

libpq's tcp_user_timeout and keepalives do not see it where a proxy keeps acknowledging what it never delivers.
"""

import time
from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from imgvec_pg.database.session_settings import OwnConnection

SILENCE_SECONDS = 14.0
"""No statement of a worker takes so long: the server itself ends it after STATEMENT_MS of store/transactions.py."""
COURTESY_SECONDS = 2.0
"""How long a session that has met silence waits for the rest of its connections, to give back what it holds."""

Result = TypeVar("Result")


class Silence:
    """Deadline shared by a session's connections: shortened once one of them timed out."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = SILENCE_SECONDS if seconds is None else seconds

    def was_met(self) -> None:
        """Note that one connection waited in vain; its neighbours most likely will too."""
        self.seconds = min(self.seconds, COURTESY_SECONDS)


class WatchedConnection(OwnConnection):
    """Connection with a deadline for each round trip; OperationalError when the server is silent for longer.

    Attributes:
        silence: Shared by the connections of one session; None watches nothing.
        asked_seconds: Time spent on exchanges so far, from each statement's sending to its answer.
        transactions: Transactions that have ended so far.
    """

    silence: Silence | None = None
    asked_seconds: float = 0.0
    transactions: int = 0

    @classmethod
    def watched_by(cls, silence: Silence) -> type[Self]:
        """Return this class with the given limit, for connect() to make an instance of."""
        return type(cls.__name__, (cls,), {"silence": silence})

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **options: Any) -> Result:  # noqa: ANN401
        """Run one exchange with the server.

        Raises:
            psycopg.OperationalError: The server was silent for too long; the connection is closed.
        """
        silence = self.silence
        if silence is None:
            return super().wait(gen, *args, **options)
        began = time.monotonic()
        try:
            return super().wait(until_silent(gen, silence), *args, **options)
        except SilentServerError:
            silence.was_met()
            self.pgconn.finish()
            raise
        finally:
            self.asked_seconds += time.monotonic() - began
            self.transactions += self.pgconn.transaction_status == TransactionStatus.IDLE


class SilentServerError(psycopg.OperationalError):
    """The server neither answered nor hung up."""


def until_silent(gen: Generator[Any, Any, Result], silence: Silence) -> Generator[Any, Any, Result]:
    """Pass an exchange through; psycopg resumes it ten times a second with nothing while nothing comes.

    Raises:
        SilentServerError: Nothing came for as long as `silence` allows. A process that was itself stopped for as
            long reads first what has arrived meanwhile.
    """
    last_heard = time.monotonic()
    try:
        waiting_for = next(gen)
        while True:
            ready = yield waiting_for
            now = time.monotonic()
            if ready:
                last_heard = now
            elif now - last_heard > silence.seconds:
                raise SilentServerError(
                    f"no answer for {now - last_heard:.0f} s, and no end of the connection either: "
                    "the network or the server stalls"
                )
            waiting_for = gen.send(ready)
    except StopIteration as stop:
        result: Result = stop.value
        return result
