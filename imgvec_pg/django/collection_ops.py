"""Creating, changing and dropping collections inside a Django migration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

from imgvec_pg.alembic.offline_sql import creating
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.django.connection_dsn import command_errors, dsn_of, psycopg_connection, vector_schema_of
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection, drop_collection, triggered_tables
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.source import describe_source
from imgvec_pg.store.spec import CollectionDefinition, CollectionRequest, choose_image_columns

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class DropLater:
    """The statements that drop a collection, written when Django runs what it delayed to the migration's end."""

    def __init__(self, alias: str, name: str) -> None:
        self.alias = alias
        self.name = name

    def __str__(self) -> str:
        connection = psycopg_connection(self.alias)
        found = find_collections(connection, self.name) if has_schema(connection) else []
        if not found or found[0].name != self.name:
            return f"-- imgvec: there is no collection {self.name} to drop"
        parts = found[0].parts_without_source("public")
        statements = [
            render("collection/drop_triggers.sql", **parts, table=sql.Identifier(*table))
            for table in triggered_tables(connection, found[0])
        ]
        statements.append(render("collection/drop.sql", **parts))
        return "\n".join(statement.as_string(connection) for statement in statements)


def create(
    editor: "BaseDatabaseSchemaEditor", request: CollectionRequest, key_types: Mapping[str, str]
) -> str:
    """Create a collection in the migration's transaction; one that is there already as asked for is left alone.

    Args:
        key_types: The source's key columns and their PostgreSQL types, for the SQL that sqlmigrate prints.

    Raises:
        CommandError: It cannot be made, or another one of this name holds embeddings.
    """
    alias = editor.connection.alias
    dropped = _cancel_drop(editor, request.name)
    if editor.collect_sql:
        with command_errors():
            return _creation_sql(alias, request, key_types)
    with command_errors():
        ensure_schema(alias)
        connection = psycopg_connection(alias)
        with settings_kept(connection):
            done = _create(connection, request, is_new=not dropped)
    return f"-- imgvec: collection {request.name} {done}"


def _creation_sql(alias: str, request: CollectionRequest, key_types: Mapping[str, str]) -> str:
    """Return what makes a collection where there is none of its name; the column with paths comes first."""
    definition = CollectionDefinition(
        request.name,
        image=request.image_columns,
        model=request.model_name,
        root=request.root,
        source=request.relation,
        key=key_types,
        dimensions=request.dimensions,
        has_text=request.has_text,
        watch=request.watch_columns,
        foreign_key=request.with_foreign_key,
        m=request.hnsw.m,
        ef_construction=request.hnsw.ef_construction,
        prompt=request.prompt,
    )
    try:
        vector = vector_schema_of(alias)
    except DatabaseError:
        # The schema that sqlmigrate imgvec_pg supposes too.
        vector = "public"
    told = f"-- imgvec: create collection {request.name} over {request.relation} by {request.model_name}"
    return f"{told}\n{creating(definition, vector).as_string(None)}"


def _create(connection: Connection, request: CollectionRequest, *, is_new: bool) -> str:
    """Create or change a collection and say what was done."""
    found = [c for c in find_collections(connection, request.name) if c.name == request.name]
    if found and found[0].source_name is not None:
        changes = differences(connection, found[0], request)
        if not changes:
            return "is there already"
        if set(changes) == {"HNSW options"}:
            define_index(connection, found[0], request)
            return "has other HNSW options"
        _refuse_change_under_data(connection, found[0], changes, is_new=is_new)
    if found:
        drop_collection(connection, found[0])
    made = create_collection(connection, request)
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(made.source)).fetchone()
    if row is not None and not row[0]:
        # Nothing to file but what the triggers will. Rows that are there are enqueued by the first worker or backfill,
        # as the table is locked until this migration ends.
        list_source(connection, made)
    return "is created"


@contextmanager
def settings_kept(connection: Connection) -> Iterator[None]:
    """Put back what the library sets for its own transactions, where those are parts of the migration's."""
    before = connection.execute(
        "SELECT current_setting('search_path'), current_setting('lock_timeout')"
    ).fetchone()
    yield
    # After an error they go with the transaction.
    connection.execute(
        "SELECT set_config('search_path', %s, true), set_config('lock_timeout', %s, true)", before
    )


def drop_later(editor: "BaseDatabaseSchemaEditor", name: str) -> str:
    """Have a collection dropped at the end of the migration."""
    editor.deferred_sql.append(DropLater(editor.connection.alias, name))
    return f"-- imgvec: collection {name} is dropped at the end of this migration, or changed by it"


def _cancel_drop(editor: "BaseDatabaseSchemaEditor", name: str) -> bool:
    """Take back a drop: Django changes an index by dropping and creating it."""
    later: list[Any] = editor.deferred_sql
    dropped = [entry for entry in later if isinstance(entry, DropLater) and entry.name == name]
    for entry in dropped:
        later.remove(entry)
    return bool(dropped)


def differences(
    connection: Connection, found: Collection, request: CollectionRequest
) -> dict[str, tuple[object, object]]:
    """Return what a collection has and what is asked for, where they differ."""
    source = describe_source(connection, request.relation, request.key)
    columns = choose_image_columns(source, request.image_columns)
    watched = [column for column in (columns.path, columns.content) if column is not None]
    watched += [column for column in request.watch_columns if column not in watched]
    pairs = {
        "table": (found.shown_source, source.shown),
        "model": (found.model_name, request.model_name),
        "dimensions": (found.dimensions, request.dimensions),
        "image columns": ([found.path_column, found.content_column], [columns.path, columns.content]),
        "watched columns": (list(found.watch_columns), watched),
        "prompt": (found.prompt, request.prompt),
        "foreign key": (found.has_foreign_key, request.with_foreign_key),
        "HNSW options": (
            (found.m, found.ef_construction),
            (request.hnsw.m, request.hnsw.ef_construction),
        ),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _refuse_change_under_data(
    connection: Connection, found: Collection, changes: dict[str, tuple[object, object]], *, is_new: bool
) -> None:
    """Refuse to throw embeddings away for a change.

    Raises:
        CollectionError: There are some.
    """
    table = sql.Identifier("imgvec", found.embedding_table)
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table)).fetchone()
    if row is None or not row[0]:
        return
    told = "; ".join(f"{name} {before} there, {after} asked for" for name, (before, after) in changes.items())
    what = "exists already and" if is_new else "cannot be changed under its data: it"
    raise CollectionError(
        f"collection {found.name} {what} holds embeddings ({told}). Nothing was changed. Give the new one a name of its "
        f'own, collection="{found.name}_2", fill it, and remove the old one later; or drop what is there first: '
        f"manage.py imgvec collection drop {found.name}"
    )


def define_index(connection: Connection, found: Collection, request: CollectionRequest) -> None:
    """Put other HNSW options on record; the index itself is rebuilt beside running searches, by a command."""
    connection.execute(
        load_sql("queries/define_index.sql"),
        {
            "m": request.hnsw.m,
            "ef_construction": request.hnsw.ef_construction,
            "quantization": found.quantization,
            "collection_id": found.id,
        },
    )


def has_schema(connection: Connection) -> bool:
    """Whether imgvec's own tables are there."""
    row = connection.execute("SELECT to_regclass('imgvec.collection') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


def ensure_schema(alias: str) -> None:
    """Create the schema imgvec where it is missing, whichever migration comes first.

    Raises:
        DatabaseError: The extension is missing and may not be created, or PostgreSQL refused.
    """
    if not has_schema(psycopg_connection(alias)):
        upgrade(alias)


def upgrade(alias: str, revision: str = "head") -> None:
    """Bring the schema imgvec to a revision, over a connection and in a transaction of its own."""
    with connect(dsn_of(alias), application_name="imgvec migrate") as connection:
        migrations.upgrade(connection, revision)


def downgrade(alias: str, revision: str = "base") -> None:
    """Take the schema imgvec back to a revision.

    Raises:
        DatabaseError: There are collections still.
    """
    with connect(dsn_of(alias), application_name="imgvec migrate") as connection:
        migrations.downgrade(connection, revision)
