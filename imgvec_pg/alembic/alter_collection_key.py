"""op.alter_collection_key: a collection follows a key whose type an application's revision changes.

Where the source hides rows from roles, the embedding table's policy names the key's columns, and PostgreSQL alters none of
these: it goes before (op.hide_embeddings), and comes back afterwards.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from alembic.operations import MigrateOperation, Operations
from psycopg import sql
from sqlalchemy import Connection, text

from imgvec_pg.alembic.bound_database import (
    execute,
    keeping_settings,
    psycopg_connection,
    require_collection,
    vector_of,
)
from imgvec_pg.alembic.migration_errors import MigrationError, telling
from imgvec_pg.alembic.offline_sql import named
from imgvec_pg.database.sql_templates import render
from imgvec_pg.store.aliases import Alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import policies
from imgvec_pg.store.guarded_columns import full_name, reads_as
from imgvec_pg.store.key_change import alter_key, changes
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec


@Operations.register_operation("alter_collection_key")
class AlterCollectionKeyOp(MigrateOperation):
    """Give a collection's key columns other types.

    Attributes:
        key: What they become, by column.
        old: What they were, for the way back.
    """

    def __init__(self, name: str, key: Mapping[str, str], old: Mapping[str, str]) -> None:
        self.name = name
        self.key = {column: full_name(type_name) for column, type_name in key.items()}
        self.old = dict(old)

    @classmethod
    def alter_collection_key(
        cls,
        operations: Operations,
        name: str,
        key: Mapping[str, str],
        *,
        old: Mapping[str, str] | None = None,
    ) -> None:
        """Have a collection follow its source, whose key is of another type by an op.alter_column beside this; embeddings stay.

        Args:
            key: The types of key columns, {"id": "bigint"} say; a column that is left out keeps its type.
            old: The same as they were, for the way back.

        Raises:
            MigrationError: No such collection or column, or the embedding table cannot follow.
        """
        operations.invoke(cls(name, key, old or {}))

    def reverse(self) -> "AlterCollectionKeyOp":
        """Return what undoes it.

        Raises:
            MigrationError: It does not say what was there before.
        """
        if self.key.keys() != self.old.keys():
            raise MigrationError(
                f'op.alter_collection_key("{self.name}") cannot be undone; expected old={{…}} with {", ".join(self.key)}'
            )
        return AlterCollectionKeyOp(self.name, self.old, self.key)

    def to_diff_tuple(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Return it as `alembic check` shows it."""
        return ("alter_collection_key", self.name, self.old, self.key)


class _NamedOp(MigrateOperation):
    """An operation that takes a collection's name alone."""

    operation = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return it as `alembic check` shows it."""
        return (self.operation, self.name)


@Operations.register_operation("hide_embeddings")
class HideEmbeddingsOp(_NamedOp):
    """Take away the policy by which a collection's embeddings follow the row-level security of their source."""

    operation = "hide_embeddings"

    @classmethod
    def hide_embeddings(cls, operations: Operations, name: str) -> None:
        """Show embeddings to their owner and to workers alone, so that key columns of the source can be altered.

        op.alter_collection_key shows them again as the source does, where the source's types are its own by then.

        Raises:
            MigrationError: No such collection.
        """
        operations.invoke(cls(name))

    def reverse(self) -> "ShowEmbeddingsOp":
        """Return what undoes it."""
        return ShowEmbeddingsOp(self.name)


@Operations.register_operation("show_embeddings")
class ShowEmbeddingsOp(_NamedOp):
    """Put that policy back."""

    operation = "show_embeddings"

    @classmethod
    def show_embeddings(cls, operations: Operations, name: str) -> None:
        """Show embeddings to each role as the source shows its rows; `imgvec collection reconcile` does it too.

        Raises:
            MigrationError: No such collection.
        """
        operations.invoke(cls(name))

    def reverse(self) -> HideEmbeddingsOp:
        """Return what undoes it."""
        return HideEmbeddingsOp(self.name)


@Operations.implementation_for(HideEmbeddingsOp)
def hide(operations: Operations, operation: HideEmbeddingsOp) -> None:
    with telling():
        if not operations.migration_context.as_sql:
            require_collection(operations, CollectionSpec(operation.name))
        _drop_policy(operations, operation.name)


@Operations.implementation_for(ShowEmbeddingsOp)
def show(operations: Operations, operation: ShowEmbeddingsOp) -> None:
    if operations.migration_context.as_sql:
        told = f"run after this script: imgvec collection reconcile {operation.name}"
        execute(operations, sql.SQL("SELECT {} AS imgvec").format(sql.Literal(told)))
        return
    with telling():
        require_collection(operations, CollectionSpec(operation.name))
        collection = find_collection(operations.get_bind(), operation.name)
        assert collection is not None  # noqa: S101 - require_collection() has seen it
        hides_rows = policy_state(operations.get_bind(), collection).hides_rows
        execute(operations, policies(collection, vector_of(operations), hides_rows=hides_rows))


def _drop_policy(operations: Operations, name: str) -> None:
    parts = named(CollectionSpec(name)).parts_without_source("public")
    execute(operations, render("collection/drop_row_policy.sql", **parts))


class PolicyState(NamedTuple):
    """What sql/queries/policy_state.sql gives."""

    follows_source: bool
    has_any: bool
    hides_rows: bool
    may_change: bool


def policy_state(connection: Connection, collection: Collection) -> PolicyState:
    """Return the state of a collection's policy, over whichever driver the application has."""
    values = {"table": collection.embedding_table, "collection_id": collection.id}
    return PolicyState(
        *connection.execute(_bound("queries/policy_state.sql", "table", "collection_id"), values).one()
    )


@Operations.implementation_for(AlterCollectionKeyOp)
def alter(operations: Operations, operation: AlterCollectionKeyOp) -> None:
    name = operation.name
    if operations.migration_context.as_sql:
        # What depends on the key (aliases, policies) only the database knows.
        _drop_policy(operations, name)
        told = f"run after this script: imgvec collection alter-key {name}"
        execute(operations, sql.SQL("SELECT {} AS imgvec").format(sql.Literal(told)))
        return
    with telling():
        require_collection(operations, CollectionSpec(name))
        connection = psycopg_connection(operations)
        collection = find_collection(operations.get_bind(), name)
        assert collection is not None  # noqa: S101 - require_collection() has seen it
        if unknown := sorted(set(operation.key) - set(collection.key_columns)):
            raise MigrationError(
                f'collection "{name}" has no key column {unknown[0]}; expected {", ".join(collection.key_columns)}'
            )
        key_types = [
            operation.key.get(column, before)
            for column, before in zip(collection.key_columns, collection.key_types, strict=True)
        ]
        if key_types == list(collection.key_types):
            return
        if connection is None:
            _alter_by_statements(operations, collection, key_types)
        else:
            with keeping_settings(connection):
                alter_key(connection, get_collection(connection, name), key_types)
        if list(collection.source_key_types or collection.key_types) != key_types:
            # The source is altered after this, which the policy would not allow; op.show_embeddings comes behind that.
            _drop_policy(operations, name)


def find_collection(connection: Connection, name: str) -> Collection | None:
    """Return the collection of this name, over whichever driver the application has."""
    rows = connection.execute(
        _bound("queries/collections.sql", "name", reads_as=reads_as("r")), {"name": name}
    ).mappings()
    return next((Collection(**row) for row in rows if row["name"] == name), None)


def _alter_by_statements(operations: Operations, collection: Collection, key_types: list[str]) -> None:
    """Do what alter_key() does over a driver that is not psycopg."""
    bind = operations.get_bind()
    found = bind.execute(
        _bound("queries/aliases.sql", "name", "collection_id"), {"name": None, "collection_id": collection.id}
    ).mappings()
    aliases = [Alias(**row) for row in found]
    state = policy_state(bind, collection)
    for statement in changes(
        collection,
        key_types,
        vector_of(operations),
        aliases=aliases,
        hides_rows=state.follows_source or state.hides_rows,
    ):
        execute(operations, statement)


def _bound(file: str, *names: str, **parts: sql.Composable) -> Any:  # noqa: ANN401 - a TextClause
    """Return a query of the library's with SQLAlchemy's own parameters."""
    statement = render(file, **parts).as_string(None).rstrip().removesuffix(";").replace(":", "\\:")
    for name in names:
        statement = statement.replace(f"%({name})s", f"(:{name})")
    return text(statement)
