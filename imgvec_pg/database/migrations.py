"""Create, upgrade and remove imgvec's own schema with Alembic, beside any tree of the application."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from imgvec_pg.database.connect import Connection, check_pgvector_version, one_line, vector_schema
from imgvec_pg.database.sqlfiles import shipped_directory
from imgvec_pg.errors import DatabaseError


def alembic_config(**attributes: Any) -> Config:  # noqa: ANN401 - Alembic's own bag of values
    """Return a configuration for the shipped migration tree; no alembic.ini is needed."""
    config = Config()
    config.set_main_option("script_location", str(shipped_directory("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config


def newest_revision() -> str:
    """Return the revision that this release of the library works with."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    return head or "base"


def current_revision(connection: Connection) -> str | None:
    """Return the revision the database is at, None when it has none."""
    row = connection.execute("SELECT to_regclass('imgvec.alembic_version')").fetchone()
    if row is None or row[0] is None:
        return None
    found = connection.execute("SELECT version_num FROM imgvec.alembic_version").fetchone()
    return None if found is None else str(found[0])


def ensure_vector_extension(connection: Connection) -> bool:
    """Create the extension vector where it is missing; return whether it was created now.

    Raises:
        DatabaseError: The server does not offer it, it is too old, or the role may not create it.
    """
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if row is not None:
        check_pgvector_version(row[0])
        return False
    offered = connection.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if offered is None:
        raise DatabaseError(
            "this PostgreSQL server does not offer the extension vector; install pgvector 0.8.2 or newer on it "
            "(Debian: postgresql-17-pgvector), then run: imgvec migrate"
        )
    check_pgvector_version(offered[0])
    try:
        connection.execute("CREATE EXTENSION vector")
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role may not create the extension vector ({one_line(error)}); "
            "have a superuser run CREATE EXTENSION vector in this database, then run: imgvec migrate"
        ) from error
    return True


def _with_engine(
    connection: Connection,
    action: Callable[[Config], None],
    **attributes: Any,  # noqa: ANN401
) -> None:
    """Run an Alembic command over a connection of its own to the same database."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            connection.info.dsn, password=connection.info.password, application_name="imgvec migrate"
        ),
        poolclass=sqlalchemy.NullPool,
    )
    try:
        with engine.connect() as sqlalchemy_connection:
            action(alembic_config(connection=sqlalchemy_connection, **attributes))
    except sqlalchemy.exc.DBAPIError as error:
        raise DatabaseError(
            f"the migration was refused and rolled back: {one_line(error.orig or error)}"
        ) from error
    finally:
        engine.dispose()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema imgvec to a revision, in one transaction.

    Raises:
        DatabaseError: pgvector is missing or too old, or the database refused.
    """
    created = ensure_vector_extension(connection)
    schema = vector_schema(connection)
    _with_engine(
        connection,
        lambda config: command.upgrade(config, revision),
        vector_schema=schema,
        created_extension=created,
    )


def downgrade(connection: Connection, revision: str = "base") -> None:
    """Take the schema imgvec back to a revision, in one transaction."""
    _with_engine(
        connection,
        lambda config: command.downgrade(config, revision),
        vector_schema=vector_schema(connection),
    )


def upgrade_sql(schema: str = "public") -> str:
    """Return the whole upgrade as SQL, without connecting.

    Args:
        schema: The schema that holds the vector extension.
    """
    buffer = io.StringIO()
    config = alembic_config(vector_schema=schema)
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return buffer.getvalue()


def versions_directory() -> Path:
    """Return the folder of the revisions, for an application's own `version_locations`."""
    return shipped_directory("migrations") / "versions"
