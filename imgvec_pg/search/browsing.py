"""Rows to begin with, where nothing is asked yet."""

from collections.abc import Sequence

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.transaction import asking, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.sqlparts import bindable

NO_DISTANCE = -1.0


def newest_rows(
    connection: Connection, collection: Collection, columns: Sequence[str], limit: int = 48
) -> list[Neighbour]:
    """Return the rows that were embedded last, newest first; their distance is -1."""
    parts = bindable({**collection.parts(vector_schema(connection)), **shown_columns(collection, columns)})
    statement = render("collection/newest_rows.sql", **parts)
    with asking(connection, collection) as cursor:
        rows = cursor.execute(statement, {"limit": limit}).fetchall()
    return [Neighbour(key, NO_DISTANCE, dict(zip(columns, values, strict=True))) for key, *values in rows]
