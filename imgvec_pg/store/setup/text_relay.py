"""Text relay: imgvec.relay_request lets plain SQL ask a running worker; needs a superuser, or an owner with a password."""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    create_extension,
    one_line,
    pinned_search_path,
    require_schema,
)
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import DatabaseError

SERVER = "imgvec_primary"
# Whatever the database's defaults are; a session that was left behind hangs up by itself.
SESSION_OPTIONS = (
    "-c search_path=pg_catalog -c idle_session_timeout=5000 -c statement_timeout=10000 -c synchronous_commit=off"
    " -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed"
)
PROOF_MS = 1


@dataclass(frozen=True)
class PasswordLogin:
    """How the second session logs in where no superuser set it up: at the primary itself, not through a pooler."""

    host: str
    port: int
    dbname: str
    user: str
    password: str


def relay_statements(dblink_schema: str, login: PasswordLogin | None) -> list[sql.Composed]:
    """Return what makes the relay anew, in order; without a login it is a superuser's, over the Unix socket."""
    options = sql.Literal(SESSION_OPTIONS)
    statements = [render("words/remove.sql")]
    if login is None:
        connection: sql.Composable = render("words/socket_connection.sql", session_options=options)
        is_standby = sql.SQL("pg_is_in_recovery()")
    else:
        connection, is_standby = sql.Literal(SERVER), sql.SQL("false")
        values = {name: sql.Literal(str(value)) for name, value in vars(login).items()}
        statements.append(render("words/password_server.sql", **values, session_options=options))
        statements.append(render("words/password_mapping.sql", **values))
    dblink = sql.Identifier(dblink_schema)
    statements.append(
        render("words/relay_request.sql", dblink=dblink, connection=connection, is_standby=is_standby)
    )
    return statements


def install_relay(connection: Connection, login: PasswordLogin | None = None) -> None:
    """Make the relay and prove that its second session can be opened; all of it or nothing.

    Raises:
        DatabaseError: The extension dblink cannot be had, this role may not do it so, or the login is refused.
    """
    if login is None:
        require_superuser(connection)
    with connection.transaction():
        connection.execute(load_sql("queries/lock_schema.sql"))
        # It may have gone, with its schema, while this waited.
        require_schema(connection)
        schema = ensure_dblink(connection)
        try:
            with pinned_search_path(connection):
                for statement in relay_statements(schema, login):
                    connection.execute(statement)
            prove_relay(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"the role {connection.info.user} may not set this up ({one_line(error)}); it must own the schema imgvec; "
                "as a superuser run: GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO "
                + sql.Identifier(connection.info.user).as_string(None)
            ) from error


def require_superuser(connection: Connection) -> None:
    """Refuse other roles, whose function dblink would not let connect without a password.

    Raises:
        DatabaseError: This role is no superuser.
    """
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is None or not row[0]:
        raise DatabaseError(
            f"the role {connection.info.user} is no superuser: have one run imgvec words setup, "
            "or log in by password: imgvec words setup --user ROLE"
        )


def ensure_dblink(connection: Connection) -> str:
    """Create the extension dblink where it is missing and return its schema.

    Raises:
        DatabaseError: The server does not offer it, or this role may not create it.
    """
    try:
        create_extension(connection, "dblink")
    except psycopg.errors.FeatureNotSupported as error:
        raise DatabaseError(
            f"this server does not offer the extension dblink ({one_line(error)}); install PostgreSQL's contrib package, "
            "or use CALL imgvec.prepare_text(collection, words)"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not create the extension dblink; "
            "have a superuser run CREATE EXTENSION dblink in this database, then try again"
        ) from error
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'dblink'"
    ).fetchone()
    assert row is not None  # noqa: S101 - it was made above
    return str(row[0])


def prove_relay(connection: Connection) -> None:
    """Open the relay's second session and file a request there that no worker looks at.

    Raises:
        DatabaseError: The session cannot be opened or may not file; or this server is a standby.
    """
    try:
        with connection.transaction():
            row = connection.execute(
                "SELECT outcome FROM imgvec.relay_request(0, NULL, NULL, %s)", [PROOF_MS]
            ).fetchone()
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise
        detail = " ".join((error.diag.message_detail or "").split())
        raise DatabaseError(
            f"the relay's session cannot be opened: {one_line(error)}{f' ({detail})' if detail else ''}; "
            "pg_hba.conf must let the owner of the schema imgvec in, over the local socket without a password, "
            "or with one where --user is given"
        ) from error
    if row is not None and row[0] == "standby":
        raise DatabaseError("this server is a standby: set words up on the primary")


def remove_relay(connection: Connection) -> None:
    """Undo install_relay; the extension dblink stays.

    Raises:
        DatabaseError: The relay belongs to another role.
    """
    try:
        with connection.transaction():
            connection.execute(load_sql("queries/lock_schema.sql"))
            connection.execute(render("words/remove.sql"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not remove this ({one_line(error)}); run it as the role that set it up"
        ) from error
