"""`imgvec migrate`: create or upgrade imgvec's schema."""

import click
import psycopg

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect, needing, one_line
from imgvec_pg.database.hnsw import DATABASE_DEFAULTS
from imgvec_pg.errors import DatabaseError, UsageError
from imgvec_pg.store.setup.grants import missing_roles
from imgvec_pg.store.setup.stale_functions import StaleFunctions, refresh_functions
from imgvec_pg.store.transactions import locked_schema


@click.command()
@dsn_option
@click.option(
    "--sql", "print_sql", is_flag=True, help="Print the SQL instead of running it; needs no server."
)
@click.option(
    "--vector-schema",
    default="public",
    show_default=True,
    help="With --sql: the schema that holds the extension vector.",
)
@click.option(
    "--database-defaults",
    is_flag=True,
    help="Also let index scans go on (hnsw.iterative_scan = strict_order, with more tuples and memory) in all new sessions of "
    "the database, so that near_* with a filter or a large LIMIT seldom run short, and plan cursors for all their rows "
    "(cursor_tuple_fraction = 1), so that one over near_* gives all.",
)
def migrate(dsn: str, print_sql: bool, vector_schema: str, database_defaults: bool) -> None:
    """Create or upgrade imgvec's own schema in a database.

    Everything goes into the schema imgvec, in one transaction, with a version table of its own; nothing of the
    application's is touched. The extension vector is created where it is missing and the role may do so. After ALTER
    EXTENSION vector SET SCHEMA it makes the functions that name the old schema again.

    \b
    Example:
      imgvec migrate --dsn postgresql:///shop
      imgvec migrate --sql > imgvec.sql
    """
    if print_sql:
        if database_defaults:
            raise UsageError("--database-defaults changes a database; it does not go with --sql")
        click.echo(migrations.upgrade_sql(vector_schema), nl=False)
        return
    with (
        connect(dsn, application_name="imgvec migrate") as connection,
        needing(connection, "it takes the owner of the schema imgvec, or CREATE on a database that has none"),
    ):
        with locked_schema(connection):
            before = migrations.current_revision(connection)
            is_newest = before == migrations.newest_revision()
            is_kept_elsewhere = migrations.application_version(connection) is not None
        # The application's own migrations hold the revisions, and have nothing to run.
        if is_newest and is_kept_elsewhere and report_refreshed(refresh_functions(connection)):
            return
        migrations.upgrade(connection)
        report_refreshed(refresh_functions(connection))
        missing = missing_roles(connection)
        with locked_schema(connection):
            after = migrations.current_revision(connection)
        database = connection.info.dbname
        if after is None:
            click.echo(
                f'database "{database}": another session has removed the schema imgvec since', err=True
            )
            return
        if before == after:
            click.echo(f'database "{database}" is up to date (revision {after})')
        else:
            click.echo(f'database "{database}": schema imgvec is now at revision {after}')
        for role in missing:
            click.echo(
                f"role {role} is missing and {connection.info.user} may not create it: as a role with CREATEROLE run "
                f"CREATE ROLE {role} NOLOGIN, then again: imgvec migrate",
                err=True,
            )
        if database_defaults:
            set_database_defaults(connection)
            shown = ", ".join(f"{name} is {value}" for name, value in DATABASE_DEFAULTS.items())
            click.echo(f'database "{database}": {shown} in new sessions')


def report_refreshed(stale: StaleFunctions) -> bool:
    """Say which functions were made again, and whether any was."""
    if stale.names:
        moved = (
            f", as the extension vector is in schema {stale.vector_schema} now" if stale.named_schemas else ""
        )
        click.echo(f"{len(stale.names)} functions of imgvec were made again{moved}")
    return bool(stale.names)


def set_database_defaults(connection: psycopg.Connection) -> None:
    """Turn iterative index scans on for every new session of the database, with tuples and memory to go far.

    Raises:
        DatabaseError: The role does not own the database.
    """
    from psycopg import sql

    from imgvec_pg.database.connect import vector_schema

    schema = vector_schema(connection)
    # A non-superuser may set hnsw.* for a database only in a session that has pgvector's library loaded.
    connection.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
    try:
        with connection.transaction():
            for name, value in DATABASE_DEFAULTS.items():
                statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(connection.info.dbname),
                    sql.Identifier(*name.split(".")),
                    sql.Literal(value),
                )
                connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"only the owner of the database may set its defaults ({one_line(error)}); the schema itself is in place"
        ) from error
