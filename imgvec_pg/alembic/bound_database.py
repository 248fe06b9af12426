"""The database that a migration runs on, whatever the driver: look-ups, and scripts of several statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from alembic.operations import Operations
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.util import await_only

from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import as_alembic_text, load_sql
from imgvec_pg.store.spec import CollectionSpec


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


def find_picture_table(operations: Operations, collection_name: str) -> str | None:
    """Return the name of a collection's table of different pictures, where its index is over these."""
    statement = text(load_sql("alembic/picture_table.sql").as_string(None).rstrip().removesuffix(";"))
    found: str | None = (
        operations.get_bind().execute(statement, {"name": collection_name}).scalar_one_or_none()
    )
    return found


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


def vector_of(operations: Operations) -> str:
    """Return the schema that holds the vector extension.

    Raises:
        MigrationError: It is not installed.
    """
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
