"""Throttle claims: rate limit, replica lag, quiet hours, share of the server's time.

It only delays claims: what is claimed is finished, and no lease is held while a worker waits here for long.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable

from imgvec_pg.backfill.context import WorkerContext
from imgvec_pg.backfill.others_at_work import OthersAtWork
from imgvec_pg.backfill.quiet_hours import pause_ends_at
from imgvec_pg.backfill.stats import PAUSED, WAITING_FOR_REPLICAS
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.database.timeouts import WatchedConnection
from imgvec_pg.errors import DatabaseError

log = logging.getLogger(__name__)

CLAIM_SECONDS = 1.0
"""At a low rate a claim holds no more than the images of so long: then work comes evenly, and no lease waits."""
LOOK_AGAIN_SECONDS = 1.0
KEYS_AT_A_SHARE = 8
"""With a share of the server's time a claim holds no more: 8 rows are some 5 ms of one statement with an HNSW index
(benchmarks/results/worker_cost.txt), 64 are 40 ms, during which a core of the server serves nobody else."""


SAVED_SECONDS = 1.0
"""What rest saves up, of time in the server: at 1 % it takes 100 s, and some 250 new rows of 512 dimensions are then
embedded at once. Over any longer time the share is kept."""
RESTED_SECONDS = 2.0
"""A worker at rest looks more often than this; one that was stopped for long saves up no more."""
BEHIND_SECONDS = 30.0
"""Held back for so long with work waiting, a worker says that it is the share that does it."""
SAY_AGAIN_SECONDS = 3600.0


class ServerShare:
    """Keeps the time spent in statements to a share of all time.

    Every second that passes pays for `share` seconds in statements, up to SAVED_SECONDS ahead: a few new rows after a rest wait
    for nothing. Since a busy server takes longer for the same statements, it is asked less.

    Args:
        asked: Seconds spent in statements so far.
    """

    def __init__(self, share: float, asked: Callable[[], float]) -> None:
        self.share = share
        self._asked = asked
        self._noted, self._noted_at = asked(), time.monotonic()
        self._owed = 0.0

    def left_seconds(self) -> float:
        """Return how long to ask nothing, until what was asked is paid for; 0 or less for not at all."""
        asked, now = self._asked(), time.monotonic()
        paid = (now - self._noted_at) * self.share
        saved = min(paid, RESTED_SECONDS * self.share)
        owed = max(self._owed - paid, min(self._owed, 0.0) - saved, -SAVED_SECONDS)
        self._owed = owed + asked - self._noted
        self._noted, self._noted_at = asked, now
        return self._owed / self.share

    def forget(self) -> None:
        """Owe nothing from here on, and have nothing saved."""
        self._owed = 0.0
        self._noted, self._noted_at = self._asked(), time.monotonic()


class Throttle:
    """Delays the claims of one worker by rate limit, replica lag, quiet hours and share of the server's time.

    Args:
        asked: Seconds that the worker's statements have taken so far; needed for a share of the server's time.
        others: Whether others use the server; needed for a share that holds only then.
    """

    def __init__(
        self,
        context: WorkerContext,
        asked: Callable[[], float] = lambda: 0.0,
        others: OthersAtWork | None = None,
    ) -> None:
        self.context = context
        self.allowance = context.options.allowance
        share = self.allowance.server_share
        self._share = None if share is None else ServerShare(share, asked)
        self._others = others if self.allowance.only_beside_others else None
        self._is_lifted = False
        self._next_claim_at = time.monotonic()
        self._allowed_at = -math.inf
        self._behind: tuple[float, int] | None = None
        self._told_at = -math.inf

    def keys_at_once(self) -> int | None:
        """Return the most keys to claim together, None for no bound."""
        rate = self.allowance.rate
        bounds = [] if rate is None else [max(1, math.floor(rate * CLAIM_SECONDS))]
        return min([*bounds, KEYS_AT_A_SHARE] if self._holds_back() else bounds, default=None)

    def keys_in_a_statement(self) -> int | None:
        """Return the most rows of one statement, None for no bound."""
        return KEYS_AT_A_SHARE if self._holds_back() else None

    def _holds_back(self) -> bool:
        return self._share is not None and not self._is_lifted

    def took(self, keys: int) -> None:
        """Note a claim, or that there was nothing to claim."""
        self._note_behind(keys)
        if self.allowance.rate is not None:
            # Time that went by unused is not made up for: no burst after a pause.
            begin = max(self._next_claim_at, time.monotonic() - CLAIM_SECONDS)
            self._next_claim_at = begin + keys / self.allowance.rate

    def _note_behind(self, keys: int) -> None:
        """Say so once an hour where the share of the server's time is why rows wait: each claim is as large as it allows."""
        now = time.monotonic()
        if (
            self._share is None
            or self._is_lifted
            or not self.context.options.follow
            or keys < KEYS_AT_A_SHARE
        ):
            self._behind = None
            return
        since, done = self._behind or (now, 0)
        self._behind = since, done + keys
        if now - since < BEHIND_SECONDS or now - self._told_at < SAY_AGAIN_SECONDS:
            return
        self._told_at = now
        log.warning(
            "more rows wait than %.2g %% of the time in the server (--server-share) lets through, %.1f/s; imgvec backfill embeds "
            "them sooner, also beside workers, or give a larger share",
            100 * self._share.share,
            done / (now - since),
        )

    def allow(self, connection: Connection) -> bool:
        """Wait until a claim is allowed; False when the pipeline ends.

        Raises:
            DatabaseError: The role may not see how far the standbys are.
        """
        context, logged = self.context, ""
        while not context.is_ending() and (reason := self._reason(connection)) is not None:
            activity, why = reason
            if activity != logged:
                log.warning("%s", why)
            logged = activity
            if not context.leases.held():
                context.stats.rest(activity)
            context.pause(LOOK_AGAIN_SECONDS)
        if logged and not context.is_ending():
            log.warning("claiming again")
        if self._share is not None and self._others is not None:
            self._is_lifted = not self._others.may_be_there(connection)
            if self._is_lifted:
                self._share.forget()
        while not context.is_ending() and (left := self._left_seconds()) > 0:
            context.stats.rest_rates()  # a rate that was asked for says nothing of the model's
            context.pause(min(left, CLAIM_SECONDS))
        return not context.is_ending()

    def _left_seconds(self) -> float:
        """Return the seconds until the rate and the share of the server's time allow a claim."""
        by_share = 0.0 if self._share is None or self._is_lifted else self._share.left_seconds()
        return max(self._next_claim_at - time.monotonic(), by_share)

    def _reason(self, connection: Connection) -> tuple[str, str] | None:
        """Return why nothing may be claimed now: an activity and a sentence. An answer holds for a moment."""
        now = time.monotonic()
        if now - self._allowed_at < LOOK_AGAIN_SECONDS:
            return None
        reason = self._hours(connection) or self._replicas(connection)
        if reason is None:
            self._allowed_at = now
        return reason

    def _hours(self, connection: Connection) -> tuple[str, str] | None:
        if not self.allowance.pause_when:
            return None
        row = connection.execute(load_sql("queries/local_time.sql")).fetchone()
        assert row is not None  # noqa: S101 - always one row
        until = pause_ends_at(self.allowance.pause_when, row[0])
        if until is None:
            return None
        hours = ", ".join(hours.text for hours in self.allowance.pause_when)
        return PAUSED, f"paused until {until:%A %H:%M} by the database's clock (--pause-when {hours})"

    def _replicas(self, connection: Connection) -> tuple[str, str] | None:
        limit = self.allowance.max_replica_lag_seconds
        if limit is None:
            return None
        lag = replica_lag_seconds(connection)
        if lag is None or lag <= limit:
            return None
        why = f"waiting for replicas: a standby is {lag:.1f} s behind (--max-replica-lag {limit:g})"
        return WAITING_FOR_REPLICAS, why


def asked_seconds(connections: Iterable[Connection]) -> float:
    """Return the seconds that connections of a worker have spent in statements."""
    return sum(each.asked_seconds for each in connections if isinstance(each, WatchedConnection))


def ended_transactions(connections: Iterable[Connection]) -> int:
    """Return how many transactions of a worker's connections have ended."""
    return sum(each.transactions for each in connections if isinstance(each, WatchedConnection))


def replica_lag_seconds(connection: Connection) -> float | None:
    """Return how far the slowest connected standby is behind in replaying; None where none is connected.

    Raises:
        DatabaseError: The role may not see it.
    """
    row = connection.execute(load_sql("queries/replica_lag.sql")).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    if not row[1]:
        raise DatabaseError(
            f"the role {connection.info.user} may not see how far standbys are behind, which --max-replica-lag needs; "
            f"have a superuser run: GRANT pg_monitor TO {connection.info.user}"
        )
    return None if row[0] is None else float(row[0])
