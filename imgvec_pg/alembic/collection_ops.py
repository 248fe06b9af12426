"""Alembic operations for collections: op.create_collection, op.drop_collection, and the same for triggers and functions alone.

Imported by Alembic as it starts, so it imports of Alembic only what it defines operations with.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import psycopg
from alembic.operations import MigrateOperation, Operations
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.util import await_only

from imgvec_pg.alembic import offline_sql
from imgvec_pg.alembic.migration_errors import MigrationError, telling
from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import as_alembic_text, load_sql
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection as create_in_database
from imgvec_pg.store.collection_ddl import drop_collection as drop_in_database
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

# Below Alembic's own, which is the one that an alembic.ini shows.
log = logging.getLogger("alembic.imgvec_pg")


class CollectionOperation(MigrateOperation):
    """What the operations on collections share.

    Attributes:
        undo: The name of the operation that undoes it.
    """

    name: ClassVar[str]
    undo: ClassVar[str]

    def __init__(self, spec: CollectionSpec) -> None:
        self.spec = spec

    @classmethod
    def invoke_with(cls, operations: Operations, name: str, options: dict[str, Any]) -> None:
        """Run it with a spec's fields.

        Raises:
            MigrationError: An option is none of CollectionSpec's, or has a value that cannot be used.
        """
        known = [field.name for field in fields(CollectionSpec) if field.name != "name"]
        if unknown := sorted(set(options) - set(known)):
            raise MigrationError(f"op.{cls.name} has no option {unknown[0]}; expected {', '.join(known)}")
        with telling():
            operations.invoke(cls(CollectionSpec(name, **options)))

    def reverse(self) -> "CollectionOperation":
        """Return what undoes it.

        Raises:
            MigrationError: The way back takes a whole spec, and this has only a name.
        """
        if self.undo == "create_collection" and not self.spec.is_complete:
            raise MigrationError(
                f'op.{self.name}("{self.spec.name}") cannot be undone without what made it; expected source, image and '
                "model too"
            )
        return OPERATIONS[self.undo](self.spec)

    def to_diff_tuple(self) -> tuple[str, CollectionSpec]:
        """Return it as `alembic check` shows it."""
        return (self.name, self.spec)


OPERATIONS: dict[str, type[CollectionOperation]] = {}


def _register(cls: type[CollectionOperation]) -> type[CollectionOperation]:
    OPERATIONS[cls.name] = cls
    return Operations.register_operation(cls.name)(cls)


@_register
class CreateCollectionOp(CollectionOperation):
    """Create a collection."""

    name = "create_collection"
    undo = "drop_collection"

    @classmethod
    def create_collection(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Create a collection: embedding table, triggers, functions and grants, in the migration's transaction.

        One that is there already, as this defines it, is left alone. No picture is embedded: `imgvec backfill NAME` does that
        and builds the index.

        Args:
            options: The fields of CollectionSpec; source, image and model at least, with --sql the key too.

        Raises:
            MigrationError: It cannot be created.
        """
        cls.invoke_with(operations, name, options)


@_register
class DropCollectionOp(CollectionOperation):
    """Drop a collection."""

    name = "drop_collection"
    undo = "create_collection"

    @classmethod
    def drop_collection(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Drop a collection with all its embeddings; the source stays as it is. None is no error.

        Args:
            options: What made it, for the way back.
        """
        cls.invoke_with(operations, name, options)


@_register
class CreateTriggersOp(CollectionOperation):
    """Make a collection's triggers."""

    name = "create_collection_triggers"
    undo = "drop_collection_triggers"

    @classmethod
    def create_collection_triggers(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Make a collection's triggers anew, on its source and on every partition: for partitions that came later."""
        cls.invoke_with(operations, name, options)


@_register
class DropTriggersOp(CollectionOperation):
    """Drop a collection's triggers."""

    name = "drop_collection_triggers"
    undo = "create_collection_triggers"

    @classmethod
    def drop_collection_triggers(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Drop a collection's triggers, before a bulk load; changes are then found by `imgvec collection reconcile`."""
        cls.invoke_with(operations, name, options)


@_register
class CreateFunctionsOp(CollectionOperation):
    """Make a collection's search functions."""

    name = "create_collection_functions"
    undo = "drop_collection_functions"

    @classmethod
    def create_collection_functions(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Make a collection's search functions anew, with their grants: near_*, search_* and the others."""
        cls.invoke_with(operations, name, options)


@_register
class DropFunctionsOp(CollectionOperation):
    """Drop a collection's search functions."""

    name = "drop_collection_functions"
    undo = "create_collection_functions"

    @classmethod
    def drop_collection_functions(cls, operations: Operations, name: str, **options: Any) -> None:  # noqa: ANN401
        """Drop a collection's search functions; those of its triggers stay."""
        cls.invoke_with(operations, name, options)


@Operations.implementation_for(CreateCollectionOp)
def create(operations: Operations, operation: CreateCollectionOp) -> None:
    with telling():
        spec = operation.spec.resolve()
        if operations.migration_context.as_sql:
            execute(operations, offline_sql.creating(spec, _vector(operations)))
            return
        found = look_up(operations, spec)
        if found is not None:
            if found.model_name != spec.model or not found.is_of_source:
                raise MigrationError(
                    f'collection "{spec.name}" exists already, over {found.source} by {found.model_name}; expected '
                    f"{spec.source} by {spec.model}. Drop it first, or choose another name"
                )
            log.info("collection %s exists already", spec.name)
            return
        connection = psycopg_connection(operations)
        if connection is None:
            execute(operations, offline_sql.creating(spec, _vector(operations)))
            return
        with keeping_settings(connection):
            create_in_database(connection, spec)


@Operations.implementation_for(DropCollectionOp)
def drop(operations: Operations, operation: DropCollectionOp) -> None:
    with telling():
        if operations.migration_context.as_sql:
            execute(operations, offline_sql.dropping(operation.spec))
            return
        if look_up(operations, operation.spec) is None:
            log.info("there is no collection %s", operation.spec.name)
            return
        connection = psycopg_connection(operations)
        if connection is None:
            execute(operations, offline_sql.dropping(operation.spec))
            return
        with keeping_settings(connection):
            drop_in_database(connection, get_collection(connection, operation.spec.name))


@Operations.implementation_for(CreateTriggersOp)
def create_triggers(operations: Operations, operation: CreateTriggersOp) -> None:
    with telling():
        collection = _collection(operations, operation.spec)
        execute(operations, offline_sql.dropping_triggers(collection))
        execute(operations, offline_sql.triggers_everywhere(collection, _vector(operations)))


@Operations.implementation_for(DropTriggersOp)
def drop_triggers(operations: Operations, operation: DropTriggersOp) -> None:
    with telling():
        collection = offline_sql.named(operation.spec)
        execute(operations, offline_sql.dropping_triggers(collection))


@Operations.implementation_for(CreateFunctionsOp)
def create_functions(operations: Operations, operation: CreateFunctionsOp) -> None:
    with telling():
        collection = _collection(operations, operation.spec)
        for statement in offline_sql.functions(collection, _vector(operations)):
            execute(operations, statement)


@Operations.implementation_for(DropFunctionsOp)
def drop_functions(operations: Operations, operation: DropFunctionsOp) -> None:
    with telling():
        execute(operations, offline_sql.dropping_functions(offline_sql.named(operation.spec)))


def psycopg_connection(operations: Operations) -> Connection | None:
    """Return the driver's connection, in whose transaction the migration runs; None where it is another driver's.

    Those (asyncpg, psycopg in an async engine) run the statements of --sql.
    """
    bind = operations.get_bind()
    bind.execute(text("SELECT 1"))  # the transaction begins, so that psycopg's own are savepoints in it
    connection = bind.connection.driver_connection
    return connection if isinstance(connection, psycopg.Connection) else None


@dataclass(frozen=True)
class Registered:
    """A collection that is there: its model, the name of its source, and whether that is the one of the spec."""

    model_name: str
    source: str
    is_of_source: bool


def look_up(operations: Operations, spec: CollectionSpec) -> Registered | None:
    """Return what the registry has under a spec's name.

    Raises:
        MigrationError: The database has no schema imgvec.
    """
    bind = operations.get_bind()
    if bind.execute(text("SELECT to_regclass('imgvec.collection') IS NULL")).scalar_one():
        raise MigrationError("the database has no schema imgvec yet; run first: imgvec migrate")
    statement = text(load_sql("alembic/find_collection.sql").as_string(None).rstrip().removesuffix(";"))
    found = bind.execute(statement, {"name": spec.name, "source": spec.source or ""}).one_or_none()
    return None if found is None else Registered(*found)


@contextmanager
def keeping_settings(connection: Connection) -> Iterator[None]:
    """Put back what the library sets for its own transaction, which is part of the migration's here."""
    row = connection.execute(
        "SELECT current_setting('lock_timeout'), current_setting('search_path')"
    ).fetchone()
    yield
    connection.execute(
        "SELECT set_config('lock_timeout', %s, true), set_config('search_path', %s, true)", row or ()
    )


def require_collection(operations: Operations, spec: CollectionSpec) -> None:
    """Check that a collection is there.

    Raises:
        MigrationError: It is not.
    """
    if look_up(operations, spec) is None:
        raise MigrationError(f'collection "{spec.name}" does not exist; op.create_collection makes it')


def _collection(operations: Operations, spec: CollectionSpec) -> Collection:
    if not operations.migration_context.as_sql:
        require_collection(operations, spec)
        connection = psycopg_connection(operations)
        if connection is not None:
            return get_collection(connection, spec.name)
    return offline_sql.planned_collection(spec.resolve())


def _vector(operations: Operations) -> str:
    context = operations.migration_context
    if context.as_sql:
        return str(context.opts.get("imgvec_vector_schema", "public"))
    connection = psycopg_connection(operations)
    if connection is not None:
        return vector_schema(connection)
    schema = operations.get_bind().execute(as_alembic_text("alembic/vector_schema.sql")).scalar_one_or_none()
    if schema is None:
        raise MigrationError(
            "the extension vector (pgvector) is not installed in this database; run: imgvec migrate"
        )
    return str(schema)


def execute(operations: Operations, statement: sql.Composed) -> None:
    """Run one or more statements, or write them into the script."""
    plain = statement.as_string(None).rstrip().removesuffix(";")
    if not operations.migration_context.as_sql and operations.get_bind().dialect.driver == "asyncpg":
        _execute_by_asyncpg(operations, plain)
        return
    operations.execute(text(plain.replace(":", "\\:")))


def _execute_by_asyncpg(operations: Operations, script: str) -> None:
    """Run a script by the simple protocol: asyncpg prepares what SQLAlchemy hands it, which may be one statement only."""
    bind = operations.get_bind()
    bind.execute(text("SELECT 1"))  # the transaction begins
    try:
        driver_connection: Any = bind.connection.driver_connection
        await_only(driver_connection.execute(script))
    except Exception as error:
        if getattr(error, "sqlstate", None) is None:
            raise
        raise MigrationError(f"PostgreSQL: {' '.join(str(error).split())}") from error
