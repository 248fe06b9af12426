"""Empty tables as Django's `flush` does, and with it every TransactionTestCase and LiveServerTestCase."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from imgvec_pg.database.sql_templates import load_sql


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
        names = [connection.ops.quote_name(table) for table in tables]
        cursor.execute(load_sql("queries/referring_tables.sql").as_string(None), {"tables": names})
        return [f'imgvec"."{name}' for (name,) in cursor.fetchall()]
