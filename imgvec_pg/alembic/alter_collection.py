"""op.alter_collection: another folder or other URLs for a collection that is there."""

from collections.abc import Mapping
from typing import Any

from alembic.operations import MigrateOperation, Operations

from imgvec_pg.alembic.bound_database import execute, require_collection
from imgvec_pg.alembic.migration_errors import MigrationError, telling
from imgvec_pg.store.collection_plan import alteration, find_setting_problems
from imgvec_pg.store.spec import CollectionSpec


@Operations.register_operation("alter_collection")
class AlterCollectionOp(MigrateOperation):
    """Change the root or the URL prefixes of a collection.

    Attributes:
        settings: What they become, by the names of CollectionSpec's fields.
        old: What they were, for the way back.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], old: Mapping[str, Any]) -> None:
        self.name = name
        self.settings = dict(settings)
        self.old = dict(old)

    @classmethod
    def alter_collection(
        cls,
        operations: Operations,
        name: str,
        *,
        old: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        """Change the folder (root) or the URLs (url_prefixes) that a collection's workers may read; embeddings stay.

        Args:
            settings: root, url_prefixes or both; what is left out stays as it is.
            old: The same as they were, for the way back.

        Raises:
            MigrationError: Another option, a value that cannot be used, or no such collection.
        """
        for given in (settings, old or settings):
            for problem in find_setting_problems(given):
                raise MigrationError(f"op.alter_collection: {problem}")
        operations.invoke(cls(name, settings, old or {}))

    def reverse(self) -> "AlterCollectionOp":
        """Return what undoes it.

        Raises:
            MigrationError: It does not say what was there before.
        """
        if self.settings.keys() != self.old.keys():
            raise MigrationError(
                f'op.alter_collection("{self.name}") cannot be undone; expected old={{…}} with {", ".join(self.settings)}'
            )
        return AlterCollectionOp(self.name, self.old, self.settings)

    def to_diff_tuple(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """Return it as `alembic check` shows it."""
        return ("alter_collection", self.name, self.old, self.settings)


@Operations.implementation_for(AlterCollectionOp)
def alter(operations: Operations, operation: AlterCollectionOp) -> None:
    with telling():
        if not operations.migration_context.as_sql:
            require_collection(operations, CollectionSpec(operation.name))
        execute(operations, alteration(operation.name, operation.settings))
