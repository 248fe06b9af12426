"""The state of a collection's queue and failures, as metrics tell it."""

from dataclasses import dataclass

from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql


@dataclass(frozen=True)
class QueueState:
    """Keys that may be taken now, are leased, are put off; what has waited longest; suspects; failed rows by code.

    Attributes:
        oldest_due_seconds: How long the oldest key that may be taken has waited; 0 when there is none.
        suspects: Jobs that cost a worker its life.
    """

    due: int
    leased: int
    put_off: int
    oldest_due_seconds: float
    suspects: int
    failures: dict[str, int]


def read_queue_state(connection: Connection, collection_id: int) -> QueueState:
    """Count a collection's queue and failures."""
    with connection.cursor(row_factory=class_row(QueueState)) as cursor:
        found = cursor.execute(
            load_sql("queries/queue_state.sql"), {"collection_id": collection_id}
        ).fetchone()
    assert found is not None  # noqa: S101 - an aggregate always gives a row
    return found
