"""Which columns of the source are shown, and why an answer is empty."""

import json
from collections.abc import Sequence

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import NearestOptions
from imgvec_pg.search.query_types import RowKey, show_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.source import no_such_column, resolve_relation

DEFAULT_COLUMNS = 6
TITLES = ("title", "name")
"""Columns that hold what people call a row."""


def default_columns(connection: Connection, collection: Collection, most: int = DEFAULT_COLUMNS) -> list[str]:
    """Return the source's first `most` columns that this role may read and that are short to print; no keys."""
    rows = connection.execute(
        load_sql("queries/short_columns.sql"),
        {
            "oid": _oid(connection, collection),
            "except": list(collection.key_columns),
            "limit": most,
        },
    )
    return [str(row[0]) for row in rows]


def label_rows(connection: Connection, collection: Collection, keys: Sequence[Key]) -> dict[str, str]:
    """Return what people call rows, by their keys as `show_key` shows them: a title or name, else the path.

    Empty where the source has neither, or this role may not read it; rows without one are absent.
    """
    short = [
        str(row[0])
        for row in connection.execute(
            load_sql("queries/short_columns.sql"),
            {
                "oid": _oid(connection, collection),
                "except": list(collection.key_columns),
                "limit": 1000,
            },
        )
    ]
    column = next((name for name in TITLES if name in short), collection.path_column)
    if column is None or not keys:
        return {}
    parts = bindable(collection.parts(vector_schema(connection)))
    statement = render("collection/labels.sql", **parts, label=printed(sql.Identifier("s", column)))
    try:
        with connection.transaction():
            rows = connection.execute(statement, {"keys": json.dumps(list(keys), default=str)}).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return {}
    return {show_key(key): label for key, label in rows if label}


def check_columns(connection: Connection, collection: Collection, names: Sequence[str]) -> None:
    """Refuse columns that the source does not have.

    Raises:
        UsageError: One does not exist; those that do are told.
    """
    found: dict[str, str] = dict(
        connection.execute(
            load_sql("queries/source_columns.sql"), {"oid": _oid(connection, collection)}
        ).fetchall()
    )
    for name in names:
        if name not in found:
            raise UsageError(no_such_column(collection.shown_source, name, found))


def why_empty(connection: Connection, collection: Collection, target: object, options: NearestOptions) -> str:
    """Say why a search found no row."""
    statement = render("collection/is_embedded.sql", **collection.parts(vector_schema(connection)))
    row = connection.execute(statement).fetchone()
    if row is None or not row[0]:
        return (
            f'nothing is embedded in collection "{collection.name}" that this role may see; '
            f"run: imgvec backfill {collection.name}"
        )
    limits = []
    if options.where is not None:
        limits.append(f"matches the condition {options.where!r}")
    if options.max_distance is not None:
        limits.append(f"is within distance {options.max_distance:g}")
    other = "other " if isinstance(target, RowKey) else ""
    return f"no {other}embedded row " + (" and ".join(limits) or f'is in collection "{collection.name}"')


def _oid(connection: Connection, collection: Collection) -> int:
    return resolve_relation(connection, collection.source.as_string(connection))
