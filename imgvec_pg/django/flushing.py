"""Emptying tables as Django's `flush` does, and with it every TransactionTestCase and LiveServerTestCase."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

REFERRING = """
SELECT DISTINCT r.relname
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
WHERE c.contype = 'f' AND r.relnamespace = pg_catalog.to_regnamespace('imgvec')
  AND c.confrelid = ANY (SELECT pg_catalog.to_regclass(name) FROM unnest(%s::text[]) AS name)
ORDER BY r.relname
"""


@contextmanager
def with_embeddings(alias: str) -> Iterator[None]:
    """Have Django empty the embeddings of a table together with it.

    PostgreSQL truncates a table only together with those that refer to it, and Django lists managed models' tables alone.
    """
    operations = connections[alias].ops
    plain = operations.sql_flush

    def sql_flush(style: Any, tables: Iterable[str], **options: Any) -> list[str]:  # noqa: ANN401 - Django's own
        tables = list(tables)
        made: list[str] = plain(style, [*tables, *referring_tables(alias, tables)], **options)
        return made

    operations.sql_flush = sql_flush
    try:
        yield
    finally:
        del operations.sql_flush


def referring_tables(alias: str, tables: Iterable[str]) -> list[str]:
    """Return the embedding tables that refer to some tables, named as Django quotes names."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(REFERRING, [[connection.ops.quote_name(table) for table in tables]])
        return [f'imgvec"."{name}' for (name,) in cursor.fetchall()]
