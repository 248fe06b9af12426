"""Whether a source still has the columns that keys and pictures come from, of types that fit."""

from dataclasses import dataclass

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.source import no_such_column, resolve_relation


@dataclass(frozen=True)
class UnfitColumn:
    """A column that is gone (`type_name` None), or of another type than the one expected."""

    name: str
    type_name: str | None
    expected: str


def find_unfit_columns(connection: Connection, collection: Collection, source: int) -> list[UnfitColumn]:
    """Return the columns that triggers and workers cannot read any more, in order.

    Args:
        source: The relation's oid.
    """
    rows = connection.execute(
        load_sql("queries/unfit_columns.sql"),
        {
            "oid": source,
            "key_columns": list(collection.key_columns),
            "key_types": list(collection.key_types),
            "path_column": collection.path_column,
            "content_column": collection.content_column,
            "watch_columns": list(collection.watch_columns),
        },
    )
    return [UnfitColumn(*row) for row in rows]


def check_columns_are_there(connection: Connection, collection: Collection) -> None:
    """Refuse a source of which a column that keys or pictures come from was renamed, dropped or given another kind of type.

    Raises:
        CollectionError: One is missing or of a type that does not fit; nothing was changed.
    """
    oid = resolve_relation(connection, collection.source.as_string(connection))
    for column in find_unfit_columns(connection, collection, oid):
        if column.type_name is None:
            columns: dict[str, str] = dict(
                connection.execute(load_sql("queries/source_columns.sql"), {"oid": oid})
            )
            met = no_such_column(collection.shown_source, column.name, columns)
            cure = "rename it back"
        else:
            met = (
                f'the column "{column.name}" of {collection.shown_source} is {column.type_name} now; '
                f"expected {column.expected}"
            )
            cure = "change it back"
        raise CollectionError(f"{met}; {cure}, or drop collection {collection.name} and create it again")
