"""Alembic operations for collections: op.create_collection, op.drop_collection, and the same for triggers and functions alone.

Imported by Alembic as it starts, so it imports of Alembic only what it defines operations with.
"""

import logging
from dataclasses import fields
from typing import Any, ClassVar

from alembic.operations import MigrateOperation, Operations

from imgvec_pg.alembic import offline_sql
from imgvec_pg.alembic.bound_database import (
    execute,
    keeping_settings,
    look_up,
    psycopg_connection,
    require_collection,
    vector_of,
)
from imgvec_pg.alembic.migration_errors import MigrationError, telling
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
            execute(operations, offline_sql.creating(spec, vector_of(operations)))
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
            execute(operations, offline_sql.creating(spec, vector_of(operations)))
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
        execute(operations, offline_sql.triggers_everywhere(collection, vector_of(operations)))


@Operations.implementation_for(DropTriggersOp)
def drop_triggers(operations: Operations, operation: DropTriggersOp) -> None:
    with telling():
        collection = offline_sql.named(operation.spec)
        execute(operations, offline_sql.dropping_triggers(collection))


@Operations.implementation_for(CreateFunctionsOp)
def create_functions(operations: Operations, operation: CreateFunctionsOp) -> None:
    with telling():
        collection = _collection(operations, operation.spec)
        for statement in offline_sql.functions(collection, vector_of(operations)):
            execute(operations, statement)


@Operations.implementation_for(DropFunctionsOp)
def drop_functions(operations: Operations, operation: DropFunctionsOp) -> None:
    with telling():
        execute(operations, offline_sql.dropping_functions(offline_sql.named(operation.spec)))


def _collection(operations: Operations, spec: CollectionSpec) -> Collection:
    if not operations.migration_context.as_sql:
        require_collection(operations, spec)
        connection = psycopg_connection(operations)
        if connection is not None:
            return get_collection(connection, spec.name)
    return offline_sql.planned_collection(spec.resolve())
