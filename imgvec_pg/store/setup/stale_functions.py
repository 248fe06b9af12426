"""Functions in the database that are not as this release makes them: the extension vector was moved, or they are older.

A body in plpgsql names the extension's schema as text; one in SQL (near_*), an index, a column and a view know its objects by
their OIDs and go with it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, pinned_search_path, vector_schema
from imgvec_pg.database.function_names import SEARCH_FUNCTIONS
from imgvec_pg.database.sql_templates import load_sql, render, shipped_directory
from imgvec_pg.store.aliases import alias_parts, alias_statements, find_aliases
from imgvec_pg.store.collection_ddl import picture_triggers
from imgvec_pg.store.radius.coordinate_tables import coordinate_triggers
from imgvec_pg.store.registry import find_collections

HAS_SCHEMA = "SELECT to_regclass('imgvec.collection') IS NOT NULL"
REPLACE = sql.SQL("CREATE OR REPLACE FUNCTION")
DEFINITION = re.compile(
    r"^CREATE OR REPLACE FUNCTION imgvec\.(?:\"((?:[^\"]|\"\")+)\"|(\w+)) ?\((?:(?!^CREATE ).)*?\bAS (\$\w*\$)(.*?)\3",
    re.DOTALL | re.MULTILINE,
)
"""A function in plpgsql: its name, quoted or not, and between dollar quotes its body."""


@dataclass(frozen=True)
class StaleFunctions:
    """Names of functions that are to be made again, and the schema that they take the extension to be in.

    Attributes:
        named_schemas: Other schemas than the extension's, where they name one.
    """

    vector_schema: str
    names: tuple[str, ...]
    named_schemas: tuple[str, ...]


def find_stale_functions(connection: Connection) -> StaleFunctions:
    """Compare the functions in the database with what this release makes of its files; none are stale without a schema."""
    row = connection.execute(HAS_SCHEMA).fetchone()
    if row is None or not row[0]:
        return StaleFunctions("", (), ())
    schema = vector_schema(connection)
    stale = stale_names(connection, _statements(connection, schema)) | _missing(connection)
    named = connection.execute(
        load_sql("queries/named_vector_schemas.sql"), {"names": sorted(stale), "schema": schema}
    )
    return StaleFunctions(schema, tuple(sorted(stale)), tuple(str(row[0]) for row in named))


def stale_names(connection: Connection, statements: Iterable[sql.Composed]) -> set[str]:
    """Return the plpgsql functions of the schema imgvec whose bodies are not what these statements would make."""
    bodies: dict[str, set[str]] = {}
    for name, body in connection.execute(load_sql("queries/function_bodies.sql")):
        bodies.setdefault(name, set()).add(body)
    return {
        name
        for statement in statements
        for name, body in _definitions(statement.as_string(connection))
        if body not in bodies.get(name, ())
    }


def refresh_functions(connection: Connection) -> StaleFunctions:
    """Make the functions again that are not as this release makes them, in one transaction, and return which.

    Grants, comments and what depends on them stay. Waits for a migration of the same database.
    """
    with connection.transaction(), pinned_search_path(connection):
        connection.execute(load_sql("queries/lock_schema.sql"))
        stale = find_stale_functions(connection)
        if stale.names:
            for statement in _statements(connection, stale.vector_schema):
                connection.execute(statement)
    return stale


def _statements(connection: Connection, schema: str) -> Iterator[sql.Composed]:
    """Give the statements that make all functions which may name the extension's schema."""
    refuse = load_sql("functions/refuse_collection.sql")
    folder = shipped_directory("sql") / "functions"
    for path in sorted(folder.glob("*.sql")):
        if "{vector}" in path.read_text(encoding="utf-8"):
            yield render(f"functions/{path.name}", vector=sql.Identifier(schema), refuse_collection=refuse)
    for collection in find_collections(connection):
        if collection.source_name is None:
            continue
        yield from alias_statements(collection, {**collection.parts(schema), "create": REPLACE})
        for alias in find_aliases(connection, collection_id=collection.id):
            yield from alias_statements(collection, alias_parts(collection, alias.name, schema, replace=True))
        if collection.by_picture:
            yield picture_triggers(collection, schema)
        if collection.has_radius_index:
            yield coordinate_triggers(collection, schema)


def _missing(connection: Connection) -> set[str]:
    """Return the functions that collections and aliases of an older release have not got."""
    present = {str(row[0]) for row in connection.execute(load_sql("queries/function_names.sql"))}
    wanted = {
        SEARCH_FUNCTIONS[file].format(name)
        for collection in find_collections(connection)
        if collection.source_name is not None
        for name in (
            collection.name,
            *(alias.name for alias in find_aliases(connection, collection_id=collection.id)),
        )
        # Those that search_bit.sql makes have the names of search.sql's.
        for file in ("search", *collection.function_files)
        if file in SEARCH_FUNCTIONS
    }
    return wanted - present


def _definitions(statement: str) -> Iterator[tuple[str, str]]:
    """Give the name and body of each plpgsql function that a statement makes."""
    for quoted, plain, _, body in DEFINITION.findall(statement):
        yield quoted.replace('""', '"') or plain, body
