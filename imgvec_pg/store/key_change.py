"""Follow a source whose key columns became wider, in place: no picture is embedded anew."""

from dataclasses import replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, lock_timeout, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import alias_names, alias_parts, alias_statements, find_aliases
from imgvec_pg.store.collection import SEARCH_FUNCTIONS, Collection
from imgvec_pg.store.collection_ddl import policies, search_statements, trigger_functions
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import render_function


def may_change_key(connection: Connection, collection: Collection) -> bool:
    """Whether this role owns what a change of the key's type alters."""
    row = connection.execute(
        load_sql("queries/owns_embeddings.sql"), {"table": collection.embedding_table}
    ).fetchone()
    return row is not None and bool(row[0])


def follow_key(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> Collection:
    """Give the embedding table, the functions and the registry the types that the source's key has now, in one transaction.

    The embedding table is locked meanwhile, and written anew where PostgreSQL stores the new type otherwise (bigint for
    integer; not text for varchar). Its HNSW index then goes, to be built again by the next backfill: searches compare all rows
    until then.

    Returns:
        The collection as it is then; as it was where its types are the source's already.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
        CollectionError: Other objects need the functions, or the embedding table cannot change; nothing was changed.
    """
    if not collection.has_other_key_types:
        return collection
    schema = vector_schema(connection)
    wide = replace(collection, key_types=list(collection.source_key_types))
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            for statement in _statements(connection, collection, wide, schema):
                connection.execute(statement)
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = ", ".join((error.diag.message_detail or one_line(error)).splitlines())
        raise CollectionError(
            f"the key of collection {collection.name} cannot follow {collection.shown_source}: other objects need its functions "
            f"({detail}); drop these first and make them again afterwards. Nothing was changed"
        ) from error
    except (psycopg.errors.InvalidTableDefinition, psycopg.errors.FeatureNotSupported) as error:
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


def _statements(
    connection: Connection, collection: Collection, wide: Collection, schema: str
) -> list[sql.Composed]:
    """Return what changes the key's types, in order: what depends on them goes first and comes back last."""
    parts, old = wide.parts(schema), collection.parts(schema)
    aliases = [alias.name for alias in find_aliases(connection, collection_id=collection.id)]
    is_composite = len(wide.key_columns) > 1
    state = connection.execute(
        load_sql("queries/policy_state.sql"),
        {"table": collection.embedding_table, "collection_id": collection.id},
    ).fetchone()
    statements = [
        render("collection/drop_functions.sql", function_names=names["function_names"])
        for names in [old, *map(alias_names, aliases)]
    ]
    if is_composite:
        statements += [
            render("collection/drop_key_type.sql", key_type=names["key_type"])
            for names in [old, *map(alias_names, aliases)]
        ]
    columns = sql.SQL(", ").join(
        sql.SQL("ALTER COLUMN {} TYPE {}").format(sql.Identifier(name), sql.SQL(type_name))
        for name, type_name, before in zip(
            wide.key_columns, wide.key_types, collection.key_types, strict=True
        )
        if type_name != before
    )
    statements.append(
        render(
            "collection/alter_key.sql",
            **parts,
            columns=columns,
            types=sql.Literal(list(wide.key_types)),
            old_types=sql.Literal(list(collection.key_types)),
        )
    )
    if collection.forgets_by_key:
        statements.append(render("collection/foreign_key.sql", **parts, validity=sql.SQL("")))
    if is_composite:
        statements.append(render("collection/key_type.sql", **parts))
    statements += [render_function(name, parts) for name in SEARCH_FUNCTIONS if name != "search"]
    statements += search_statements(wide, schema)
    statements.append(trigger_functions(wide, schema))
    statements.append(policies(wide, schema, hides_rows=bool(state and (state[0] or state[2]))))
    statements.append(render("collection/grants.sql", **parts))
    for alias in aliases:
        named = alias_parts(wide, alias, schema, replace=False)
        if is_composite:
            statements.append(render("collection/key_type.sql", **named))
        statements += alias_statements(wide, named)
    return statements
