"""SQL that creates or drops a collection without a database, as `alembic upgrade --sql` prints it.

It makes what `imgvec collection create` makes; a test compares the two.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from psycopg import sql

from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.database.sql_templates import render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import (
    creation_statements,
    policies,
    trigger_functions,
    trigger_names,
)
from imgvec_pg.store.collection_plan import collection_over
from imgvec_pg.store.guarded_columns import full_name
from imgvec_pg.store.search_functions import dropping_duplicates, dropping_map, grants, render_function
from imgvec_pg.store.source import KeyColumn, Source
from imgvec_pg.store.spec import CollectionSpec

ID = 1_999_777_001
"""Stands for the collection's id, which the database draws as the script runs."""
PLACE = "imgvec_migration_place"
"""Stands for a table that gets triggers."""


def planned_collection(spec: CollectionSpec) -> Collection:
    """Return the collection that a resolved spec makes, without looking at its source.

    Raises:
        MigrationError: The spec leaves out what only the database would know.
        UsageError, CollectionError: It cannot be used.
    """
    return replace(collection_over(_supposed_source(spec), spec), id=ID)


def creating(spec: CollectionSpec, vector: str) -> sql.Composed:
    """Return one statement that registers and makes a collection.

    Args:
        spec: Resolved.
        vector: The schema that holds the vector extension.
    """
    collection = planned_collection(spec)
    # triggers_everywhere() makes the triggers, wherever the source turns out to need them.
    statements = creation_statements(collection, _supposed_source(spec), vector)
    return _with_id(
        collection,
        [*statements, triggers_everywhere(collection, vector)],
        before=render("alembic/register_collection.sql", **_registered(collection)),
    )


def dropping(spec: CollectionSpec) -> sql.Composed:
    """Return one statement that drops a collection with its triggers, functions and embeddings."""
    collection = named(spec)
    parts = collection.parts_without_source("public")
    dropped = render("collection/drop.sql", **parts)
    found = [dropping_duplicates(collection.name), dropping_map(collection.name)]
    return _with_id(collection, [dropping_triggers(collection), *found, dropped])


def triggers_everywhere(collection: Collection, vector: str) -> sql.Composed:
    """Return a statement that makes the triggers on the source and its partitions, and the policy that it may need."""
    parts = collection.parts(vector)
    triggers = render("collection/triggers.sql", **parts, table=sql.SQL(PLACE))
    return render(
        "alembic/triggers_everywhere.sql",
        source=sql.Literal(parts["relation"].as_string(None)),
        triggers=sql.Literal(triggers.as_string(None)),
        placeholder=sql.Literal(PLACE),
        has_foreign_key=sql.Literal(collection.has_foreign_key),
        embedding_table=parts["embedding_table"],
        constraint_name=parts["constraint_name"],
        functions_over_partitions=sql.Literal(
            trigger_functions(replace(collection, is_partitioned=True), vector).as_string(None)
        ),
        row_security=sql.Literal(policies(collection, vector, hides_rows=True).as_string(None)),
    )


def dropping_triggers(collection: Collection) -> sql.Composed:
    """Return a statement that drops the triggers, wherever they are."""
    return render("alembic/drop_triggers.sql", trigger_names=sql.Literal(trigger_names(collection)))


def functions(collection: Collection, vector: str) -> list[sql.Composed]:
    """Return the statements that make a collection's search functions anew, with their grants."""
    parts = collection.parts(vector)
    return [
        dropping_functions(collection),
        *(render_function(name, parts) for name in collection.function_files),
        grants(parts),
    ]


def dropping_functions(collection: Collection) -> sql.Composed:
    """Return a statement that drops a collection's search functions."""
    parts = collection.parts_without_source("public")
    return render("collection/drop_functions.sql", function_names=parts["function_names"])


def named(spec: CollectionSpec) -> Collection:
    """Return a collection of which only the name is known."""
    return Collection(
        id=ID,
        name=spec.name,
        model_id=0,
        model_name="",
        dimensions=1,
        has_text=False,
        source_schema=None,
        source_name=None,
        shown_source="",
        key_columns=[],
        key_types=[],
        key_equality_schemas=[],
        path_column=None,
        content_column=None,
        watch_columns=[],
        root=None,
        has_foreign_key=False,
        m=spec.m,
        ef_construction=spec.ef_construction,
        ef_search=None,
        quantization=None,
        prompt="{}",
        is_listed=False,
    )


def _supposed_source(spec: CollectionSpec) -> Source:
    """Return a source as the spec supposes it: an image column has paths where there is a root or URLs are allowed.

    Raises:
        MigrationError: The key or its types are missing.
    """
    types = {
        column: full_name(type_name) for column, type_name in spec.key_types.items() if type_name is not None
    }
    if not types or len(types) < len(spec.key_types):
        raise MigrationError(
            f'the key of {spec.source} cannot be looked up with --sql; expected key={{"id": "bigint"}} in the operation '
            f'for collection "{spec.name}"'
        )
    schema, name = _split(str(spec.source))
    has_paths = spec.root is not None or bool(spec.url_prefixes)
    first = ["text", "bytea"] if has_paths else ["bytea", "text"]
    return Source(
        oid=0,
        schema=schema,
        name=name,
        shown=f"{_shown(schema)}.{_shown(name)}",
        kind="table",
        key=tuple(KeyColumn(column, type_name, "pg_catalog") for column, type_name in types.items()),
        columns={**dict.fromkeys(spec.watch, "text"), **dict(zip(spec.image_columns, first, strict=False))},
        hides_rows=False,  # triggers_everywhere looks
        tables=(),
        estimated_rows=0,
        has_unique_key=True,
    )


def _registered(collection: Collection) -> dict[str, sql.Composable]:
    names = (
        "key_columns key_types key_equality_schemas path_column content_column watch_columns root has_foreign_key m "
        "ef_construction quantization index_method lists prompt url_prefixes rendering bands dimensions has_text"
    )
    values = {name: sql.Literal(getattr(collection, name)) for name in names.split()}
    return {
        **values,
        "bands": sql.Literal(list(collection.bands)),
        "collection_name": sql.Literal(collection.name),
        "model": sql.Literal(collection.model_name),
        "source": sql.Literal(collection.source.as_string(None)),
    }


def _with_id(
    collection: Collection, statements: Sequence[sql.Composed], before: sql.Composable | None = None
) -> sql.Composed:
    script = "\n".join(statement.as_string(None).rstrip().removesuffix(";") + ";" for statement in statements)
    return render(
        "alembic/with_collection_id.sql",
        before=before or sql.SQL(""),
        collection_name=sql.Literal(collection.name),
        script=sql.Literal(script),
        placeholder=sql.Literal(str(ID)),
    )


def _shown(name: str) -> str:
    """Quote a name where SQL wants it, as quote_ident() does."""
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else sql.Identifier(name).as_string(None)


def _split(relation: str) -> tuple[str, str]:
    """Read "shop.product" or 'shop."Product"'; without a schema it is public's."""
    parts, rest = [], relation.strip()
    while rest:
        if rest.startswith('"'):
            end = rest.index('"', 1)
            while rest[end : end + 2] == '""':
                end = rest.index('"', end + 2)
            parts.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].removeprefix(".")
        else:
            part, _, rest = rest.partition(".")
            parts.append(part.lower())
    if len(parts) == 1:
        return "public", parts[0]
    if len(parts) != 2:
        raise MigrationError(f"{relation} is not a table name; expected schema.table, quoted as in SQL")
    return parts[0], parts[1]
