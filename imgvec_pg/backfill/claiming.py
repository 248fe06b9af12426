"""Which jobs a worker takes next: within its limit, at the pace asked for, and without looking at what is done."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import psycopg

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.leases import HeldLeases
from imgvec_pg.backfill.stats import CLAIM, IDLE, WORKING, WorkerStats
from imgvec_pg.backfill.throttle import Throttle
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import (
    BEGINNING,
    Claim,
    Job,
    QueuePosition,
    claim_jobs,
    find_waiting_job,
    place_of,
)
from imgvec_pg.store.registry import require_same_collection

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
LOOK_FROM_THE_BEGINNING_SECONDS = 1.0
"""Jobs given back, and those whose transaction took long to commit, lie behind a worker's place in the queue."""
COME_BACK_SECONDS = 10.0
"""After an outage, how long expired leases are left to workers that are about to come back: longer than their longest
pause between attempts."""

QUARANTINED_IN_A_ROW = 4
"""Keys worked alone before a batch of other work gets its turn."""


class QueueCursor:
    """A worker's place in one collection's queue; it outlives its sessions."""

    def __init__(self) -> None:
        self._place = BEGINNING
        self._looking_back = PollingLimit(LOOK_FROM_THE_BEGINNING_SECONDS)

    def next(self) -> QueuePosition:
        """Return where to begin: from time to time, from the beginning."""
        return BEGINNING if self._looking_back.is_due() else self._place

    def is_known(self) -> bool:
        """Whether there is another place to begin at than the beginning."""
        return self._place != BEGINNING

    def note(self, place: QueuePosition, jobs: Sequence[Job], seconds: float) -> None:
        """Note what was found from a place, and how long that took."""
        if place == BEGINNING:
            self._looking_back.took(seconds)
        self._place = place_of(jobs, self._place)


class JobClaimer:
    """Leases jobs until there are none, the limit is reached or the pipeline ends.

    Args:
        name: The name that must go on meaning the collection.
        limit: Keys to claim in all.
        is_ending: Whether to stop.
        pause: Waits so many seconds, or less when the pipeline ends.
        after_outage: The database was away until now.
        place: Where an earlier session has come to.
    """

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        name: str,
        leases: HeldLeases,
        stats: WorkerStats,
        throttle: Throttle,
        is_ending: Callable[[], bool],
        pause: Callable[[float], None],
        *,
        batch_size: int,
        lease_seconds: float,
        follow: bool,
        limit: int | None,
        after_outage: bool = False,
        place: QueueCursor | None = None,
    ) -> None:
        self.connection = connection
        self.collection = collection
        self.name = name
        self.leases = leases
        self.stats = stats
        self.throttle = throttle
        self.is_ending = is_ending
        self.pause = pause
        self.batch_size = batch_size
        self.lease_seconds = lease_seconds
        self.follow = follow
        self.left = limit
        self._place = place or QueueCursor()
        self._waiting_job: int | None = None
        self._quarantined_in_a_row = 0
        self._spare_until = time.monotonic() + (COME_BACK_SECONDS if after_outage else 0.0)

    def __iter__(self) -> Iterator[Claim]:
        """Yield claims that hold at least one job.

        Raises:
            CollectionNotFoundError, CollectionReplacedError: The collection is not the one it was; its queue went
                with it, and looks empty.
        """
        while self.left != 0 and self.throttle.allow(self.connection, self.stats, self.leases, self.pause):
            is_others_turn = self._quarantined_in_a_row >= QUARANTINED_IN_A_ROW
            claim = self._claim(skips_quarantined=is_others_turn)
            self._quarantined_in_a_row = self._quarantined_in_a_row + 1 if claim.is_quarantined else 0
            require_same_collection(self.connection, self.name, self.collection)
            if claim.jobs:
                self.stats.activity = WORKING
                self.leases.add(claim.token, place_of(claim.jobs))
                self.throttle.took(claim.key_count())
                self.left = None if self.left is None else self.left - claim.key_count()
                yield claim
                continue
            self.leases.discard(claim.token)
            if is_others_turn:
                continue
            if not self.leases.held():
                self.stats.rest(IDLE)
            # Others may hold leases and die, and keys may be delayed: empty means nothing waits at all.
            if not self.follow and not self._is_any_waiting():
                return
            self.pause(POLL_SECONDS)

    def _is_any_waiting(self) -> bool:
        self._waiting_job = find_waiting_job(self.connection, self.collection.id, self._waiting_job)
        return self._waiting_job is not None

    def _claim(self, *, skips_quarantined: bool) -> Claim:
        # Noted before it is taken: an answer lost with the connection leaves no lease that nobody knows of.
        token = uuid.uuid4()
        place, began = self._place.next(), time.monotonic()
        self.leases.add(token, place)
        try:
            claim = claim_jobs(
                self.connection,
                self.collection.id,
                token,
                self.batch_size,
                lease_seconds=self.lease_seconds,
                at_most=self._at_most(),
                place=place,
                skips_expired=began < self._spare_until,
                skips_quarantined=skips_quarantined,
            )
        except psycopg.errors.LockNotAvailable as error:
            # Somebody has the whole queue locked, as TRUNCATE of the source may; it is looked at again soon.
            log.info("nothing claimed: %s", one_line(error))
            claim = Claim(token, ())
        except psycopg.errors.QueryCanceled as error:
            # Where an old transaction keeps VACUUM away, a look from the beginning takes long.
            if place != BEGINNING or not self._place.is_known():
                raise
            log.info("the queue was not looked through from its beginning: %s", one_line(error))
            claim = Claim(token, ())
        seconds = time.monotonic() - began
        # Quarantined jobs that were spared lie before what was found.
        self._place.note(place, () if skips_quarantined else claim.jobs, seconds)
        if claim.jobs:
            self.stats.stages.add(CLAIM, seconds)
        return claim

    def _at_most(self) -> int | None:
        bounds = [n for n in (self.left, self.throttle.keys_at_once()) if n is not None]
        return min(bounds, default=None)
