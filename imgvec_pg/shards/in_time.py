"""A limit to what a command waits for a shard: from PostgreSQL 16 on dblink heeds no connect_timeout."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import DatabaseError

LEAST_MS = 5_000


@contextmanager
def answering_in_time(connection: Connection, shard: str) -> Iterator[None]:
    """Run statements in one transaction, each of which ends after twice the shard's time and five seconds.

    Raises:
        DatabaseError: The shard has not answered by then.
    """
    try:
        with connection.transaction():
            row = connection.execute(
                "SELECT current_setting('statement_timeout'),"
                " %s + 2 * coalesce((SELECT s.timeout_ms FROM imgvec.shard AS s WHERE s.name = %s), 0)",
                [LEAST_MS, shard],
            ).fetchone()
            assert row is not None  # noqa: S101 - one row
            before, milliseconds = row
            limit = "SELECT set_config('statement_timeout', %s, true)"
            connection.execute(limit, [f"{milliseconds}ms"])
            yield
            # Where a transaction was under way, it would hold on in it.
            connection.execute(limit, [before])
    except psycopg.errors.QueryCanceled as error:
        if error.diag.context and "dblink connection" in error.diag.context:
            raise
        # Without the cause: the time of a measurement of recall, which ends so too, is another one.
        raise DatabaseError(
            f'shard "{shard}" gives no answer within {milliseconds / 1000:g} s: its server, or the network to it, hangs'
        ) from None
