"""Queue stats of a collection, for metrics: ready, leased, delayed, quarantined, failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row, dict_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql


@dataclass(frozen=True)
class QueueState:
    """Keys ready, leased and delayed; age of the oldest; quarantined jobs; failed rows by code.

    Attributes:
        oldest_ready_seconds: How long the oldest key that may be taken has waited; 0 when there is none.
        quarantined: Jobs that cost a worker its life.
    """

    ready: int
    leased: int
    delayed: int
    oldest_ready_seconds: float
    quarantined: int
    failures: dict[str, int]


def read_queue_state(connection: Connection, collection_id: int) -> QueueState:
    """Count a collection's queue and failures."""
    with connection.cursor(row_factory=class_row(QueueState)) as cursor:
        found = cursor.execute(
            load_sql("queries/queue_state.sql"), {"collection_id": collection_id}
        ).fetchone()
    assert found is not None  # noqa: S101 - an aggregate always gives a row
    return found


def list_failures(
    connection: Connection, collection: str, codes: Sequence[str] = (), limit: int = 100
) -> list[dict[str, Any]]:
    """Return the newest failures of a collection: key, code, message, attempts, failed_at.

    Args:
        codes: Only these; none given means all.
    """
    values = {"collection": collection, "codes": list(codes) or None, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load_sql("queries/failures.sql"), values).fetchall()


def list_noted(
    connection: Connection, collection: str, code: str | None = None, limit: int = 100
) -> tuple[list[dict[str, Any]], int]:
    """Return the newest rows of whose picture something is noted: key, code, message, embedded_at; and how many there are.

    Args:
        code: "blank" or "noted"; None for both.
    """
    values = {"collection": collection, "code": code, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(load_sql("queries/noted_pictures.sql"), values).fetchall()
    total = rows[0]["total"] if rows else 0
    return [{name: row[name] for name in row if name != "total"} for row in rows], total


def count_failures(connection: Connection, collection: str) -> dict[str, int]:
    """Return the number of failed rows by code, most first."""
    rows = connection.execute(load_sql("queries/failure_codes.sql"), {"collection": collection})
    return dict(rows.fetchall())


def shown_counts(counts: Mapping[str, int]) -> str:
    """Return "not_found 1,200, truncated 3"."""
    return ", ".join(f"{code} {count:,}" for code, count in counts.items())
