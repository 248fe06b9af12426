"""Write a batch's outcomes, and step aside where the application is writing too."""

import logging
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imgvec_pg.store.collection import KEYS_PER_JOB
from imgvec_pg.store.embeddings import RETRIED_ERRORS, EmbeddingStore, Outcome, Written
from imgvec_pg.store.jobs import Claim, Job, PutOffKey, explode_jobs

log = logging.getLogger(__name__)

CONFLICT_DELAY_SECONDS = (1.0, 3.0)


def outcome_size(outcome: Outcome) -> int:
    """Keys that an outcome will write."""
    return len(outcome.embedded) + len(outcome.failed) + len(outcome.put_off)


def grouped(outcomes: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """Put outcomes together into transactions of at most KEYS_PER_JOB keys (a larger job stays whole)."""
    group: list[Outcome] = []
    size = 0
    for outcome in outcomes:
        if group and size + outcome_size(outcome) > KEYS_PER_JOB:
            yield group
            group, size = [], 0
        group.append(outcome)
        size += outcome_size(outcome)
    if group:
        yield group


def write_outcomes(
    store: EmbeddingStore, claim: Claim, outcomes: Sequence[Outcome], precision: str
) -> Written:
    """Write all outcomes of a claim; keys that the application holds locked are put off, at no attempt's cost."""
    total = Written(0, 0, 0)
    for group in grouped(outcomes):
        written = write_group(store, claim, group, precision)
        total = Written(
            total.embedded + written.embedded,
            total.failed + written.failed,
            total.lost_jobs + written.lost_jobs,
        )
    return total


def write_group(store: EmbeddingStore, claim: Claim, group: list[Outcome], precision: str) -> Written:
    """Write one transaction's worth; on a conflict with the application, key by key."""
    try:
        return store.write(claim.token, group, precision)
    except RETRIED_ERRORS as error:
        log.info("%s; writing %d jobs key by key", type(error).__name__, len(group))
    by_id = {outcome.job_id: outcome for outcome in group}
    parents = {job.id: job for job in claim.jobs if job.id in by_id}
    singles = explode_jobs(store.connection, claim.token, list(by_id))
    embedded = failed = 0
    for single in singles:
        outcome = single_outcome(single, list(by_id.values()))
        written = write_single(store, claim.token, single, outcome, precision)
        embedded += written.embedded
        failed += written.failed
    return Written(embedded, failed, len(parents) if not singles else 0)


def single_outcome(single: Job, outcomes: Sequence[Outcome]) -> Outcome:
    """Return the part of a group's outcomes that belongs to one exploded job."""
    key = single.keys[0]

    def belongs(item_key: object, version: int) -> bool:
        return item_key == key and version == single.version

    found = Outcome(single.id)
    for outcome in outcomes:
        found.embedded += [item for item in outcome.embedded if belongs(item.key, item.version)]
        found.failed += [item for item in outcome.failed if belongs(item.key, item.version)]
        found.put_off += [item for item in outcome.put_off if belongs(item.key, item.version)]
    return found


def write_single(
    store: EmbeddingStore, token: uuid.UUID, job: Job, outcome: Outcome, precision: str
) -> Written:
    """Write one key, or put it off when the application holds its row."""
    for attempt in range(2):
        try:
            return store.write(token, [outcome], precision)
        except RETRIED_ERRORS:
            time.sleep(0.05 * (attempt + 1))
    later = PutOffKey(job.keys[0], job.version, job.attempts - 1, random.uniform(*CONFLICT_DELAY_SECONDS))  # noqa: S311
    return store.write(token, [replace(Outcome(job.id), put_off=[later])], precision)
