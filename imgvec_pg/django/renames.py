"""Rename collections, and follow renamed columns, inside a Django migration."""

from collections.abc import Sequence
from dataclasses import replace

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.django import collection_ops
from imgvec_pg.django.connection_dsn import command_errors, psycopg_connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.integrity.rename import Place, follow_columns, following, rename_collection, renaming
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import CollectionSpec


def rename(editor: BaseDatabaseSchemaEditor, old_name: str, spec: CollectionSpec) -> str:
    """Rename a collection to the spec's name, or create it where there is none.

    Raises:
        CommandError: The new name is taken, or PostgreSQL refused.
    """
    done = f"-- imgvec: collection {old_name} becomes {spec.name}"
    with command_errors():
        connection = psycopg_connection(editor.connection.alias)
        found = _find(connection, old_name)
        if editor.collect_sql:
            return "\n".join([done, *_printed(editor, found, renaming_to=spec.name, table=spec.source)])
        with collection_ops.settings_kept(connection):
            if found is not None and found.source_name is not None:
                renamed = rename_collection(connection, found, spec.name)
                collection_ops.change_settings(connection, renamed, spec)
                return done
            if found is not None:
                drop_collection(connection, found)
    return collection_ops.create(editor, spec)


def follow_column(editor: BaseDatabaseSchemaEditor, table: str, old: str, new: str) -> None:
    """Have the collections of a table know a column by its new name.

    Raises:
        CommandError: PostgreSQL refused.
    """
    connection = collection_ops.connection_with_schema(editor.connection.alias)
    if connection is None:
        return
    source = editor.quote_name(table)
    with command_errors():
        found = collection_ops.collections_over(connection, source)
        if editor.collect_sql:
            for collection in found:
                for statement in _printed(editor, collection, columns={old: new}, table=source):
                    editor.execute(statement, params=None)
            return
        with collection_ops.settings_kept(connection):
            for collection in found:
                follow_columns(connection, collection, {old: new})


def _find(connection: Connection, name: str) -> Collection | None:
    found = find_collections(connection, name) if collection_ops.has_schema(connection) else []
    return found[0] if found and found[0].name == name else None


def _printed(
    editor: BaseDatabaseSchemaEditor,
    found: Collection | None,
    *,
    table: str | None,
    renaming_to: str | None = None,
    columns: dict[str, str] | None = None,
) -> Sequence[str]:
    """Return the statements as sqlmigrate prints them, for a table that an earlier statement may have renamed."""
    if found is None:
        return ["-- imgvec: there is no such collection to rename in this database"]
    connection = psycopg_connection(editor.connection.alias)
    place = Place.of(connection, found)
    if table is not None and found.source_name is not None:
        name = table.strip('"').split('"."')[-1]
        own = found.source_schema, found.source_name
        tables = [(schema, name if (schema, other) == own else other) for schema, other in place.tables]
        place = replace(place, tables=tables)
        shown = sql.Identifier(str(found.source_schema), name).as_string(None)
        found = replace(found, source_name=name, shown_source=shown)
    renamed = [] if renaming_to is None else renaming(found, renaming_to, place)
    statements = [*renamed, *following(found, columns or {}, place)]
    return [statement.as_string(connection) for statement in statements]
