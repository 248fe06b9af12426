"""Rows that could not be embedded, as the role that asks may see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql


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


def count_failures(connection: Connection, collection: str) -> dict[str, int]:
    """Return the number of failed rows by code, most first."""
    rows = connection.execute(load_sql("queries/failure_codes.sql"), {"collection": collection})
    return dict(rows.fetchall())


def shown_counts(counts: Mapping[str, int]) -> str:
    """Return "not_found 1,200, truncated 3"."""
    return ", ".join(f"{code} {count:,}" for code, count in counts.items())
