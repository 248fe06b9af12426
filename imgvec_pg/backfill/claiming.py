"""Claim jobs from the queue: lease a batch, within the limit and the throttle."""

import logging
import time
import uuid
from collections.abc import Iterator, Sequence

import psycopg

from imgvec_pg.backfill.context import WorkerContext
from imgvec_pg.backfill.others_at_work import OthersAtWork
from imgvec_pg.backfill.stats import CLAIM, IDLE, WORKING
from imgvec_pg.backfill.throttle import Throttle, asked_seconds, ended_transactions
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.store.queue.jobs import (
    BEGINNING,
    Claim,
    claim_batches,
    find_waiting_job,
    place_of,
)
from imgvec_pg.store.registry import CollectionWatch

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
COME_BACK_SECONDS = 10.0
"""After an outage, how long expired leases are left to workers that are about to come back: longer than their longest
pause between attempts."""

AHEAD_SECONDS = 0.5
"""Work for so long is claimed with one statement where a batch takes less, at most MOST_KEYS_AHEAD."""
MOST_KEYS_AHEAD = 1024
QUARANTINED_IN_A_ROW = 4
"""Keys worked alone before a batch of other work gets its turn."""


class JobClaimer:
    """Leases jobs until there are none, the limit is reached or the pipeline ends.

    Args:
        connection: The one that claims and reads.
        connections: All of the worker whose statements the throttle counts; by default `connection` alone.
    """

    def __init__(
        self, context: WorkerContext, connection: Connection, connections: Sequence[Connection] = ()
    ) -> None:
        self.context = context
        self.connection = connection
        self.leases = context.leases
        counted = connections or (connection,)
        others = OthersAtWork(lambda: ended_transactions(counted))
        self.throttle = Throttle(context, lambda: asked_seconds(counted), others)
        self.left = context.options.limit
        self._waiting_job: int | None = None
        self._watch = CollectionWatch(context.name, context.collection)
        self._quarantined_in_a_row = 0
        self._spare_until = time.monotonic() + (COME_BACK_SECONDS if context.options.after_outage else 0.0)

    def __iter__(self) -> Iterator[Claim]:
        """Yield the claims of `together` one by one."""
        for claims in self.together():
            yield from claims

    def together(self) -> Iterator[list[Claim]]:
        """Yield claims that hold at least one job, those of one statement together.

        Raises:
            CollectionNotFoundError, CollectionReplacedError: The collection is not the one it was; its queue went
                with it, and looks empty.
            CollectionChangedError: It has other columns or types than those that it is read and written by.
        """
        while self.left != 0 and self.throttle.allow(self.connection):
            is_others_turn = self._quarantined_in_a_row >= QUARANTINED_IN_A_ROW
            claims = self._claim(skips_quarantined=is_others_turn)
            is_quarantined = any(claim.is_quarantined for claim in claims)
            self._quarantined_in_a_row = self._quarantined_in_a_row + 1 if is_quarantined else 0
            # Behind the claim: what it holds was enqueued under the collection as it is seen here, or an earlier one.
            self._watch.check(self.connection)
            keys = sum(claim.key_count() for claim in claims)
            self.throttle.took(keys)
            for claim in claims:
                if claim.jobs:
                    self.leases.add(claim.token, place_of(claim.jobs))
                else:
                    self.leases.discard(claim.token)
            if keys:
                self.context.stats.activity = WORKING
                self.left = None if self.left is None else self.left - keys
                yield [claim for claim in claims if claim.jobs]
                continue
            if is_others_turn:
                continue
            if not self.leases.held():
                self.context.stats.rest(IDLE)
            # Others may hold leases and die, and keys may be delayed: empty means nothing waits at all.
            if not self.context.options.follow and not self._is_any_waiting():
                return
            self.context.pause(POLL_SECONDS)

    def _is_any_waiting(self) -> bool:
        self._waiting_job = find_waiting_job(self.connection, self.context.collection.id, self._waiting_job)
        return self._waiting_job is not None

    def _batches(self) -> int:
        """Return how many batches to claim at once: more than one where rows are finished by the thousand a second."""
        rate, batch_size = self.context.stats.steady.per_second(), self.context.options.batch_size
        fitting = int((rate or 0.0) * AHEAD_SECONDS) // batch_size
        return max(1, min(fitting, MOST_KEYS_AHEAD // batch_size))

    def _claim(self, *, skips_quarantined: bool) -> list[Claim]:
        context, at_most = self.context, self._at_most()
        batch_size = context.options.batch_size
        # Noted before it is taken: an answer lost with the connection leaves no lease that nobody knows of.
        is_one = at_most is not None or skips_quarantined
        tokens = [uuid.uuid4() for _ in range(1 if is_one else self._batches())]
        place, began = context.cursor.next(), time.monotonic()
        for token in tokens:
            self.leases.add(token, place)
        try:
            claims = claim_batches(
                self.connection,
                context.collection.id,
                tokens,
                batch_size if at_most is None else min(batch_size, at_most),
                lease_seconds=context.options.lease_seconds,
                at_most=at_most,
                place=place,
                skips_expired=began < self._spare_until,
                skips_quarantined=skips_quarantined,
            )
        except psycopg.errors.LockNotAvailable as error:
            # Somebody has the whole queue locked, as TRUNCATE of the source may; it is looked at again soon.
            log.info("nothing claimed, the queue is locked: %s", one_line(error))
            claims = [Claim(token, ()) for token in tokens]
        except psycopg.errors.QueryCanceled as error:
            # Where an old transaction keeps VACUUM away, a look from the beginning takes long.
            if place != BEGINNING or not context.cursor.is_known():
                raise
            log.info("claiming from the start of the queue timed out: %s", one_line(error))
            claims = [Claim(token, ()) for token in tokens]
        seconds = time.monotonic() - began
        # Quarantined jobs that were spared lie before what was found.
        jobs = [job for claim in claims for job in claim.jobs]
        context.cursor.note(place, () if skips_quarantined else jobs, seconds)
        if jobs:
            context.stats.stages.add(CLAIM, seconds)
        return claims

    def _at_most(self) -> int | None:
        bounds = [n for n in (self.left, self.throttle.keys_at_once()) if n is not None]
        return min(bounds, default=None)
