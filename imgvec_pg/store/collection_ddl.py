"""Create, alter and drop collections."""

from dataclasses import replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    one_line,
    pinned_search_path,
    vector_schema,
)
from imgvec_pg.database.partitioning import small_tenants_table
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_plan import CollectionPlan, plan_collection
from imgvec_pg.store.guarded_columns import runs_when_planned
from imgvec_pg.store.radius.coordinate_tables import coordinate_policies
from imgvec_pg.store.registry import find_collections, get_collection, refuse_span
from imgvec_pg.store.search_functions import dropping_duplicates, dropping_map, grants, render_function
from imgvec_pg.store.source import Source
from imgvec_pg.store.spec import CollectionSpec


def create_collection(
    connection: Connection, spec: CollectionSpec, *, lock_timeout_ms: int = 2000
) -> Collection:
    """Create embedding table, triggers, functions and grants in one transaction.

    It takes SHARE ROW EXCLUSIVE on the source for a moment: readers go on, writers wait; while it waits for the
    lock itself, at most `lock_timeout_ms`, other writers queue behind it. No row is read.

    Raises:
        CollectionError: The name is taken, the source is unfit or the role lacks a right; nothing is left behind.
        DatabaseError: The lock was not had in time.
    """
    plan = plan_collection(connection, spec)
    source = plan.source
    schema = vector_schema(connection)
    there = find_collections(connection, spec.name)
    if there and there[0].name != spec.name:
        raise CollectionError(
            f'"{spec.name}" is an alias of collection {there[0].name}; choose another name, or switch the alias to another '
            f"model: imgvec collection switch {spec.name} --to MODEL"
        )
    if there:
        raise CollectionError(
            f'collection "{spec.name}" exists already; choose another name, or first: imgvec collection drop {spec.name}'
        )
    refuse_span(connection, spec.name)
    if source.kind == "table" and source.reads_as is not None and spec.foreign_key:
        raise CollectionError(
            f"indexes, statistics or constraints of {source.shown} call functions of role {source.reads_as}, which PostgreSQL "
            f"runs as the superuser {connection.info.user} when it checks a foreign key; create the collection as a role that is "
            "no superuser, or add --no-fk"
        )
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            # pgvector's own settings can be set by any role once its library is loaded.
            connection.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
            collection = register(connection, plan)
            for statement in creation_statements(collection, source, schema):
                connection.execute(statement)
    except (
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.InvalidTableDefinition,  # of an unlogged source
    ) as error:
        raise CollectionError(
            f"no foreign key can point to {source.shown} ({one_line(error)}); add --no-fk"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not do this ({one_line(error)}); it must own the source or have "
            "REFERENCES and TRIGGER on it, and own the schema imgvec"
        ) from error
    except (
        psycopg.errors.UniqueViolation,
        psycopg.errors.DuplicateObject,
        psycopg.errors.DuplicateTable,
    ) as error:
        raise CollectionError(
            f'collection "{spec.name}" exists already or a left-over is in its way ({one_line(error)}); choose another name'
        ) from error
    return collection


def register(connection: Connection, plan: CollectionPlan) -> Collection:
    """Enter a planned collection and its model in the registries and return it with its ids."""
    planned = plan.collection
    row = connection.execute(
        load_sql("queries/register_model.sql"),
        {"name": planned.model_name, "dimensions": planned.dimensions, "has_text": planned.has_text},
    ).fetchone()
    if row is None or row[1] != planned.dimensions:
        raise CollectionError(
            f'model "{planned.model_name}" is registered with {row and row[1]} dimensions, now it has '
            f"{planned.dimensions}; give the changed model another name"
        )
    connection.execute(
        load_sql("queries/register_collection.sql"),
        {
            "name": planned.name,
            "model_id": row[0],
            "source": plan.source.oid,
            "key_columns": list(planned.key_columns),
            "key_types": list(planned.key_types),
            "key_equality_schemas": list(planned.key_equality_schemas),
            "path_column": planned.path_column,
            "content_column": planned.content_column,
            "watch_columns": list(planned.watch_columns),
            "root": planned.root,
            "has_foreign_key": planned.has_foreign_key,
            "m": planned.m,
            "ef_construction": planned.ef_construction,
            "quantization": planned.quantization,
            "index_method": planned.index_method,
            "lists": planned.lists,
            "prompt": planned.prompt,
            "url_prefixes": list(planned.url_prefixes),
            "rendering": planned.rendering,
            "bands": list(planned.bands),
        },
    )
    # The catalogue has no partitions yet.
    there = get_collection(connection, planned.name)
    return replace(there, partitions=planned.partitions, partition_by=planned.partition_by)


def creation_statements(collection: Collection, source: Source, schema: str) -> list[sql.Composed]:
    """Return the statements that make a registered collection's objects, in order."""
    parts = collection.parts(schema)
    statements = [embedding_table(collection, schema), *partitions(collection, schema)]
    if collection.forgets_by_key:
        statements.append(render("collection/foreign_key.sql", **parts, validity=sql.SQL("")))
    if len(collection.key_columns) > 1:
        statements.append(render("collection/key_type.sql", **parts))
    statements += [render_function(name, parts) for name in collection.function_files]
    statements.append(trigger_functions(collection, schema))
    if source.can_have_triggers:
        statements += [
            render("collection/triggers.sql", **parts, table=sql.Identifier(*table))
            for table in source.tables
        ]
    statements.append(policies(collection, schema, hides_rows=source.hides_rows))
    statements.append(grants(parts))
    return statements


def embedding_table(collection: Collection, schema: str) -> sql.Composed:
    """Return what makes the embedding table, without its partitions."""
    parts = collection.parts(schema)
    storage: sql.Composable = load_sql("collection/vacuum_settings.sql")
    if collection.partitions or collection.partition_by:
        # A partitioned table has no rows, and takes no settings for them.
        storage = sql.SQL("PARTITION BY {} ({})").format(
            sql.SQL("HASH" if collection.partitions else "LIST"),
            parts["keys"] if collection.partition_by is None else sql.Identifier(collection.partition_by),
        )
    table = render(
        "collection/embedding_table.sql",
        **parts,
        storage=storage,
        comment=sql.Literal(table_comment(collection)),
    )
    if collection.partition_by in (None, collection.key_columns[0]):
        return table
    return table + render("collection/tenant_index.sql", **parts)


def partitions(collection: Collection, schema: str) -> list[sql.Composed]:
    """Return what makes the first partitions of the embedding table: those by hash, or the one of all small tenants."""
    parts = collection.parts(schema)
    if collection.is_split_by_tenant:
        small = sql.Identifier(small_tenants_table(collection.embedding_table))
        return [render("collection/default_partition.sql", **parts, partition=small)]
    return [
        render(
            "collection/partition.sql",
            **parts,
            partition=sql.Identifier(f"{collection.embedding_table}_{remainder}"),
            modulus=sql.Literal(collection.partitions),
            remainder=sql.Literal(remainder),
        )
        for remainder in range(collection.partitions)
    ]


def table_comment(collection: Collection) -> str:
    """Return what psql shows beside the embedding table."""
    return f"Embeddings of {collection.shown_source} by {collection.model_name}"


def policies(collection: Collection, schema: str, *, hides_rows: bool) -> sql.Composed:
    """Return what makes the embedding table's policies, or makes them anew.

    Args:
        hides_rows: Whether the source shows each role other rows.
    """
    parts = collection.parts(schema)
    worker_policy = render("collection/worker_policy.sql", **parts)
    name = "row_security" if hides_rows else "open_source"
    of_rows = render(f"collection/{name}.sql", **parts, worker_policy=worker_policy)
    if collection.has_radius_index:
        of_rows += coordinate_policies(collection, hides_rows=hides_rows)
    return of_rows + picture_policies(collection, hides_rows=hides_rows) if collection.by_picture else of_rows


def picture_policies(collection: Collection, *, hides_rows: bool) -> sql.Composed:
    """Return what makes the policies of the table of its different pictures, or makes them anew."""
    parts = collection.parts("public")
    of_pictures = {**parts, "embedding_table": parts["picture_table"]}
    worker_policy = render("collection/worker_policy.sql", **of_pictures)
    if hides_rows:
        return render("collection/picture_security.sql", **parts, worker_policy=worker_policy)
    return render("collection/open_source.sql", **of_pictures, worker_policy=worker_policy)


def picture_triggers(collection: Collection, schema: str) -> sql.Composed:
    """Return what makes the triggers that keep its different pictures in step with its rows, or makes them anew."""
    return render("collection/picture_trigger_functions.sql", **collection.parts(schema))


def trigger_functions(collection: Collection, schema: str) -> sql.Composed:
    """Return what makes the trigger functions of a collection, or makes them anew."""
    parts = collection.parts(schema)
    nothing, always = sql.SQL(""), sql.SQL("true")
    parts["runs_when_planned"] = runs_when_planned("c.source")
    pieces: dict[str, sql.Composable] = {
        name: render(f"collection/{name}.sql", **parts)
        for name in ("unless_unreadable", "enqueueing_is_parsed")
    }
    # With a foreign key PostgreSQL itself forgets the vectors of rows that go.
    for name in ("forget_moved", "forget_deleted", "forget_all", "forget_partition"):
        pieces[name] = nothing if collection.forgets_by_key else render(f"collection/{name}.sql", **parts)
    # Without one a worker may write a row that goes. A user who asked for none has reconcile for that.
    for name in ("read_deleted", "enqueue_deleted", "enqueue_moved"):
        pieces[name] = render(f"collection/{name}.sql", **parts) if collection.is_partitioned else nothing
    embedding = always if collection.forgets_by_key else render("collection/embedding_is_parsed.sql", **parts)
    pieces["forgetting_is_parsed"] = render(
        "collection/forgetting_is_parsed.sql", **parts, embedding_is_parsed=embedding
    )
    return render("collection/trigger_functions.sql", **parts, **pieces)


def drop_collection(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> None:
    """Drop a collection with all its embeddings, in one transaction; the source stays as it is.

    Raises:
        DatabaseError: The lock on the source was not had in time; nothing was changed.
        CollectionError: Other objects or an alias need it, or the role lacks a right; nothing was changed.
    """
    # Nothing dropped is named after the extension's schema; a collection can go even where the extension is gone.
    parts = collection.parts_without_source("public")
    pointing = [
        str(row[0])
        for row in connection.execute(
            load_sql("queries/aliases.sql"), {"name": None, "collection_id": collection.id}
        )
    ]
    if pointing:
        raise CollectionError(
            f"the alias {', '.join(pointing)} points to collection {collection.name}; switch it, or take it away with: "
            f"imgvec collection unalias {pointing[0]}"
        )
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            for table in triggered_tables(connection, collection):
                connection.execute(
                    render("collection/drop_triggers.sql", **parts, table=sql.Identifier(*table))
                )
            connection.execute(dropping_duplicates(collection.name))
            connection.execute(dropping_map(collection.name))
            connection.execute(render("collection/drop.sql", **parts))
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = ", ".join((error.diag.message_detail or one_line(error)).splitlines())
        raise CollectionError(
            f"collection {collection.name} is still needed ({detail}); drop that first. Nothing was changed"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not drop collection {collection.name} ({one_line(error)}); "
            "it must own the source and the schema imgvec. Nothing was changed"
        ) from error


def trigger_names(collection: Collection) -> list[str]:
    """Return the names of a collection's four triggers."""
    return [f"imgvec_{collection.name}_{event}" for event in ("insert", "update", "delete", "truncate")]


def triggered_tables(connection: Connection, collection: Collection) -> dict[tuple[str, str], int]:
    """Return (schema, table) of every table that carries a trigger of the collection, and how many of the four."""
    rows = connection.execute(
        load_sql("queries/triggered_tables.sql"), {"trigger_names": trigger_names(collection)}
    ).fetchall()
    return {(str(schema), str(name)): int(count) for schema, name, count in rows}
