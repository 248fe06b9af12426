"""op.alter_collection_key: a collection follows a key whose type an application's revision changes."""

from collections.abc import Mapping
from typing import Any

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
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.aliases import Alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import full_name
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


@Operations.implementation_for(AlterCollectionKeyOp)
def alter(operations: Operations, operation: AlterCollectionKeyOp) -> None:
    name = operation.name
    if operations.migration_context.as_sql:
        # What depends on the key (aliases, policies) only the database knows.
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
            return
        with keeping_settings(connection):
            alter_key(connection, get_collection(connection, name), key_types)


def find_collection(connection: Connection, name: str) -> Collection | None:
    """Return the collection of this name, over whichever driver the application has."""
    rows = connection.execute(_bound("queries/collections.sql", "name"), {"name": name}).mappings()
    return next((Collection(**row) for row in rows if row["name"] == name), None)


def _alter_by_statements(operations: Operations, collection: Collection, key_types: list[str]) -> None:
    """Do what alter_key() does over a driver that is not psycopg."""
    bind = operations.get_bind()
    found = bind.execute(
        _bound("queries/aliases.sql", "name", "collection_id"), {"name": None, "collection_id": collection.id}
    ).mappings()
    aliases = [Alias(**row) for row in found]
    state = bind.execute(
        _bound("queries/policy_state.sql", "table", "collection_id"),
        {"table": collection.embedding_table, "collection_id": collection.id},
    ).one()
    for statement in changes(
        collection,
        key_types,
        vector_of(operations),
        aliases=aliases,
        hides_rows=bool(state[0] or state[2]),
    ):
        execute(operations, statement)


def _bound(file: str, *names: str) -> Any:  # noqa: ANN401 - a TextClause
    """Return a query of the library's with SQLAlchemy's own parameters."""
    statement = load_sql(file).as_string(None).rstrip().removesuffix(";").replace(":", "\\:")
    for name in names:
        statement = statement.replace(f"%({name})s", f"(:{name})")
    return text(statement)
