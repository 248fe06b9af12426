"""Columns of an export beside the vectors: of the source, and of the collection's map."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed
from imgvec_pg.store.search_functions import MAP_RELATIONS
from imgvec_pg.transfer.export_description import MAP_COLUMNS, ExportDescription


def source_types(connection: Connection, collection: Collection) -> dict[str, str]:
    """Return the columns of a collection's source and their types."""
    row = connection.execute("SELECT %s::regclass::oid", [collection.source.as_string(None)]).fetchone()
    found = connection.execute(load_sql("queries/source_columns.sql"), {"oid": row[0] if row else None})
    return {str(name): str(kind) for name, kind in found}


def require_map(connection: Connection, collection: Collection) -> Sequence[str]:
    """Return the columns of the collection's map.

    Raises:
        UsageError: It has none.
    """
    row = connection.execute(
        "SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [_map_view(collection).as_string(None)]
    ).fetchone()
    if not row or not row[0]:
        raise UsageError(f"{collection.name} has no map; make one first: imgvec map {collection.name}")
    return tuple(MAP_COLUMNS)


def map_moment(connection: Connection, collection: Collection) -> str | None:
    """Return when the collection's map was made; places of two maps are not to be compared."""
    run = sql.Identifier("imgvec", MAP_RELATIONS["map_run_table"].format(collection.name))
    row = connection.execute(
        sql.SQL("SELECT (extract(epoch FROM ended_at) * 1000000)::bigint::text FROM {}").format(run)
    ).fetchone()
    return None if row is None else str(row[0])


def _map_view(collection: Collection) -> sql.Identifier:
    return sql.Identifier("imgvec", MAP_RELATIONS["map_view"].format(collection.name))


def columns_beside(
    collection: Collection,
    description: ExportDescription,
    types: dict[str, str],
    parts: Mapping[str, sql.Composable],
) -> tuple[sql.Composed, sql.Composed]:
    """Return the columns beside the vectors, each behind a comma, and the joins that give them."""
    of_map = tuple(MAP_COLUMNS) if description.has_map else ()
    of_source = [name for name in description.columns if name not in of_map]
    columns = [sql.Identifier("s", name) for name in of_source]
    joins = [sql.SQL("JOIN {} AS s ON {}").format(parts["source"], parts["e_equals_s"])] if of_source else []
    if of_map:
        columns += [sql.Identifier("m", "cluster_name" if name == "cluster" else name) for name in of_map]
        joins.append(
            sql.SQL("LEFT JOIN {} AS m ON {}").format(
                _map_view(collection), collection.key_sql.equal("e", "m")
            )
        )
    texts = [_as_text(column, types[name]) for name, column in zip(description.columns, columns, strict=True)]
    return sql.SQL("").join(sql.SQL(", {}").format(text) for text in texts), sql.SQL(" ").join(joins)


def _as_text(column: sql.Identifier, kind: str) -> sql.Composed:
    """Return a column as text, NULL for NULL, and for infinite times, which few readers know."""
    condition = sql.SQL("{} IS NOT NULL").format(column)
    if kind == "date" or (kind.startswith("timestamp") and not kind.endswith("[]")):
        condition = sql.SQL("pg_catalog.isfinite({})").format(column)
    return sql.SQL("CASE WHEN {} THEN {} END").format(condition, printed(column))
