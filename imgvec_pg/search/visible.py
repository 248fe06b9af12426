"""Whether one row meets a condition."""

import json

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.search.transaction import asking, bracketed
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.sqlparts import bindable


def is_visible(connection: Connection, collection: Collection, key: Key, where: str) -> bool:
    """Whether the source has a row of this key that meets `where`, an SQL condition.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
    """
    parts = bindable(collection.parts(vector_schema(connection)))
    statement = render("collection/row_visible.sql", **parts, condition=bracketed(where))
    with asking(connection, collection, where) as cursor:
        row = cursor.execute(statement, {"key": json.dumps(key, default=str)}).fetchone()
    return row is not None and bool(row[0])
