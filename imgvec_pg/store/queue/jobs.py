"""Job queue: claim, lease, finish, split, delay and retry slices of a collection's keys."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.transactions import short_transaction

Key = dict[str, Any]
"""A source row's primary key as JSON: {"id": 7}."""
Lease = tuple[int, uuid.UUID]
"""A job's id, and the token under which it was leased."""

MAX_ATTEMPTS = 3
"""A key whose image cannot be had this often is a failure."""
MAX_DEATHS = 4
"""A key that was with this many dying workers is a failure: with the first one in company, which blames nobody,
then alone three times. Fewer would blame a healthy image for two chance kills."""
MAX_JOBS_PER_CLAIM = 256


@dataclass(frozen=True)
class Job:
    """One claimed job; `attempts` counts this claim, `deaths` the leases that ran out before it."""

    id: int
    version: int
    keys: list[Key]
    attempts: int
    deaths: int


@dataclass(frozen=True)
class Claim:
    """Jobs leased together under one token."""

    token: uuid.UUID
    jobs: tuple[Job, ...]

    @property
    def is_quarantined(self) -> bool:
        """Whether a worker died with one of the jobs: it must be worked alone."""
        return any(job.deaths for job in self.jobs)

    def key_count(self) -> int:
        """Keys of all jobs."""
        return sum(len(job.keys) for job in self.jobs)


@dataclass(frozen=True)
class QueueDepth:
    """Keys in the queue: all, leased now, delayed; and seconds until the next that was delayed, None when none."""

    waiting: int
    leased: int
    delayed: int
    next_ready_seconds: float | None


@dataclass(frozen=True)
class DelayedKey:
    """A key to try again later, at the version it has, `attempts` counting the tries it has used up.

    Its worker lived to tell, so deaths of earlier ones are forgotten.
    """

    key: Key
    version: int
    attempts: int
    delay_seconds: float


@dataclass(frozen=True)
class QueuePosition:
    """Queue position where a claim begins: no job with a smaller id, of changes and of the first fill. 0 sees all."""

    first_change: int = 0
    first_fill: int = 0


BEGINNING = QueuePosition()
END = QueuePosition(2**63 - 1, 2**63 - 1)


def place_of(jobs: Sequence[Job], otherwise: QueuePosition = END) -> QueuePosition:
    """Return where these jobs begin; `otherwise` for a kind that none is of."""
    return QueuePosition(
        min((job.id for job in jobs if job.version), default=otherwise.first_change),
        min((job.id for job in jobs if not job.version), default=otherwise.first_fill),
    )


def claim_jobs(
    connection: Connection,
    collection_id: int,
    token: uuid.UUID,
    max_keys: int,
    *,
    lease_seconds: float,
    at_most: int | None = None,
    place: QueuePosition = BEGINNING,
    skips_expired: bool = False,
    skips_quarantined: bool = False,
) -> Claim:
    """Lease ready jobs of about `max_keys` keys; each claim counts as an attempt until it is released.

    A job whose worker died is taken apart, and its keys are then claimed one at a time.

    Args:
        token: Marks the lease; the caller notes it before, so that it is known even if the answer is lost.
        at_most: Never lease more keys than this; the last job is divided.
        place: Where to begin.
        skips_expired: Leave jobs alone whose lease ran out.
        skips_quarantined: Leave jobs alone that a worker died with.
    """
    [claim] = claim_batches(
        connection,
        collection_id,
        [token],
        max_keys if at_most is None else min(max_keys, at_most),
        lease_seconds=lease_seconds,
        at_most=at_most,
        place=place,
        skips_expired=skips_expired,
        skips_quarantined=skips_quarantined,
    )
    return claim


def claim_batches(
    connection: Connection,
    collection_id: int,
    tokens: Sequence[uuid.UUID],
    batch_keys: int,
    *,
    lease_seconds: float,
    at_most: int | None = None,
    place: QueuePosition = BEGINNING,
    skips_expired: bool = False,
    skips_quarantined: bool = False,
) -> list[Claim]:
    """Lease ready jobs with one statement: of about `batch_keys` keys under each token, in the order of the queue.

    Args:
        at_most: As in `claim_jobs`; goes with one token.

    Returns:
        A claim for each token, the last ones without jobs where the queue has no more.
    """
    for _ in range(MAX_JOBS_PER_CLAIM):
        with short_transaction(connection):
            leased = _lease(
                connection,
                {
                    "collection_id": collection_id,
                    "max_keys": batch_keys * len(tokens),
                    "batch_keys": batch_keys,
                    "max_jobs": min(batch_keys * len(tokens), MAX_JOBS_PER_CLAIM),
                    "tokens": list(tokens),
                    "lease_seconds": lease_seconds,
                    "skips_expired": skips_expired,
                    "skips_quarantined": skips_quarantined,
                    **vars(place),
                },
            )
            # Such a job is claimed alone, under the first token.
            deadly = [job.id for _, job in leased if job.deaths and len(job.keys) > 1]
            if not deadly:
                jobs = {token: [job for under, job in leased if under == token] for token in tokens}
                return [
                    Claim(token, tuple(_first_keys(connection, token, jobs[token], at_most)))
                    for token in tokens
                ]
            connection.execute(load_sql("queries/split_jobs.sql"), {"ids": deadly, "token": tokens[0]})
    return [Claim(token, ()) for token in tokens]


def _lease(connection: Connection, values: dict[str, Any]) -> list[tuple[uuid.UUID, Job]]:
    rows = connection.execute(load_sql("queries/claim_jobs.sql"), values).fetchall()
    jobs = [(token, Job(*job)) for *job, token in rows]
    return sorted(jobs, key=lambda each: (each[1].version == 0, each[1].id))


def _first_keys(
    connection: Connection, token: uuid.UUID, jobs: Sequence[Job], at_most: int | None
) -> Iterator[Job]:
    left = at_most
    for job in jobs:
        if left is None or len(job.keys) <= left:
            yield job
        else:
            row = connection.execute(
                load_sql("queries/shorten_job.sql"), {"id": job.id, "token": token, "key_count": left}
            ).fetchone()
            assert row is not None  # noqa: S101 - leased a moment ago in this transaction
            yield replace(job, keys=row[0])
        left = None if left is None else left - len(job.keys)


def extend_leases(
    connection: Connection,
    collection_id: int,
    tokens: Sequence[uuid.UUID],
    lease_seconds: float,
    place: QueuePosition = BEGINNING,
) -> None:
    """Keep the leases of a live worker, none on a job before `place`, for another `lease_seconds`."""
    with short_transaction(connection):
        connection.execute(
            load_sql("queries/extend_leases.sql"),
            {
                "tokens": list(tokens),
                "collection_id": collection_id,
                "lease_seconds": lease_seconds,
                **vars(place),
            },
        )


def release_jobs(
    connection: Connection, collection_id: int, tokens: Sequence[uuid.UUID], place: QueuePosition = BEGINNING
) -> None:
    """Give claimed jobs back untried, none of them before `place`, charging no attempt."""
    with short_transaction(connection):
        connection.execute(
            load_sql("queries/release_jobs.sql"),
            {"tokens": list(tokens), "collection_id": collection_id, **vars(place)},
        )


def finish_jobs(connection: Connection, leases: Sequence[Lease]) -> dict[Lease, int]:
    """Take jobs off the queue within the caller's transaction; those returned, with their numbers of keys, were still ours."""
    rows = connection.execute(load_sql("queries/finish_jobs.sql"), lease_values(leases))
    return {(job_id, token): key_count for job_id, token, key_count in rows}


def lease_values(leases: Sequence[Lease]) -> dict[str, Any]:
    """Return leases as the statements take them that look at each job's token."""
    return {"ids": [job_id for job_id, _ in leases], "tokens": [token for _, token in leases]}


def explode_jobs(connection: Connection, token: uuid.UUID, ids: Sequence[int]) -> list[Job]:
    """Replace leased jobs by one leased job a key, in one transaction of its own."""
    with short_transaction(connection), connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            load_sql("queries/explode_jobs.sql"), {"ids": list(ids), "token": token}
        ).fetchall()


def delay_keys(connection: Connection, collection_id: int, keys: Sequence[DelayedKey]) -> None:
    """Enqueue keys again, each alone, within the caller's transaction."""
    if keys:
        connection.execute(
            load_sql("queries/delay_keys.sql"),
            {
                "collection_id": collection_id,
                "keys": Jsonb([key.key for key in keys]),
                "versions": [key.version for key in keys],
                "attempts": [key.attempts for key in keys],
                "delays": [key.delay_seconds for key in keys],
            },
        )


def queue_depth(connection: Connection, collection_id: int) -> QueueDepth:
    """Count the keys in a collection's queue."""
    with connection.cursor(row_factory=class_row(QueueDepth)) as cursor:
        found = cursor.execute(
            load_sql("queries/queue_depth.sql"), {"collection_id": collection_id}
        ).fetchone()
    assert found is not None  # noqa: S101 - an aggregate always gives a row
    return found


def find_waiting_job(connection: Connection, collection_id: int, seen: int | None) -> int | None:
    """Return the id of a job in the queue, ready or not: of the one that was seen before, or another; None when it is empty."""
    row = connection.execute(
        load_sql("queries/find_waiting_job.sql"), {"collection_id": collection_id, "seen": seen}
    ).fetchone()
    return None if row is None else row[0]


def retry_failures(connection: Connection, collection_id: int, codes: Sequence[str] | None = None) -> int:
    """Enqueue failed keys again, all or those with these codes, and return how many."""
    row = connection.execute(
        load_sql("queries/retry_failures.sql"),
        {"collection_id": collection_id, "codes": None if codes is None else list(codes)},
    ).fetchone()
    return int(row[0]) if row else 0
