"""The queue: slices of a collection's keys waiting to be embedded."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sqlfiles import load_sql

Key = dict[str, Any]
"""A source row's primary key as JSON: {"id": 7}."""

LEASE_SECONDS = 60.0
"""A dead worker's jobs are taken by another after this; live ones extend it every quarter of it."""
SPLIT_AFTER_ATTEMPTS = 2
"""A job whose workers died this often is split into single keys."""
MAX_ATTEMPTS = 3
"""A key that fails, or kills its worker, this often is a failure."""
MAX_JOBS_PER_CLAIM = 256


@dataclass(frozen=True)
class Job:
    """One claimed job; `attempts` counts this claim."""

    id: int
    version: int
    keys: list[Key]
    attempts: int


@dataclass(frozen=True)
class Claim:
    """Jobs leased together under one token."""

    token: uuid.UUID
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class QueueDepth:
    """Keys in the queue: all, leased now, put off; and seconds until the next that was put off, None when none."""

    waiting: int
    leased: int
    put_off: int
    next_due_seconds: float | None


@dataclass(frozen=True)
class PutOffKey:
    """A key to try again later, at the version it has, `attempts` counting the tries it has used up."""

    key: Key
    version: int
    attempts: int
    delay_seconds: float


def claim_jobs(connection: Connection, collection_id: int, max_keys: int) -> Claim:
    """Lease due jobs of about `max_keys` keys; each claim counts as an attempt until it is released.

    Jobs that have cost two workers their lives come back split, one key a job.
    """
    token = uuid.uuid4()
    with connection.transaction(), connection.cursor(row_factory=class_row(Job)) as cursor:
        jobs = cursor.execute(
            load_sql("queries/claim_jobs.sql"),
            {
                "collection_id": collection_id,
                "max_keys": max_keys,
                "max_jobs": min(max_keys, MAX_JOBS_PER_CLAIM),
                "token": token,
                "lease_seconds": LEASE_SECONDS,
            },
        ).fetchall()
        deadly = [job.id for job in jobs if job.attempts > SPLIT_AFTER_ATTEMPTS and len(job.keys) > 1]
        if deadly:
            cursor.execute(load_sql("queries/split_jobs.sql"), {"ids": deadly, "token": token})
    return Claim(token, tuple(job for job in jobs if job.id not in deadly))


def extend_leases(connection: Connection, collection_id: int, tokens: Sequence[uuid.UUID]) -> None:
    """Keep the leases of a live worker for another LEASE_SECONDS."""
    connection.execute(
        load_sql("queries/extend_leases.sql"),
        {"tokens": list(tokens), "collection_id": collection_id, "lease_seconds": LEASE_SECONDS},
    )


def release_jobs(connection: Connection, collection_id: int, tokens: Sequence[uuid.UUID]) -> None:
    """Give claimed jobs back untried, charging no attempt."""
    connection.execute(
        load_sql("queries/release_jobs.sql"), {"tokens": list(tokens), "collection_id": collection_id}
    )


def finish_jobs(connection: Connection, token: uuid.UUID, ids: Sequence[int]) -> set[int]:
    """Take jobs off the queue within the caller's transaction; the ids returned were still ours."""
    rows = connection.execute(load_sql("queries/finish_jobs.sql"), {"ids": list(ids), "token": token})
    return {row[0] for row in rows}


def explode_jobs(connection: Connection, token: uuid.UUID, ids: Sequence[int]) -> list[Job]:
    """Replace leased jobs by one leased job a key, in one transaction of its own."""
    with connection.transaction(), connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            load_sql("queries/explode_jobs.sql"), {"ids": list(ids), "token": token}
        ).fetchall()


def put_off(connection: Connection, collection_id: int, keys: Sequence[PutOffKey]) -> None:
    """File keys again, each alone, within the caller's transaction."""
    if keys:
        connection.execute(
            load_sql("queries/put_off_keys.sql"),
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


def retry_failures(connection: Connection, collection_id: int, codes: Sequence[str] | None = None) -> int:
    """File failed keys again, all or those with these codes, and return how many."""
    row = connection.execute(
        load_sql("queries/retry_failures.sql"),
        {"collection_id": collection_id, "codes": None if codes is None else list(codes)},
    ).fetchone()
    return int(row[0]) if row else 0
