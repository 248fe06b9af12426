"""Follow a source whose key columns became wider, in place: no picture is embedded anew."""

from collections.abc import Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, lock_timeout, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import Alias, alias_names, alias_parts, alias_statements, find_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import (
    embedding_table,
    picture_triggers,
    policies,
    trigger_functions,
)
from imgvec_pg.store.radius.coordinate_tables import dropping_coordinates
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import dropping_duplicates, dropping_map, grants, render_function


def may_change_key(connection: Connection, collection: Collection) -> bool:
    """Whether this role owns what a change of the key's type alters."""
    row = connection.execute(
        load_sql("queries/owns_embeddings.sql"), {"table": collection.embedding_table}
    ).fetchone()
    return row is not None and bool(row[0])


def follow_key(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> Collection:
    """Give a collection the types that its source's key has now: see alter_key().

    Returns:
        The collection as it is then; as it was where its types are the source's already.
    """
    if not collection.has_other_key_types:
        return collection
    return alter_key(connection, collection, collection.source_key_types, lock_timeout_ms=lock_timeout_ms)


def alter_key(
    connection: Connection, collection: Collection, key_types: Sequence[str], *, lock_timeout_ms: int = 2000
) -> Collection:
    """Give the embedding table, the functions and the registry other types of the key, in one transaction.

    The embedding table is locked meanwhile, and written anew where PostgreSQL stores the new type otherwise (bigint for
    integer; not text for varchar). Its index over vectors then goes, that of a partitioned table always, to be built again by
    the next backfill: searches compare all rows until then.

    Args:
        key_types: Of each key column, as format_type() names it: those of the source now, or in this transaction's end.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
        CollectionError: Other objects need the functions, or the embedding table cannot change; nothing was changed.
    """
    schema = vector_schema(connection)
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            for statement in look_up_changes(connection, collection, key_types, schema):
                connection.execute(statement)
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = ", ".join((error.diag.message_detail or one_line(error)).splitlines())
        raise CollectionError(
            f"the key of collection {collection.name} cannot follow {collection.shown_source}: other objects need its functions "
            f"or its table ({detail}); drop these first and make them again afterwards. Nothing was changed"
        ) from error
    except (
        psycopg.errors.InvalidTableDefinition,
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.CheckViolation,
    ) as error:
        raise CollectionError(
            f"the key of collection {collection.name} cannot follow {collection.shown_source} ({one_line(error)}); drop it and "
            "create it again. Nothing was changed"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not change collection {collection.name} ({one_line(error)}); it takes the "
            "owner of the schema imgvec, with REFERENCES on the source. Nothing was changed"
        ) from error
    return get_collection(connection, collection.name)


def look_up_changes(
    connection: Connection, collection: Collection, key_types: Sequence[str], schema: str
) -> list[sql.Composed]:
    """Return what changes the key's types, after a look at what depends on them.

    Args:
        schema: The one that holds the vector extension.
    """
    aliases = find_aliases(connection, collection_id=collection.id)
    state = connection.execute(
        load_sql("queries/policy_state.sql"),
        {"table": collection.embedding_table, "collection_id": collection.id},
    ).fetchone()
    hides_rows = bool(state and (state[0] or state[2]))
    return changes(collection, key_types, schema, aliases=aliases, hides_rows=hides_rows)


def changes(
    collection: Collection,
    key_types: Sequence[str],
    schema: str,
    *,
    aliases: Sequence[Alias],
    hides_rows: bool,
) -> list[sql.Composed]:
    """Return what changes the key's types, in order: what depends on them goes first and comes back last.

    Args:
        hides_rows: Whether the source shows each role other rows, or the embedding table supposes so.
    """
    wide = replace(
        collection,
        key_types=list(key_types),
        source_key_types=list(key_types),
        # Its key would have to be written anew too: it goes, as an index over vectors does.
        has_radius_index=False,
    )
    parts, old = wide.parts(schema), collection.parts(schema)
    names = [alias.name for alias in aliases]
    is_composite = len(wide.key_columns) > 1
    statements = [
        render("collection/drop_functions.sql", function_names=named["function_names"])
        for named in [old, *map(alias_names, names)]
    ]
    if is_composite:
        statements += [
            render("collection/drop_key_type.sql", key_type=named["key_type"])
            for named in [old, *map(alias_names, names)]
        ]
    statements += [
        dropping_duplicates(collection.name),
        dropping_map(collection.name),
        dropping_coordinates(collection),
    ]
    if wide.by_picture:  # Its policy asks a table that may be made anew.
        statements.append(render("collection/drop_picture_policies.sql", **parts))
    statements.append(_table_change(collection, wide, schema))
    if wide.by_picture:
        statements.append(picture_triggers(wide, schema))
    if collection.forgets_by_key:
        statements.append(render("collection/foreign_key.sql", **parts, validity=sql.SQL("")))
    if is_composite:
        statements.append(render("collection/key_type.sql", **parts))
    statements += [render_function(name, parts) for name in wide.function_files]
    statements.append(trigger_functions(wide, schema))
    statements.append(policies(wide, schema, hides_rows=hides_rows))
    statements.append(grants(parts))
    for alias in names:
        named = alias_parts(wide, alias, schema, replace=False)
        if is_composite:
            statements.append(render("collection/key_type.sql", **named))
        statements += alias_statements(wide, named)
    return statements


def _table_change(collection: Collection, wide: Collection, schema: str) -> sql.Composed:
    """Return what changes the columns of the embedding table, and the registry."""
    parts = wide.parts(schema)
    columns = sql.SQL(", ").join(
        sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(name), sql.SQL(type_name))
        for name, type_name, before in zip(
            wide.key_columns, wide.key_types, collection.key_types, strict=True
        )
        if type_name != before
    )
    if not (collection.partitions or collection.partition_by):
        return render(
            "collection/alter_key.sql",
            **parts,
            columns=columns,
            types=sql.Literal(list(wide.key_types)),
            old_types=sql.Literal(list(collection.key_types)),
        )
    return render(
        "collection/alter_partitioned_key.sql",
        **parts,
        columns=sql.Literal(columns.as_string(None)),
        types=sql.Literal(list(wide.key_types)),
        create_table=sql.Literal(embedding_table(wide, schema).as_string(None)),
    )
