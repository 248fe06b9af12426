"""Answers page by page, in an exact order by distance, then key."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import NearestOptions, Neighbour
from imgvec_pg.search.query_types import Float32Array, dump_keys, vector_text
from imgvec_pg.search.transaction import bracketed, read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key


@dataclass(frozen=True)
class PagePosition:
    """Where a page ended: the last row's distance and key."""

    distance: float
    key: Key

    def text(self) -> str:
        """Return it as it can be given back: {"distance": 0.25, "key": {"id": 7}}."""
        return dump_keys({"distance": self.distance, "key": self.key})


def parse_place(collection: Collection, text: str) -> PagePosition:
    """Read what `PagePosition.text` wrote.

    Raises:
        UsageError: It is something else.
    """
    try:
        found = json.loads(text)
        place = PagePosition(float(found["distance"]), found["key"])
        if set(place.key) == set(collection.key_columns):
            return place
    except (ValueError, TypeError, KeyError):
        pass
    example = PagePosition(0.25, dict.fromkeys(collection.key_columns, "…")).text()
    raise UsageError(
        f"the place {text!r} is not one; expected what the page before ended with, such as {example}"
    )


def read_page(
    connection: Connection,
    collection: Collection,
    query: Float32Array,
    options: NearestOptions,
    after: PagePosition | None = None,
) -> Sequence[Neighbour]:
    """Return the k rows that follow a place, by comparing all rows: the pages neither repeat nor skip.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
    """
    columns = list(dict.fromkeys(options.columns))
    parts = collection.parts(vector_schema(connection))
    statement = render(
        "collection/page_rows.sql",
        **bindable(
            {
                **parts,
                **shown_columns(connection, collection, columns),
                "k_as_key": _as_key(collection, "k"),
                "among": _among(collection, options.where),
            }
        ),
    )
    values = {
        "query": vector_text(query),
        "k": options.k,
        "after_distance": after and after.distance,
        "after_key": after and Jsonb(after.key, dumps=dump_keys),
    }
    with read_only_transaction(connection, collection, options.where) as cursor:
        found = cursor.execute(statement, values).fetchall()
    return [
        Neighbour(key, distance, dict(zip(columns, shown, strict=True))) for key, distance, shown in found
    ]


def _as_key(collection: Collection, row: str) -> sql.Composable:
    """Return the key of a row as page_<collection> takes it: the column, or a composite of the key's type."""
    columns = sql.SQL(", ").join(sql.Identifier(row, name) for name in collection.key_columns)
    if len(collection.key_columns) == 1:
        return columns
    key_type = sql.Identifier("imgvec", f"{collection.name}_key")
    return sql.SQL("ROW({})::{}").format(columns, key_type)


def _among(collection: Collection, where: str | None) -> sql.Composable:
    if where is None:
        return sql.SQL("")
    return sql.SQL(
        ", among => ARRAY(SELECT {key} FROM (SELECT * FROM {source} WHERE {condition}) AS s)"
    ).format(key=_as_key(collection, "s"), source=collection.rows, condition=bracketed(where))
