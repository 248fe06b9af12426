"""Create, change and drop collections inside a Django migration."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import connections
from psycopg import sql

from imgvec_pg.alembic.offline_sql import creating
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.django.connection_dsn import command_errors, dsn_of, psycopg_connection, vector_schema_of
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import (
    create_collection,
    drop_collection,
    triggered_tables,
)
from imgvec_pg.store.collection_plan import (
    ALTERABLE,
    Differences,
    alteration,
    differences,
    plan_collection,
    tell_differences,
    tell_remedy,
)
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.setup.database_defaults import plan_cursors_for_all_rows
from imgvec_pg.store.source import resolve_relation
from imgvec_pg.store.spec import CollectionSpec

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class DropLater:
    """The statements that drop a collection, written when Django runs what it delayed to the migration's end."""

    def __init__(self, alias: str, spec: CollectionSpec) -> None:
        self.alias = alias
        self.spec = spec

    @property
    def name(self) -> str:
        """The collection's name."""
        return self.spec.name

    def follow_column(self, source: str, old: str, new: str) -> None:
        """Note that a column of the source was renamed since."""
        if self.spec.source == source:
            image, watch = (
                [new if column == old else column for column in columns]
                for columns in (self.spec.image_columns, self.spec.watch)
            )
            key = {new if column == old else column: kind for column, kind in self.spec.key_types.items()}
            self.spec = replace(self.spec, image=image, watch=watch, key=key)

    def follow_key_type(self, source: str, column: str, type_name: str | None) -> None:
        """Note that a key column of the source has had its type changed since."""
        if self.spec.source == source and column in self.spec.key_types:
            self.spec = replace(self.spec, key={**self.spec.key_types, column: type_name})

    def follow_table(self, old: str, new: str) -> None:
        """Note that a table was renamed since."""
        if self.spec.source == old:
            self.spec = replace(self.spec, source=new)

    def is_renamed_to(self, spec: CollectionSpec) -> bool:
        """Whether a collection has but another name, and what can change while there are embeddings."""
        changeable: dict[str, Any] = {name: getattr(spec, name) for name in CHANGEABLE}
        return replace(self.spec, name=spec.name, **changeable) == spec

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


def create(editor: "BaseDatabaseSchemaEditor", spec: CollectionSpec) -> str:
    """Create a collection in the migration's transaction; one that is there already as declared is left alone.

    Args:
        spec: With the types of its key, for the SQL that sqlmigrate prints.

    Raises:
        CommandError: It cannot be made, or another one of this name holds embeddings.
    """
    alias = editor.connection.alias
    dropped = _cancel_drop(editor, spec.name)
    with command_errors():
        spec = spec.resolve()
        if editor.collect_sql:
            return _creation_sql(alias, spec)
        ensure_schema(alias)
        connection = psycopg_connection(alias)
        with settings_kept(connection):
            done = _create(connection, spec, is_new=not dropped)
    return f"-- imgvec: collection {spec.name} {done}"


def _creation_sql(alias: str, spec: CollectionSpec) -> str:
    """Return what makes a collection where there is none of its name; the column with paths comes first."""
    try:
        vector = vector_schema_of(alias)
    except DatabaseError:
        # The schema that sqlmigrate imgvec_pg supposes too.
        vector = "public"
    told = f"-- imgvec: create collection {spec.name} over {spec.source} by {spec.model}"
    return f"{told}\n{creating(spec, vector).as_string(None)}"


def _create(connection: Connection, spec: CollectionSpec, *, is_new: bool) -> str:
    """Create or change a collection and say what was done."""
    found = [c for c in find_collections(connection, spec.name) if c.name == spec.name]
    if found and found[0].source_name is not None:
        changes = differences(found[0].spec(), plan_collection(connection, spec).collection.spec())
        if not changes:
            return "is there already"
        if set(changes) <= CHANGEABLE:
            change_settings(connection, found[0], spec)
            return f"has other {' and '.join(changes)}"
        _refuse_change_under_data(connection, found[0], changes, is_new=is_new)
    if found:
        drop_collection(connection, found[0])
    made = create_collection(connection, spec)
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


def drop_later(editor: "BaseDatabaseSchemaEditor", spec: CollectionSpec) -> str:
    """Have a collection dropped at the end of the migration."""
    editor.deferred_sql.append(DropLater(editor.connection.alias, spec))
    return f"-- imgvec: collection {spec.name} is dropped at the end of this migration, or changed by it"


def _cancel_drop(editor: "BaseDatabaseSchemaEditor", name: str) -> bool:
    """Take back a drop: Django changes an index by dropping and creating it."""
    dropped = [entry for entry in drops_to_come(editor) if entry.name == name]
    for entry in dropped:
        editor.deferred_sql.remove(entry)
    return bool(dropped)


def cancel_drop_of_twin(editor: "BaseDatabaseSchemaEditor", spec: CollectionSpec) -> str | None:
    """Take back the drop of a collection that is created again under another name, and return the name that it had."""
    for entry in drops_to_come(editor):
        if entry.name != spec.name and entry.is_renamed_to(spec):
            editor.deferred_sql.remove(entry)
            return entry.name
    return None


def drops_to_come(editor: "BaseDatabaseSchemaEditor") -> list[DropLater]:
    """Return what the migration will drop at its end, as far as it has come."""
    return [entry for entry in editor.deferred_sql if isinstance(entry, DropLater)]


INDEX_OPTIONS = ("m", "ef_construction", "index_method", "lists")
CHANGEABLE = {*ALTERABLE, *INDEX_OPTIONS}
"""Fields of a CollectionSpec that can change while a collection holds embeddings."""


def _refuse_change_under_data(
    connection: Connection, found: Collection, changes: Differences, *, is_new: bool
) -> None:
    """Refuse to throw embeddings away for a change.

    Raises:
        CollectionError: There are some.
    """
    table = sql.Identifier("imgvec", found.embedding_table)
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table)).fetchone()
    if row is None or not row[0]:
        return
    what = "exists already and" if is_new else "cannot be changed under its data: it"
    kept = {field: pair for field, pair in changes.items() if field not in CHANGEABLE}
    told = f"collection {found.name} {what} holds embeddings ({tell_differences(kept)}). Nothing was changed"
    if kept.keys() == {"quantization"}:
        raise CollectionError(f"{told}; {tell_remedy(found.name, kept, 'manage.py imgvec')}")
    raise CollectionError(
        f'{told}. Give the new one a name of its own, collection="{found.name}_2", fill it, and remove the old one later; '
        f"or drop what is there first: manage.py imgvec collection drop {found.name}"
    )


def change_settings(connection: Connection, found: Collection, spec: CollectionSpec) -> None:
    """Give a collection what can change while it holds embeddings."""
    connection.execute(alteration(found.name, {name: getattr(spec, name) for name in ALTERABLE}))
    if any(getattr(found, name) != getattr(spec, name) for name in INDEX_OPTIONS):
        define_index(connection, found, spec)


def define_index(connection: Connection, found: Collection, spec: CollectionSpec) -> None:
    """Put other options of the index on record; the index itself is rebuilt beside running searches, by a command."""
    connection.execute(
        load_sql("queries/define_index.sql"),
        {
            "m": spec.m,
            "ef_construction": spec.ef_construction,
            "index_method": spec.index_method,
            "lists": spec.lists,
            "quantization": found.quantization,
            "collection_id": found.id,
        },
    )


def has_schema(connection: Connection) -> bool:
    """Whether imgvec's own tables are there."""
    row = connection.execute("SELECT to_regclass('imgvec.collection') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


def connection_with_schema(alias: str) -> Connection | None:
    """Return the psycopg connection of a Django database that has the schema imgvec; None of any other."""
    django_connection = connections[alias]
    if django_connection.vendor != "postgresql" or not hasattr(django_connection.Database, "pq"):
        return None
    connection = psycopg_connection(alias)
    return connection if has_schema(connection) else None


def collections_over(connection: Connection, table: str) -> list[Collection]:
    """Return the collections of a table, whose name is quoted as in SQL."""
    oid = resolve_relation(connection, table)
    rows = connection.execute("SELECT c.id FROM imgvec.collection AS c WHERE c.source::oid = %s", [oid])
    ids = {row[0] for row in rows}
    return [collection for collection in find_collections(connection) if collection.id in ids]


def ensure_schema(alias: str) -> None:
    """Create the schema imgvec where it is missing, or upgrade that of an earlier release, whichever migration comes first.

    Raises:
        DatabaseError: The extension is missing and may not be created, PostgreSQL refused, or the upgrade, in a session of its
            own, would wait for this migration's transaction.
    """
    connection = psycopg_connection(alias)
    if not has_schema(connection):
        upgrade(alias)
        return
    revision, newest = migrations.current_revision(connection), migrations.newest_revision()
    # What is not known is a newer release's, or none of a release's.
    if revision == newest or revision not in migrations.known_revisions():
        return
    row = connection.execute(load_sql("queries/holds_locks.sql")).fetchone()
    if row is None or row[0]:
        raise DatabaseError(
            f"the schema imgvec is at revision {revision}, this release works with {newest}; "
            "run first: python manage.py migrate imgvec_pg"
        )
    upgrade(alias)


def upgrade(alias: str, revision: str = "head") -> None:
    """Bring the schema imgvec to a revision, over a connection and in a transaction of its own."""
    with connect(dsn_of(alias), application_name="imgvec migrate") as connection:
        migrations.upgrade(connection, revision)
        plan_cursors_for_all_rows(connection)


def downgrade(alias: str, revision: str = "base") -> None:
    """Take the schema imgvec back to a revision.

    Raises:
        DatabaseError: There are collections still.
    """
    with connect(dsn_of(alias), application_name="imgvec migrate") as connection:
        migrations.downgrade(connection, revision)
