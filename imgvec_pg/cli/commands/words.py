"""`imgvec words`: set up text queries in plain SQL, and the cache of text embeddings."""

import getpass
import os
import sys

import click

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.store.setup.text_relay import PasswordLogin, install_relay, relay_statements, remove_relay

PASSWORD_VARIABLE = "IMGVEC_WORDS_PASSWORD"  # noqa: S105 - a name, not a password


@click.group()
def words() -> None:
    """Let plain SQL find words: queries ask a running worker.

    \b
    Example:
      imgvec words setup
      imgvec worker product_clip &
      psql -c "SELECT * FROM imgvec.near_product_clip_text('red shoes') ORDER BY distance LIMIT 5"
    """


@words.command()
@dsn_option
@click.option(
    "--user",
    metavar="ROLE",
    help="Log in by password as this role, the owner of the schema imgvec: where you are no superuser.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="With --user: where the primary listens."
)
@click.option("--port", type=click.IntRange(1, 65535), help="With --user  [default: this connection's]")
@click.option(
    "--sql", "print_sql", is_flag=True, help="Print the SQL instead of running it; needs no server."
)
@click.option(
    "--dblink-schema",
    default="public",
    show_default=True,
    help="With --sql: the schema that holds the extension dblink.",
)
def setup(
    dsn: str, user: str | None, host: str, port: int | None, print_sql: bool, dblink_schema: str
) -> None:
    """Make imgvec.embed_text and near_*_text ask a running worker for words that are not cached.

    Needs the extension dblink. A superuser runs it as it is: queries then go through the local socket. An owner of the
    schema imgvec who is no superuser gives --user and a password (asked for, or IMGVEC_WORDS_PASSWORD), and the server
    must really ask for it. One request proves that it works; otherwise nothing is changed. Run it again to change the way.

    \b
    Example:
      imgvec words setup
      imgvec words setup --user shop_owner --host 127.0.0.1
    """
    if print_sql:
        login = None if user is None else PasswordLogin(host, port or 5432, "DATABASE", user, "PASSWORD")
        click.echo("CREATE EXTENSION IF NOT EXISTS dblink;")
        for statement in relay_statements(dblink_schema, login):
            click.echo(statement.as_string(None), nl=False)
        return
    with connect(dsn, application_name="imgvec words") as connection:
        require_schema(connection)
        info = connection.info
        login = (
            None
            if user is None
            else PasswordLogin(host, port or info.port, info.dbname, user, read_password(user))
        )
        install_relay(connection, login)
        click.echo(f'database "{info.dbname}": queries can ask workers for words; run one: imgvec worker')


def read_password(user: str) -> str:
    """Return the role's password from the environment, or ask for it on a terminal.

    Raises:
        UsageError: There is neither.
    """
    given = os.environ.get(PASSWORD_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise UsageError(f"no password for the role {user}: set {PASSWORD_VARIABLE}")
    return getpass.getpass(f"Password of {user}: ")


@words.command()
@dsn_option
def remove(dsn: str) -> None:
    """Undo `imgvec words setup`: queries find cached words only. The extension dblink stays.

    \b
    Example:
      imgvec words remove
    """
    with connect(dsn, application_name="imgvec words") as connection:
        require_schema(connection)
        remove_relay(connection)
    click.echo("queries find cached words only")
