"""`imgvec migrate`: create or upgrade imgvec's schema."""

import click
import psycopg

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect, needing, one_line
from imgvec_pg.errors import DatabaseError, UsageError
from imgvec_pg.store.setup.grants import grant_rights


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
    help="Also set hnsw.iterative_scan = strict_order for the whole database, so that filters never run short.",
)
def migrate(dsn: str, print_sql: bool, vector_schema: str, database_defaults: bool) -> None:
    """Create or upgrade imgvec's own schema in a database.

    Everything goes into the schema imgvec, in one transaction, with a version table of its own; nothing of the
    application's is touched. The extension vector is created where it is missing and the role may do so.

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
        before = migrations.current_revision(connection)
        migrations.upgrade(connection)
        missing = grant_rights(connection)
        after = migrations.current_revision(connection)
        database = connection.info.dbname
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
            click.echo(f'database "{database}": hnsw.iterative_scan is strict_order in new sessions')


def set_database_defaults(connection: psycopg.Connection) -> None:
    """Turn iterative index scans on for every new session of the database.

    Raises:
        DatabaseError: The role does not own the database.
    """
    from psycopg import sql

    from imgvec_pg.database.connect import vector_schema

    schema = vector_schema(connection)
    # A non-superuser may set hnsw.* for a database only in a session that has pgvector's library loaded.
    connection.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
    try:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET hnsw.iterative_scan = strict_order").format(
                sql.Identifier(connection.info.dbname)
            )
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"only the owner of the database may set its defaults ({one_line(error)}); the schema itself is in place"
        ) from error
