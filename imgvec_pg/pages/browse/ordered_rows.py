"""Rows in the order of one of the source's columns, or of their key: what there is to look at without a question."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.rows import NO_DISTANCE
from imgvec_pg.search.transaction import bracketed, read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection

ROWS_PER_PICTURE = (3, 30)
"""Among so many rows for each picture wanted they are looked for, first and next; then among all."""


@dataclass(frozen=True)
class RowOrder:
    """Order by a column of the source, rows without a value last; rows that are equal by their key.

    Attributes:
        column: None for the key alone.
    """

    column: str | None = None
    descending: bool = True

    def clause(self, collection: Collection, row: str | None = None) -> sql.Composed:
        """Return what follows ORDER BY, of columns as they are or of those of `row`."""
        # NULLS LAST is left out of the key, which has none: its index would not be used.
        keys = [_named(name, row) + self._direction for name in collection.key_columns]
        return sql.SQL(", ").join(keys if self.column is None else [self.column_clause(row), *keys])

    def column_clause(self, row: str | None = None) -> sql.Composed:
        """Return the order by the column alone.

        Raises:
            ValueError: It is the order of the key.
        """
        if self.column is None:
            raise ValueError("the order of the key has no column")
        return _named(self.column, row) + self._direction + sql.SQL(" NULLS LAST")

    @property
    def _direction(self) -> sql.SQL:
        return sql.SQL(" DESC" if self.descending else "")


def _named(name: str, row: str | None) -> sql.Identifier:
    return sql.Identifier(name) if row is None else sql.Identifier(row, name)


def ordered_rows(
    connection: Connection,
    collection: Collection,
    columns: Sequence[str],
    order: RowOrder,
    limit: int,
    where: str | None = None,
) -> list[Neighbour]:
    """Return the first different pictures in an order; their distance is -1.

    Args:
        columns: Columns of the source to return.
        where: SQL condition, as NearestOptions has it.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
        DatabaseError: The role may not read what was asked for.
    """
    wanted = [*collection.key_columns, *([] if order.column is None else [order.column])]
    parts = bindable(
        {
            **collection.parts(vector_schema(connection)),
            **shown_columns(connection, collection, columns),
            "condition": bracketed(where),
            "order": order.clause(collection),
            "s_order": order.clause(collection, "s"),
            "ordered_columns": sql.SQL(", ").join(map(sql.Identifier, dict.fromkeys(wanted))),
            "e_is_other": sql.SQL("true"),
            "fence": sql.SQL(""),
        }
    )
    shown = render("collection/shown_pictures.sql", **parts)
    parts["shown"] = sql.SQL(", ") + parts["shown"] if columns else sql.SQL("")
    statement = render("collection/ordered_pictures.sql", **parts, shown_pictures=shown)
    with read_only_transaction(connection, collection, where) as cursor:
        for among in (*(rows * limit for rows in ROWS_PER_PICTURE), None):
            found = cursor.execute(statement, {"limit": limit, "among": among}).fetchall()
            if len(found) == limit:
                break
    return [
        Neighbour(key, NO_DISTANCE, dict(zip(columns, values, strict=True)), copies)
        for key, copies, *values in found
    ]
