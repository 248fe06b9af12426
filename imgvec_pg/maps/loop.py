"""Rows within a loop that somebody drew on a map."""

import re
from collections.abc import Sequence
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import UsageError
from imgvec_pg.maps.map_tables import map_parts
from imgvec_pg.search.transaction import read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

MOST_CORNERS = 500
_CORNER = re.compile(r"\((-?\d{1,7}(?:\.\d{1,6})?),(-?\d{1,7}(?:\.\d{1,6})?)\)")


def read_loop(text: str) -> str:
    """Return a polygon as PostgreSQL reads it: "((0,0),(1.5,0),(0,1))".

    Raises:
        UsageError: It is none, or has fewer than 3 or more than MOST_CORNERS corners.
    """
    found = _CORNER.findall(text)
    if "(" + ",".join(f"({x},{y})" for x, y in found) + ")" != text or not 3 <= len(found) <= MOST_CORNERS:
        raise UsageError(
            f"the loop {text[:60]!r} is none; expected 3 to {MOST_CORNERS} corners such as ((0,0),(1.5,0),(0,1))"
        )
    return text


def rows_in_loop(
    connection: Connection, collection: Collection, loop: str, columns: Sequence[str], limit: int
) -> list[tuple[Key, dict[str, Any]]]:
    """Return the keys and columns of the rows within a loop, by their keys; at most `limit`.

    Args:
        loop: As `read_loop` returns it.

    Raises:
        DatabaseError: The role may not read the map, or the source.
    """
    parts = bindable({**map_parts(connection, collection), **shown_columns(connection, collection, columns)})
    shown = sql.SQL(", ") + parts["shown"] if columns else sql.SQL("")
    statement = render("collection/rows_in_loop.sql", **{**parts, "shown": shown})
    with read_only_transaction(connection, collection) as cursor:
        rows = cursor.execute(statement, {"loop": loop, "limit": limit}).fetchall()
    return [(key, dict(zip(columns, values, strict=True))) for key, *values in rows]
