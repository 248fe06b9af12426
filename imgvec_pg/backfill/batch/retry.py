"""Retry rule: a transient error delays its key, with exponential backoff, until its attempts are used up."""

import random
from collections.abc import Sequence

from imgvec_pg.backfill.batch.pending import Batch, PendingKey
from imgvec_pg.errors import ImageError
from imgvec_pg.store.embeddings import FailedKey, Outcome
from imgvec_pg.store.queue.jobs import MAX_ATTEMPTS, DelayedKey

FIRST_DELAY_SECONDS = 2.0
"""Pause before a failed key is tried again; four times as long each time, with jitter."""


def retry_delay_seconds(attempts: int) -> float:
    """Return the pause before try `attempts` + 1: 2 s, 8 s, … times 0.5 to 1.5."""
    return FIRST_DELAY_SECONDS * 4.0 ** (attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter


def record_error(outcome: Outcome, pending: PendingKey, error: ImageError) -> None:
    """Enter a picture's error into its job's outcome: later if that may help, else a failure."""
    job = pending.job
    if error.transient and (job.attempts < MAX_ATTEMPTS or not error.counts_as_attempt):
        delay = max(retry_delay_seconds(job.attempts), error.retry_after_seconds or 0.0)
        attempts = job.attempts if error.counts_as_attempt else job.attempts - 1
        outcome.delayed.append(DelayedKey(pending.key, job.version, attempts, delay))
    else:
        outcome.failed.append(
            FailedKey(pending.key, job.version, error.code, str(error), job.attempts, pending.reference_hash)
        )


def is_delayed_whole(batch: Batch, outcomes: Sequence[Outcome]) -> bool:
    """Whether all that came of a batch is that hosts were not ready: the next would fare no better just now."""
    tries = {job.id: job.attempts for job in batch.claim.jobs}
    delayed = [key.attempts < tries[outcome.job_id] for outcome in outcomes for key in outcome.delayed]
    return bool(delayed) and all(delayed) and not any(o.embedded or o.failed for o in outcomes)
