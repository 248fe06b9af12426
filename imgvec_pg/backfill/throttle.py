"""Throttle claims: rate limit, replica lag, quiet hours.

It only delays claims: what is claimed is finished, and no lease is held while a worker waits here for long.
"""

import logging
import math
import time

from imgvec_pg.backfill.context import WorkerContext
from imgvec_pg.backfill.quiet_hours import pause_ends_at
from imgvec_pg.backfill.stats import PAUSED, WAITING_FOR_REPLICAS
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import DatabaseError

log = logging.getLogger(__name__)

CLAIM_SECONDS = 1.0
"""At a low rate a claim holds no more than the images of so long: then work comes evenly, and no lease waits."""
LOOK_AGAIN_SECONDS = 1.0


class Throttle:
    """Delays the claims of one worker by rate limit, replica lag and quiet hours."""

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.allowance = context.options.allowance
        self._next_claim_at = time.monotonic()
        self._allowed_at = -math.inf

    def keys_at_once(self) -> int | None:
        """Return the most keys to claim together, None for no bound."""
        rate = self.allowance.rate
        return None if rate is None else max(1, math.floor(rate * CLAIM_SECONDS))

    def took(self, keys: int) -> None:
        """Note a claim."""
        if self.allowance.rate is not None:
            # Time that went by unused is not made up for: no burst after a pause.
            begin = max(self._next_claim_at, time.monotonic() - CLAIM_SECONDS)
            self._next_claim_at = begin + keys / self.allowance.rate

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
        while not context.is_ending() and (left := self._next_claim_at - time.monotonic()) > 0:
            context.stats.rest_rates()  # a rate that was asked for says nothing of the model's
            context.pause(min(left, CLAIM_SECONDS))
        return not context.is_ending()

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
