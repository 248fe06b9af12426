"""Aliases: stable names, each with search functions of its own, that point to one collection and can be switched."""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.function_names import SEARCH_FUNCTIONS
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, CollectionNotFoundError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import find_collections, get_collection, refuse_span
from imgvec_pg.store.search_functions import render_function
from imgvec_pg.store.spec import check_name


@dataclass(frozen=True)
class Alias:
    """An alias as registered. Field names are the query's columns."""

    name: str
    collection_id: int
    collection_name: str
    previous_name: str | None


def find_aliases(
    connection: Connection, name: str | None = None, *, collection_id: int | None = None
) -> list[Alias]:
    """Return the aliases: all, the one of this name, or those of one collection."""
    values = {"name": name, "collection_id": collection_id}
    with connection.cursor(row_factory=class_row(Alias)) as cursor:
        return cursor.execute(load_sql("queries/aliases.sql"), values).fetchall()


def get_alias(connection: Connection, name: str) -> Alias:
    """Return the alias of this name.

    Raises:
        CollectionError: It is a collection, whose model never changes.
        CollectionNotFoundError: It is nothing.
    """
    found = find_aliases(connection, name)
    if found:
        return found[0]
    if find_collections(connection, name):
        raise CollectionError(
            f"{name} is a collection, whose model never changes; give it a second name that can: "
            f"imgvec collection alias NAME {name}, and let queries call near_NAME instead of near_{name}"
        )
    others = ", ".join(alias.name for alias in find_aliases(connection))
    raise CollectionNotFoundError(
        f'alias "{name}" does not exist; '
        + (f"there are: {others}" if others else "make one with: imgvec collection alias NAME COLLECTION")
    )


def create_alias(connection: Connection, name: str, collection_name: str) -> Collection:
    """Make an alias and its functions in one transaction, and return the collection it points to.

    Raises:
        UsageError: Not a name that functions can be called after.
        CollectionError: The name is taken, or the role does not own the schema.
    """
    check_name(name)
    collection = get_collection(connection, collection_name)
    if find_collections(connection, name):
        kind = "an alias" if find_aliases(connection, name) else "a collection"
        raise CollectionError(f'"{name}" is {kind} already; choose another name')
    refuse_span(connection, name)
    schema = vector_schema(connection)
    try:
        with connection.transaction(), pinned_search_path(connection):
            connection.execute(
                load_sql("queries/create_alias.sql"), {"name": name, "collection_id": collection.id}
            )
            parts = alias_parts(collection, name, schema, replace=False)
            if len(collection.key_columns) > 1:
                connection.execute(render("collection/key_type.sql", **parts))
            for statement in alias_statements(collection, parts):
                connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not make an alias ({one_line(error)}); it takes the owner of the schema imgvec"
        ) from error
    except (
        psycopg.errors.DuplicateFunction,
        psycopg.errors.DuplicateObject,
        psycopg.errors.UniqueViolation,
    ) as error:
        raise CollectionError(
            f'an object is in the way of the alias "{name}" ({one_line(error)}); choose another name'
        ) from error
    return collection


def point_alias(connection: Connection, alias: Alias, target: Collection) -> None:
    """Let an alias mean another collection of the same source; belongs into a transaction, with which it comes and goes.

    The functions stay, with other bodies: prepared statements plan anew, and queries that run go on with the old one.

    Raises:
        CollectionError: Another session switched it meanwhile, the target's keys are others, or the role is no owner.
    """
    present = get_collection(connection, alias.collection_name)
    require_same_source(present, target)
    row = connection.execute(load_sql("queries/lock_alias.sql"), {"name": alias.name}).fetchone()
    if row is None or row[0] != alias.collection_id:
        raise CollectionError(
            f"the alias {alias.name} was switched or dropped by another session meanwhile; look again"
        )
    parts = alias_parts(target, alias.name, vector_schema(connection), replace=True)
    try:
        with pinned_search_path(connection):
            if present.partition_by not in (None, target.partition_by):
                # It would ask the old collection for ever, or have another tenant's type.
                names = sql.Literal([SEARCH_FUNCTIONS["search_tenant"].format(alias.name)])
                connection.execute(render("collection/drop_functions.sql", function_names=names))
            for statement in alias_statements(target, parts):
                connection.execute(statement)
        connection.execute(
            load_sql("queries/switch_alias.sql"), {"name": alias.name, "collection_id": target.id}
        )
    except psycopg.errors.DependentObjectsStillExist as error:
        raise CollectionError(
            f"{target.name} is not divided by {present.partition_by}, and something needs the search of one tenant "
            f"({one_line(error)}); drop that first. Nothing was changed"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not switch {alias.name} ({one_line(error)}); it takes the owner of the "
            "schema imgvec. Nothing was changed"
        ) from error


def require_same_source(present: Collection, target: Collection) -> None:
    """Check that two collections answer with the same rows' keys.

    Raises:
        CollectionError: They do not.
    """
    ours, theirs = (
        (c.source_schema, c.source_name, list(c.key_columns), list(c.key_types)) for c in (present, target)
    )
    if ours != theirs:
        raise CollectionError(
            f"{target.name} embeds {target.shown_source} by {', '.join(target.key_columns)}, {present.name} embeds "
            f"{present.shown_source} by {', '.join(present.key_columns)}: an alias switches between collections of one source"
        )


def drop_alias(connection: Connection, alias: Alias) -> None:
    """Drop an alias with its functions, in one transaction; the collection stays.

    Raises:
        CollectionError: Other objects, such as a view, need its functions.
    """
    parts = alias_names(alias.name) | {"alias_name": sql.Literal(alias.name)}
    try:
        with connection.transaction(), pinned_search_path(connection):
            connection.execute(
                render("collection/drop_functions.sql", function_names=parts["function_names"])
            )
            connection.execute(render("collection/drop_alias.sql", **parts))
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = ", ".join((error.diag.message_detail or one_line(error)).splitlines())
        raise CollectionError(
            f"alias {alias.name} is still needed ({detail}); drop that first. Nothing was changed"
        ) from error


def drop_aliases(connection: Connection) -> None:
    """Drop all aliases, where the registry is there."""
    row = connection.execute(
        "SELECT to_regclass('imgvec.alias') IS NOT NULL AND to_regclass('imgvec.collection') IS NOT NULL"
    ).fetchone()
    for alias in find_aliases(connection) if row and row[0] else []:
        drop_alias(connection, alias)


def refresh_aliases(connection: Connection, collection: Collection, schema: str) -> None:
    """Make the aliases of a collection whose index changed its kind search as it does."""
    for alias in find_aliases(connection, collection_id=collection.id):
        parts = alias_parts(collection, alias.name, schema, replace=True)
        for statement in alias_statements(collection, parts):
            connection.execute(statement)


def alias_names(name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that are called after the alias, not after its collection."""
    functions = {part: pattern.format(name) for part, pattern in SEARCH_FUNCTIONS.items()}
    return {
        **{part: sql.Identifier(function) for part, function in functions.items()},
        "function_names": sql.Literal(list(functions.values())),
        "key_type": sql.Identifier(f"{name}_key"),
    }


def alias_parts(
    collection: Collection, name: str, schema: str, *, replace: bool
) -> dict[str, sql.Composable]:
    """Return the `{parts}` by which the files of sql/collection make an alias's functions over a collection's table."""
    parts = {**collection.parts(schema), **alias_names(name)}
    if len(collection.key_columns) > 1:
        # A type of its own: an argument of the collection's would change with it.
        parts["among_type"] = sql.Identifier("imgvec", f"{name}_key")
    if replace:
        parts["create"] = sql.SQL("CREATE OR REPLACE FUNCTION")
    return parts


def alias_statements(collection: Collection, parts: dict[str, sql.Composable]) -> list[sql.Composed]:
    """Return the statements that make or replace an alias's functions, in order."""
    # What calls search_* calls the collection's own: within one statement an alias may mean the old collection first and
    # the new one then. (recommend_* and diverse_* pass keys on, of a composite type that is the alias's: there the alias's own.)
    own_search = sql.Identifier(SEARCH_FUNCTIONS["search"].format(collection.name))
    passing_keys = {"recommend", "diverse"}
    calling = {"duplicates_of"} | (passing_keys if len(collection.key_columns) == 1 else set())
    return [
        render_function(file, {**parts, **({"search": own_search} if file in calling else {})})
        for file in (*collection.function_files, "grants")
    ]
