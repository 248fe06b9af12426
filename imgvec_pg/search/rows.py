"""From a key that a person typed to a query: the row's own stored embedding."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import CollectionError, ImageError, UsageError
from imgvec_pg.search.images import read_pictures
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.query_types import RowKey, SearchQuery, dump_keys, show_key
from imgvec_pg.search.transaction import bracketed, read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key


def ask_with_row(
    connection: Connection,
    collection: Collection,
    text: str,
    root: Path | None = None,
    *,
    with_picture: bool = False,
) -> SearchQuery:
    """Make a query of a row's key: "7"; "3,7" or '{"tenant": 3, "id": 7}' for a key of several columns.

    Args:
        root: Folder that paths are under, instead of the collection's.
        with_picture: Read the row's picture too, to show it.

    Raises:
        UsageError: The text cannot be a key of the source.
        CollectionError: There is no such row, or it is not embedded yet.
    """
    row = find_row(connection, collection, parse_key(collection, text))
    picture: bytes | ImageError | None = None
    if with_picture:
        picture = next(read_pictures(connection, collection, [row.key], root))
    name = f"{collection.key_columns[0]} " if len(row.key) == 1 else ""
    return SearchQuery(
        "row", name + show_key(row.key), row, None if isinstance(picture, ImageError) else picture
    )


def parse_key(collection: Collection, text: str) -> Key:
    """Read a key as typed; PostgreSQL will read the values, so they may stay text.

    Raises:
        UsageError: It has other columns, or more or fewer, than the source's key.
    """
    names = list(collection.key_columns)
    found = _parse_json(text)
    # A single text column may well hold something that looks like JSON.
    if found is not None and (set(found) == set(names) or len(names) > 1):
        if set(found) == set(names) and None not in found.values():
            return {name: found[name] for name in names}
        raise UsageError(f"the key {text} does not fit; expected {_expected(names)}")
    values = [text] if len(names) == 1 else next(csv.reader([text], skipinitialspace=True), [])
    if len(values) != len(names) or "\0" in text:
        raise UsageError(f'the key "{text}" does not fit; expected {_expected(names)}')
    return dict(zip(names, values, strict=True))


def find_row(connection: Connection, collection: Collection, key: Key) -> RowKey:
    """Return a row that is embedded.

    Raises:
        UsageError: The key has values of the wrong type.
        CollectionError: There is no such row, or it is not embedded yet.
    """
    key_sql = collection.key_sql
    statement = render(
        "collection/find_row.sql",
        **bindable(
            {
                **collection.parts(vector_schema(connection)),
                "k_key": key_sql.json("k"),
                "k_texts": sql.SQL(", ").join(
                    sql.SQL("{}::pg_catalog.text").format(sql.Identifier("k", name))
                    for name in collection.key_columns
                ),
                "e_equals_k": key_sql.equal("e", "k"),
            }
        ),
    )
    try:
        row = connection.execute(statement, {"key": dump_keys(key)}).fetchone()
    except psycopg.DataError as error:
        expected = ", ".join(map(" ".join, zip(collection.key_columns, collection.key_types, strict=True)))
        raise UsageError(
            f'"{show_key(key)}" cannot be a key of {collection.shown_source} '
            f"({error.diag.message_primary}); expected {expected}"
        ) from error
    assert row is not None  # noqa: S101 - a record always gives one row
    found, texts, in_source, is_embedded = row
    if is_embedded:
        return RowKey(found, texts)
    if in_source:
        raise CollectionError(
            f"row {show_key(found)} of {collection.shown_source} has no embedding in collection "
            f'"{collection.name}" yet; '
            f"see: imgvec failures {collection.name}, or run: imgvec backfill {collection.name}"
        )
    raise CollectionError(
        f"{collection.shown_source} has no row {show_key(found)} that this role may see; "
        f"expected a key ({', '.join(collection.key_columns)}) of an existing row"
    )


def _parse_json(text: str) -> Key | None:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _expected(names: list[str]) -> str:
    if len(names) == 1:
        return f"one value, that of {names[0]}"
    example = json.dumps(dict.fromkeys(names, "…"), ensure_ascii=False)
    return f"{len(names)} values, {','.join(names)}, or {example}"


NO_DISTANCE = -1.0
RECENT_ROWS_PER_PICTURE = 20
"""Among so many of the newest rows for each picture wanted they are looked for first, then among all."""


def newest_rows(
    connection: Connection,
    collection: Collection,
    columns: Sequence[str],
    limit: int = 48,
    *,
    distinct: bool = False,
    where: str | None = None,
) -> list[Neighbour]:
    """Return the rows that were embedded last, newest first; their distance is -1.

    Args:
        distinct: Different pictures, as NearestOptions has it.
        where: As NearestOptions has it, of different pictures only.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
    """
    parts = bindable(
        {**collection.parts(vector_schema(connection)), **shown_columns(connection, collection, columns)}
    )
    if distinct:
        return _newest_pictures(connection, collection, columns, parts, limit, where)
    statement = render("collection/newest_rows.sql", **parts)
    with read_only_transaction(connection, collection) as cursor:
        rows = cursor.execute(statement, {"limit": limit}).fetchall()
    return [Neighbour(key, NO_DISTANCE, dict(zip(columns, values, strict=True))) for key, *values in rows]


def _newest_pictures(
    connection: Connection,
    collection: Collection,
    columns: Sequence[str],
    parts: dict[str, sql.Composable],
    limit: int,
    where: str | None,
) -> list[Neighbour]:
    every = bindable({"condition": bracketed(where), "e_is_other": sql.SQL("true"), "fence": sql.SQL("")})
    shown = render("collection/shown_pictures.sql", **parts, **every)
    after = {"shown": sql.SQL(", ") + parts["shown"]} if columns else {}
    statement = render(
        "collection/newest_pictures.sql",
        **{**parts, **after, "condition": every["condition"]},
        shown_pictures=shown,
    )
    with read_only_transaction(connection, collection, where) as cursor:
        for among in (RECENT_ROWS_PER_PICTURE * limit, None):
            rows = cursor.execute(statement, {"limit": limit, "among": among}).fetchall()
            if len(rows) == limit:
                break
    return [
        Neighbour(key, NO_DISTANCE, dict(zip(columns, values, strict=True)), copies)
        for key, copies, *values in rows
    ]


def is_visible(connection: Connection, collection: Collection, key: Key, where: str) -> bool:
    """Whether the source has a row of this key that meets `where`, an SQL condition.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
    """
    parts = bindable(collection.parts(vector_schema(connection)))
    statement = render("collection/row_visible.sql", **parts, condition=bracketed(where))
    with read_only_transaction(connection, collection, where) as cursor:
        row = cursor.execute(statement, {"key": dump_keys(key)}).fetchone()
    return row is not None and bool(row[0])
