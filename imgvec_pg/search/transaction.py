"""One read-only transaction for searches that carry a person's own SQL condition."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import set_json_loads

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import UsageError
from imgvec_pg.search.code_of_others import json_columns, refuse_code_of_others
from imgvec_pg.search.error_mapping import search_error
from imgvec_pg.store.collection import Collection


@contextmanager
def read_only_transaction(
    connection: Connection, collection: Collection, where: str | None = None
) -> Iterator[psycopg.Cursor[Any]]:
    """Give a cursor in a read-only transaction whose JSON fractions are Decimal.

    Raises:
        UsageError: PostgreSQL does not understand the condition, or it calls what others have made and this is a superuser.
        DatabaseError: The role may not read what was asked for, or a function refuses an argument.
    """
    try:
        refuse_code_of_others(connection, collection, where)
        # A condition cannot do damage here: no writing, and one statement only, as values are bound.
        with connection.transaction(), connection.cursor() as cursor:
            set_json_loads(partial(json.loads, parse_float=Decimal), cursor)
            cursor.execute("SET TRANSACTION READ ONLY")
            require_alone(cursor, collection, where)
            yield cursor
    except psycopg.Error as error:
        if (mapped := search_error(error, collection, where, connection.info.user)) is error:
            raise
        raise mapped from error


def require_alone(cursor: psycopg.Cursor[Any], collection: Collection, where: str | None) -> None:
    """Have PostgreSQL plan a condition outside brackets, from which "false) or (true" would break out.

    Raises:
        psycopg.Error: PostgreSQL does not understand it.
    """
    if where is not None:
        parts = bindable({"source": collection.rows, "condition": sql.SQL(where)})
        cursor.execute(render("collection/condition.sql", **parts), {"bound": 0})


def bracketed(where: str | None) -> sql.SQL:
    """Return a condition in brackets; the line break keeps a trailing comment from swallowing them.

    Raises:
        UsageError: It is empty.
    """
    if where is None:
        return sql.SQL("true")
    if not where.strip() or "\0" in where:
        raise UsageError(
            'the condition is empty; expected SQL over the source\'s columns, such as "price < 50"'
        )
    return sql.SQL(f"(\n{where}\n)")


def shown_columns(
    connection: Connection, collection: Collection, columns: Sequence[str]
) -> dict[str, sql.Composable]:
    """Return the `{parts}` that read columns of the source as JSON."""
    as_json = json_columns(connection, collection, columns)
    wanted = dict.fromkeys([*collection.key_columns, *columns])
    return {
        "shown": sql.SQL(", ").join(as_json),
        "wanted": sql.SQL(", ").join(map(sql.Identifier, wanted)),
    }
