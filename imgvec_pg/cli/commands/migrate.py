"""`imgvec migrate`: create or upgrade imgvec's schema."""

import click

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect, needing
from imgvec_pg.database.index_methods.hnsw import CURSOR_DEFAULT, DATABASE_DEFAULTS
from imgvec_pg.errors import DatabaseError, UsageError
from imgvec_pg.shards.stale_spans import refresh_spans
from imgvec_pg.store.setup.database_defaults import (
    CursorPlans,
    plan_cursors_for_all_rows,
    set_database_defaults,
    setting_default,
)
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
    "--database-defaults/--no-database-defaults",
    default=None,
    help="Also let index scans go on (hnsw.iterative_scan = strict_order, with more tuples and memory) in all new sessions of "
    "the database, so that near_* with a filter or a large LIMIT seldom run short; or leave cursor_tuple_fraction alone too.",
)
def migrate(dsn: str, print_sql: bool, vector_schema: str, database_defaults: bool | None) -> None:
    """Create or upgrade imgvec's own schema in a database.

    Everything goes into the schema imgvec, in one transaction, with a version table of its own; nothing of the
    application's is touched. The extension vector is created where it is missing and the role may do so. After ALTER
    EXTENSION vector SET SCHEMA it makes the functions that name the old schema again.

    A database's owner also has new sessions plan cursors for all their rows (cursor_tuple_fraction = 1), unless the database
    has a value of its own: planned for its first tenth, a cursor over near_* reads the index and ends after hnsw.ef_search rows.

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
        if is_newest and is_kept_elsewhere:
            is_healed = refresh(connection)
            if report_defaults(connection, database_defaults, is_new=False) or is_healed:
                return
        migrations.upgrade(connection)
        refresh(connection)
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
        report_defaults(connection, database_defaults, is_new=before != after)


def refresh(connection: Connection) -> bool:
    """Make the functions again that are not this release's, say which, and return whether there were any."""
    is_healed = report_refreshed(refresh_functions(connection))
    try:
        of_shards = refresh_spans(connection)
    except DatabaseError as error:
        click.echo(f"the search over shards was left as it is: {error}", err=True)
        return is_healed
    if of_shards:
        click.echo(f"{len(of_shards)} functions of the search over shards were made again")
    return is_healed or bool(of_shards)


def report_refreshed(stale: StaleFunctions) -> bool:
    """Say which functions were made again, and whether any was."""
    if stale.names:
        moved = (
            f", as the extension vector is in schema {stale.vector_schema} now" if stale.named_schemas else ""
        )
        click.echo(f"{len(stale.names)} functions of imgvec were made again{moved}")
    return bool(stale.names)


def report_defaults(connection: Connection, wanted: bool | None, *, is_new: bool) -> bool:
    """Set the database's defaults that are wanted, and say which; return whether any was set now.

    Args:
        wanted: All of them, or none; None for that of cursors alone, where it is this role's to decide.
        is_new: Whether to say, too, that it is not.
    """
    defaults = dict([CURSOR_DEFAULT])
    database = connection.info.dbname
    if wanted:
        set_database_defaults(connection)
        defaults = DATABASE_DEFAULTS
    elif wanted is not None:
        return False
    else:
        plans = plan_cursors_for_all_rows(connection)
        if plans is CursorPlans.OF_ANOTHER_OWNER and is_new:
            statement = setting_default(connection, *CURSOR_DEFAULT).as_string(connection)
            click.echo(
                f'a cursor over near_* may end after hnsw.ef_search rows; the owner of database "{database}" can change that: '
                f"{statement}",
                err=True,
            )
        if plans is not CursorPlans.NOW_FOR_ALL_ROWS:
            return False
    shown = ", ".join(f"{name} is {value}" for name, value in defaults.items())
    click.echo(f'database "{database}": {shown} in new sessions')
    return True
