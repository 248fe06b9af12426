"""`imgvec doctor --query`: explain a query, without running it, and suggest a better one."""

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.explain import nodes
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.query_estimates import judge_estimates
from imgvec_pg.doctor.query_reach import judge_reach, read_scan_settings
from imgvec_pg.doctor.query_shapes import Node, judge
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
            settings = read_scan_settings(connection)
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
    entry = row[0][0]
    if not isinstance(entry, dict) or "Plan" not in entry:
        raise UsageError(
            "PostgreSQL does not plan the query: it has no plan; expected one statement that reads rows"
        )
    plan = entry["Plan"]
    shapes = judge(plan, iterative_scan=settings.iterative_scan, method=_method(connection, plan))
    reach = list(judge_reach(connection, plan, settings))
    if any(finding.level == "warning" for finding in reach):
        shapes = [finding for finding in shapes if finding.level != "ok"]
    return [*shapes, *reach, *judge_estimates(connection, plan)]


def _method(connection: Connection, plan: Node) -> str:
    """Return the method of the index that a plan reads in order of the distance, HNSW where it reads none."""
    names = [str(node["Index Name"]) for node in nodes(plan) if "Order By" in node and "Index Name" in node]
    if not names:
        return "HNSW"
    row = connection.execute(load_sql("queries/method_of_index.sql"), {"name": names[0]}).fetchone()
    return index_method(str(row[0])).label if row else "HNSW"
