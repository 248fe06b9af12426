"""Django migration operations: the schema imgvec, and the HNSW index of a filled collection."""

from typing import TYPE_CHECKING

from django.db import router
from django.db.migrations.operations.base import Operation

from imgvec_pg.database.migrations import downgrade_sql, upgrade_sql
from imgvec_pg.database.sql_templates import render
from imgvec_pg.django import collection_ops
from imgvec_pg.django.connection_dsn import command_errors, psycopg_connection
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.index.build import BuildOptions, build_index
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.index.swap import replace_index
from imgvec_pg.store.registry import get_collection

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState


class UpgradeSchema(Operation):
    """Bring the schema imgvec from one revision of the library to the next, and back.

    It is the same collection_ops, with the same version table, that `imgvec migrate` makes: either may run first.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, revision: str, previous: str = "base") -> None:
        self.revision = revision
        self.previous = previous

    def state_forwards(self, app_label: str, state: "ProjectState") -> None:
        """No model changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: "BaseDatabaseSchemaEditor",
        from_state: "ProjectState",
        to_state: "ProjectState",
    ) -> None:
        """Upgrade."""
        alias = schema_editor.connection.alias
        if not router.allow_migrate(alias, app_label):
            return
        if schema_editor.collect_sql:
            revisions = self.revision if self.previous == "base" else f"{self.previous}:{self.revision}"
            schema_editor.collected_sql.append(upgrade_sql(revisions=revisions))
            return
        with command_errors():
            collection_ops.upgrade(alias, self.revision)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: "BaseDatabaseSchemaEditor",
        from_state: "ProjectState",
        to_state: "ProjectState",
    ) -> None:
        """Downgrade; refused while there are collections."""
        alias = schema_editor.connection.alias
        if not router.allow_migrate(alias, app_label):
            return
        if schema_editor.collect_sql:
            printed = (
                render("drop_schema_objects.sql").as_string(None)
                if self.previous == "base"
                else downgrade_sql(f"{self.revision}:{self.previous}")
            )
            schema_editor.collected_sql.append(printed)
            return
        with command_errors():
            collection_ops.downgrade(alias, self.previous)

    def describe(self) -> str:
        """Say what it does."""
        return f"Bring the schema imgvec to revision {self.revision}"

    @property
    def migration_name_fragment(self) -> str:
        """Return what a migration is called after."""
        return f"imgvec_{self.revision}"


class BuildIndex(Operation):
    """Build a collection's HNSW index CONCURRENTLY, in a migration with `atomic = False`.

    `manage.py imgvec backfill` does the same after the first fill. An index that a killed migration left INVALID is
    built anew when the migration runs again; one with other options than the model asks for is replaced, and in use
    until then. Backwards nothing is done: an index harms nobody.
    """

    reversible = True
    reduces_to_sql = False
    atomic = False

    def __init__(self, collection: str) -> None:
        self.collection = collection

    def state_forwards(self, app_label: str, state: "ProjectState") -> None:
        """No model changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: "BaseDatabaseSchemaEditor",
        from_state: "ProjectState",
        to_state: "ProjectState",
    ) -> None:
        """Build."""
        alias = schema_editor.connection.alias
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append(f"-- imgvec: build the HNSW index of {self.collection}")
            return
        if not router.allow_migrate(alias, app_label):
            return
        with command_errors():
            if schema_editor.connection.in_atomic_block:
                raise DatabaseError(
                    f"the index of {self.collection} is built CONCURRENTLY, which no transaction may hold; "
                    "expected atomic = False in the migration"
                )
            connection = psycopg_connection(alias)
            collection = get_collection(connection, self.collection)
            states = index_states(connection, collection)
            if any(s.is_valid and not s.is_made_as(collection) and not s.is_parent for s in states):
                replace_index(connection, collection, BuildOptions(), again="manage.py migrate")
            else:
                build_index(connection, collection)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: "BaseDatabaseSchemaEditor",
        from_state: "ProjectState",
        to_state: "ProjectState",
    ) -> None:
        """Leave the index."""

    def describe(self) -> str:
        """Say what it does."""
        return f"Build the HNSW index of collection {self.collection}"

    @property
    def migration_name_fragment(self) -> str:
        """Return what a migration is called after."""
        return f"build_{self.collection}"
