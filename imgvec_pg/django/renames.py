"""Rename collections, and follow renamed columns and keys of other types, inside a Django migration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Field, Model
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.django import collection_ops
from imgvec_pg.django.connection_dsn import command_errors, psycopg_connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.guarded_columns import full_name
from imgvec_pg.store.integrity.rename import Place, follow_columns, following, rename_collection, renaming
from imgvec_pg.store.key_change import follow_key, look_up_changes, may_change_key
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


@contextmanager
def following_key_types(
    editor: BaseDatabaseSchemaEditor, model: type[Model], old_field: Field, new_field: Field
) -> Iterator[None]:
    """Have the collections over a table, and over those whose keys point to it, follow a column that is altered meanwhile.

    Django alters the columns of foreign keys along with what they point to, without a word to anybody. A collection of another
    role's stays as it is: its keys that do not fit fail alone, and `imgvec doctor` names the command.

    Raises:
        CommandError: A collection cannot follow, or PostgreSQL refused.
    """
    types = [field.db_parameters(editor.connection)["type"] for field in (old_field, new_field)]
    connection = None
    if new_field.unique and None not in types and types[0] != types[1]:
        connection = collection_ops.connection_with_schema(editor.connection.alias)
    if connection is None:
        yield
        return
    columns = keyed_by(model, old_field)
    with command_errors():
        before = [
            c
            for source in columns
            for c in collection_ops.collections_over(connection, editor.quote_name(source))
        ]
        ours = [c for c in before if not c.has_other_key_types and may_change_key(connection, c)]
        if not editor.collect_sql:
            for collection in ours:
                connection.execute(_without_policy(collection))
    yield
    for dropped in collection_ops.drops_to_come(editor):
        for source, column in columns.items():
            dropped.follow_key_type(
                editor.quote_name(source), column, new_field.rel_db_type(editor.connection)
            )
    with command_errors():
        if editor.collect_sql:
            for collection in ours:
                _print_key_types(editor, connection, collection, columns, new_field)
            return
        names = {collection.name for collection in ours}
        with collection_ops.settings_kept(connection):
            for collection in find_collections(connection):
                if collection.name in names:
                    follow_key(connection, collection)


def keyed_by(model: type[Model], field: Field) -> dict[str, str]:
    """Return the tables whose key is a field or points to it, with the key's column: a child of multi-table inheritance too."""
    found = {model._meta.db_table: field.column} if field.primary_key else {}
    for relation in model._meta.related_objects:
        pointing = relation.field
        if pointing.primary_key and pointing.target_field.name == field.name:
            found |= keyed_by(relation.related_model, pointing)
    return found


def _without_policy(collection: Collection) -> sql.Composed:
    """Return what takes away the policy that would keep PostgreSQL from altering the column; without it no row is shown."""
    return render("collection/drop_row_policy.sql", **collection.parts_without_source("public"))


def _print_key_types(
    editor: BaseDatabaseSchemaEditor,
    connection: Connection,
    collection: Collection,
    columns: dict[str, str],
    field: Field,
) -> None:
    """Have sqlmigrate print what migrate would run."""
    column = columns.get(str(collection.source_name))
    wanted = full_name(field.rel_db_type(editor.connection))
    key_types = [
        wanted if name == column else before
        for name, before in zip(collection.key_columns, collection.key_types, strict=True)
    ]
    for statement in look_up_changes(connection, collection, key_types, vector_schema(connection)):
        editor.execute(statement.as_string(connection), params=None)
