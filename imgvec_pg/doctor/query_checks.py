"""`imgvec doctor --query`: explain a query, without running it, and suggest a better one."""

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.query_estimates import judge_estimates
from imgvec_pg.doctor.query_shapes import judge
from imgvec_pg.errors import UsageError


def advise(connection: Connection, query: str) -> list[Finding]:
    """EXPLAIN a query in a read-only transaction and name what keeps it from the index.

    Raises:
        UsageError: It is not one statement that PostgreSQL can plan.
    """
    schema = vector_schema(connection)
    if "\0" in query or not query.strip():
        raise UsageError(
            'the query is empty; expected one statement, such as "SELECT … ORDER BY distance LIMIT 10"'
        )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ ONLY")
            # pgvector's settings exist once its library is loaded.
            connection.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
            scan = connection.execute("SELECT current_setting('hnsw.iterative_scan')").fetchone()
            # In binary it goes by the extended protocol, which takes one statement only.
            row = connection.execute(
                b"EXPLAIN (VERBOSE, FORMAT JSON) " + query.encode(), binary=True
            ).fetchone()
    except (psycopg.Error, UnicodeError) as error:
        if isinstance(error, psycopg.OperationalError) and not isinstance(
            error, psycopg.errors.ProtocolViolation
        ):
            raise
        raise UsageError(
            f"PostgreSQL does not plan the query: {one_line(error)}; expected one statement with values in place of $1"
        ) from error
    assert row is not None  # noqa: S101 - EXPLAIN gives one row
    assert scan is not None  # noqa: S101
    plan = row[0][0]["Plan"]
    return [*judge(plan, iterative_scan=str(scan[0])), *judge_estimates(connection, plan)]
