"""Write the outcomes of batches, those that wait in one transaction; on a lock conflict with the application, key by key."""

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import psycopg

from imgvec_pg.database.connect import one_line
from imgvec_pg.store.collection import KEYS_PER_JOB
from imgvec_pg.store.embeddings import (
    RETRIED_ERRORS,
    EmbeddedKey,
    EmbeddingStore,
    FailedKey,
    Outcome,
)
from imgvec_pg.store.queue.jobs import MAX_ATTEMPTS, Claim, DelayedKey, Job, explode_jobs
from imgvec_pg.store.queue.written import Written

log = logging.getLogger(__name__)

CONFLICT_DELAY_SECONDS = (1.0, 3.0)
SINGLE_LOCK_TIMEOUT_MS = 50
"""Shorter than for a whole batch: an application may hold every row of it."""
EXPLODE_TRIES = 10
TRANSACTION_SECONDS = 0.1
"""What a transaction of several batches may take: it holds locks on the source's rows and, where something failed, that of the
collection alone, for which other workers wait LOCK_TIMEOUT_MS."""
MAX_KEYS = 1024
"""Of one transaction: from here on each row costs the server the same (benchmarks/fill.py, row 7)."""
MAX_VECTOR_BYTES = 2 << 20
"""Of one transaction: the server keeps its rows twice, each time in work_mem, 4 MB by default."""

Finished = tuple[Claim, list[Outcome]]
"""A claim and what became of its jobs."""


class WriteSize:
    """Keys that one transaction writes: as many as take TRANSACTION_SECONDS, which a live HNSW index makes few.

    Args:
        dimensions: Of a vector.

    Attributes:
        bound: Gives the most keys while the worker is held back; None for no bound.
    """

    def __init__(self, dimensions: int) -> None:
        self._most = max(min(MAX_KEYS, MAX_VECTOR_BYTES // (2 * dimensions)), KEYS_PER_JOB)
        self._fitting = KEYS_PER_JOB
        self.bound: Callable[[], int | None] = lambda: None

    @property
    def keys(self) -> int:
        """Keys of the next transaction."""
        bound = self.bound()
        return self._fitting if bound is None else min(self._fitting, bound)

    def took(self, keys: int, seconds: float) -> None:
        """Note a transaction. What was measured by few keys holds for twice as many."""
        if keys:
            fitting = int(TRANSACTION_SECONDS / max(seconds / keys, 1e-9))
            self._fitting = max(KEYS_PER_JOB, min(fitting, 2 * max(self._fitting, keys), self._most))

    def shrink(self) -> None:
        """Note that a transaction failed: what failed with it was written again."""
        self._fitting = KEYS_PER_JOB


def outcome_size(outcome: Outcome) -> int:
    """Keys that an outcome will write."""
    return len(outcome.embedded) + len(outcome.failed) + len(outcome.delayed)


def grouped(outcomes: Sequence[Outcome], keys: int = KEYS_PER_JOB) -> Iterator[list[Outcome]]:
    """Put outcomes together into transactions of at most so many keys (a larger job stays whole)."""
    group: list[Outcome] = []
    size = 0
    for outcome in outcomes:
        if group and size + outcome_size(outcome) > keys:
            yield group
            group, size = [], 0
        group.append(outcome)
        size += outcome_size(outcome)
    if group:
        yield group


def write_finished(
    store: EmbeddingStore, finished: Sequence[Finished], precision: str, size: WriteSize
) -> Written:
    """Write the outcomes of several claims, together as far as `size` goes.

    Each job is still written under the token of its own claim. What meets a conflict is written again as `write_outcomes` does.
    """
    total = Written()
    for part in together(finished, size.keys):
        leased = [(claim.token, outcome) for claim, outcomes in part for outcome in outcomes]
        keys = sum(outcome_size(outcome) for _, outcome in leased)
        began = time.monotonic()
        try:
            total += store.write_leased(leased, precision)
        except (*RETRIED_ERRORS, psycopg.DataError) as error:
            log.info("%s; writing %d jobs anew, a few at a time", type(error).__name__, len(leased))
            size.shrink()
            for claim, outcomes in part:
                total += write_outcomes(store, claim, outcomes, precision)
        else:
            size.took(keys, time.monotonic() - began)
    return total


def together(finished: Sequence[Finished], keys: int) -> Iterator[list[Finished]]:
    """Put claims together into transactions of at most so many keys; one that has more is taken apart by its jobs."""
    part: list[Finished] = []
    size = 0
    for claim, outcomes in finished:
        for group in grouped(outcomes, keys):
            added = sum(map(outcome_size, group))
            if part and size + added > keys:
                yield part
                part, size = [], 0
            part.append((claim, group))
            size += added
    if part:
        yield part


def write_outcomes(
    store: EmbeddingStore, claim: Claim, outcomes: Sequence[Outcome], precision: str
) -> Written:
    """Write all outcomes of a claim; keys that the application holds locked are delayed, at no attempt's cost."""
    total = Written()
    for group in grouped(outcomes):
        total += write_group(store, claim, group, precision)
    return total


def write_group(store: EmbeddingStore, claim: Claim, group: list[Outcome], precision: str) -> Written:
    """Write one transaction's worth; on a conflict with the application, key by key."""
    try:
        return store.write(claim.token, group, precision)
    except (*RETRIED_ERRORS, psycopg.DataError) as error:
        log.info("%s; writing %d jobs key by key", type(error).__name__, len(group))
    ids = {outcome.job_id for outcome in group}
    singles = explode_with_retries(store, claim.token, list(ids))
    expected = sum(len(job.keys) for job in claim.jobs if job.id in ids)
    total = Written(lost_jobs=int(len(singles) < expected))
    for single in singles:
        total += write_single(store, claim.token, single, single_outcome(single, group), precision)
    return total


def explode_with_retries(store: EmbeddingStore, token: uuid.UUID, ids: list[int]) -> list[Job]:
    """Take jobs apart; only TRUNCATE of the source, which deletes them, may hold them for a while.

    Raises:
        psycopg.errors.LockNotAvailable: It held them for long; the jobs are given back with the connection.
    """
    for attempt in range(EXPLODE_TRIES):
        try:
            return explode_jobs(store.connection, token, ids)
        except RETRIED_ERRORS:
            if attempt == EXPLODE_TRIES - 1:
                raise
            time.sleep(0.2)
    return []


def single_outcome(single: Job, outcomes: Sequence[Outcome]) -> Outcome:
    """Return the part of a group's outcomes that belongs to one exploded job."""
    key = single.keys[0]

    def belongs(item: EmbeddedKey | FailedKey | DelayedKey) -> bool:
        return item.key == key and item.version == single.version

    found = Outcome(single.id)
    for outcome in outcomes:
        found.embedded += filter(belongs, outcome.embedded)
        found.failed += filter(belongs, outcome.failed)
        found.delayed += filter(belongs, outcome.delayed)
    del found.delayed[1:]  # Two jobs of one group may hold the same key at the same version.
    return found


def write_single(
    store: EmbeddingStore, token: uuid.UUID, job: Job, outcome: Outcome, precision: str
) -> Written:
    """Write one key, or delay it when the application holds its row."""
    violation: psycopg.errors.ForeignKeyViolation | None = None
    for pause_seconds in (0.05, 0.1):
        try:
            return store.write(token, [outcome], precision, SINGLE_LOCK_TIMEOUT_MS)
        except psycopg.errors.LockNotAvailable:
            violation = None
            break
        except psycopg.DataError as error:
            return store.write(token, [without_room(job, error)], precision)
        except RETRIED_ERRORS as error:
            violation = error if isinstance(error, psycopg.errors.ForeignKeyViolation) else None
            time.sleep(pause_seconds)
    if violation is not None and job.attempts >= MAX_ATTEMPTS:
        try:
            return store.write(token, [without_reference(job, violation)], precision)
        except RETRIED_ERRORS as error:
            log.info("%s; the failure is recorded at the next attempt", type(error).__name__)
    # A row that is being deleted breaks its foreign key once; only one that goes on doing so is charged.
    attempts = job.attempts if violation is not None else job.attempts - 1
    later = DelayedKey(job.keys[0], job.version, attempts, random.uniform(*CONFLICT_DELAY_SECONDS))  # noqa: S311
    return store.write(token, [Outcome(job.id, delayed=[later])], precision)


def without_room(job: Job, error: psycopg.DataError) -> Outcome:
    """Return the failure of a key that the embedding table cannot hold: the source's has become wider."""
    message = (
        f"the key does not fit the embedding table ({one_line(error)}); run: imgvec collection alter-key"
    )
    failed = FailedKey(job.keys[0], job.version, "key_does_not_fit", message, job.attempts)
    return Outcome(job.id, failed=[failed])


def without_reference(job: Job, violation: psycopg.errors.ForeignKeyViolation) -> Outcome:
    """Return the failure of a row that reading sees and its foreign key never: it would be embedded for ever."""
    message = (
        f"the row is there, yet the foreign key of its embedding does not find it: {one_line(violation)}"
    )
    failed = FailedKey(job.keys[0], job.version, "no_reference", message, job.attempts)
    return Outcome(job.id, failed=[failed])
