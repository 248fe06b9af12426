"""Connect to PostgreSQL, with clear errors; check versions and the schema."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from imgvec_pg.database.session_settings import OwnConnection, prepare_session
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ConnectionFailedError, DatabaseError
from imgvec_pg.redaction import hide_parts_of

Connection = psycopg.Connection[TupleRow]

# CVE-2026-3172: a parallel HNSW build of older releases reads past its buffer.
MINIMUM_PGVECTOR = (0, 8, 2)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line; of PostgreSQL's, without the statement that it met."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return re.sub(r"\s+", " ", primary or str(error)).strip()


def connect(
    dsn: str,
    *,
    application_name: str = "imgvec",
    connection_class: type[OwnConnection] = OwnConnection,
    autocommit: bool = True,
    **options: Any,  # noqa: ANN401
) -> Connection:
    """Open a connection, with the settings that the library relies on (`session_settings`).

    Text travels as UTF-8 whatever the database's encoding. Nothing is prepared by itself: a pooler may give each
    transaction another session.

    Args:
        dsn: libpq connection string or URL; "" takes the PG* environment variables.
        application_name: Shown in pg_stat_activity.
        connection_class: What to make.
        autocommit: Each statement outside `transaction()` is a transaction of its own.
        options: Passed on to psycopg.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
    """
    prepared = {"application_name": application_name, "client_encoding": "UTF8", "prepare_threshold": None}
    try:
        made = _connect_to_primary(connection_class, dsn, {**prepared, **options, "autocommit": True})
        try:
            prepare_session(made)
            made.autocommit = autocommit
        except BaseException:
            made.close()
            raise
        return made
    except psycopg.ProgrammingError as error:
        raise ConnectionFailedError(
            f"the connection string is not valid ({hide_parts_of(dsn, one_line(error))}); "
            "expected postgresql://user@host/database or PG* variables"
        ) from error
    except psycopg.OperationalError as error:
        raise ConnectionFailedError(
            f"cannot connect to PostgreSQL: {hide_parts_of(dsn, refusal(error))}; "
            "check --dsn, IMGVEC_DSN or the PG* variables, and that the server runs"
        ) from error


def _connect_to_primary(kind: type[OwnConnection], dsn: str, options: dict[str, Any]) -> OwnConnection:
    """Connect; of several hosts to the one that takes writes, where there is one."""
    if "target_session_attrs" not in options and chooses_host(dsn):
        with suppress(psycopg.OperationalError):
            return kind.connect(dsn, **options, target_session_attrs="read-write")
    return kind.connect(dsn, **options)


def chooses_host(dsn: str) -> bool:
    """Whether a connection string, or libpq's variables, name several hosts and not which kind of server is meant."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return False
    if given.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS"):
        return False
    hosts = given.get("host") or given.get("hostaddr")
    hosts = hosts or os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or ""
    return "," in str(hosts)


def refusal(error: psycopg.OperationalError) -> str:
    """Return libpq's reason without the words that this message says itself."""
    reason = one_line(error).removeprefix("connection is bad: ").removeprefix("connection failed: ")
    return re.sub(r"Is the server running (locally|on that host).*?\?", "", reason).strip(" .?")


def vector_schema(connection: Connection) -> str:
    """Return the schema that holds the vector extension.

    Raises:
        DatabaseError: The extension is missing or too old.
    """
    row = connection.execute(
        "SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    ).fetchone()
    if row is None:
        raise DatabaseError(
            "the extension vector (pgvector) is not installed in this database; run: imgvec migrate"
        )
    check_pgvector_version(row[1])
    return str(row[0])


def create_extension(connection: Connection, name: str) -> None:
    """Create an extension unless it is there: in the first schema of the search_path, in `public` where that has none.

    Raises:
        DatabaseError: There is no schema to create it in.
        psycopg.Error: The server does not offer it, or the role may not create it.
    """
    row = connection.execute(
        "SELECT coalesce(pg_catalog.current_schema()::text,"
        " (SELECT 'public' FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'public'))"
    ).fetchone()
    if row is None or row[0] is None:
        raise DatabaseError(
            f"the search_path of {connection.info.user} names no schema, so there is none to create the extension {name} in; "
            f"run CREATE EXTENSION {name} SCHEMA …, then the same command again"
        )
    statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(row[0])))


def version_tuple(version: str) -> tuple[int, ...]:
    """Return "0.8.2" as (0, 8, 2)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def check_pgvector_version(version: str) -> None:
    """Refuse a pgvector below 0.8.2.

    Raises:
        DatabaseError: It is older.
    """
    if version_tuple(version) < MINIMUM_PGVECTOR:
        raise DatabaseError(
            f"pgvector is {version}, 0.8.2 or newer is needed (CVE-2026-3172); "
            "install it on the server, then run: ALTER EXTENSION vector UPDATE"
        )


def require_schema(connection: Connection) -> None:
    """Check that imgvec's own tables are there.

    Raises:
        DatabaseError: They are not, or this role may not use them.
    """
    database = connection.info.dbname
    try:
        row = connection.execute("SELECT to_regclass('imgvec.collection')").fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        role = connection.info.user
        raise DatabaseError(
            f'the role {role} may not use imgvec in database "{database}"; have its owner run '
            f"GRANT imgvec_reader (to search) or imgvec_worker (to fill) TO {sql.Identifier(role).as_string(None)}"
        ) from error
    if row is None or row[0] is None:
        raise DatabaseError(f'database "{database}" has no imgvec tables yet; run: imgvec migrate')


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler such as pgbouncer stands before a connection of the library's own."""
    return isinstance(connection, OwnConnection) and connection.is_pooled


def execute_alone(connection: Connection, statement: sql.Composed) -> None:
    """Run what no transaction may hold, such as CREATE INDEX CONCURRENTLY: not within the one that a pooler calls for."""
    psycopg.Cursor(connection).execute(statement)


@contextmanager
def session_changed(connection: Connection, **settings: str) -> Iterator[None]:
    """Change settings of the session for a while, as for a statement that no transaction may hold, and put them back.

    Behind a pooler nothing is changed: the statement may run in one session, and the change stay in another.
    """
    before = {} if is_pooled(connection) else _change(connection, settings, is_local=False)
    try:
        yield
    finally:
        if not connection.closed:
            _change(connection, before, is_local=False)


@contextmanager
def transaction_changed(connection: Connection, **settings: str) -> Iterator[None]:
    """Within a transaction, change settings for a while; they are put back at the end, or after an error go with it."""
    before = _change(connection, settings, is_local=True)
    yield
    _change(connection, before, is_local=True)


def _change(connection: Connection, settings: Mapping[str, str], *, is_local: bool) -> dict[str, str]:
    """Change settings by name and return what they were."""
    values = {"names": list(settings), "values": list(settings.values()), "is_local": is_local}
    rows = connection.execute(load_sql("queries/change_settings.sql"), values).fetchall() if settings else []
    return {str(name): str(before) for name, before, _ in rows}


@contextmanager
def needing(connection: Connection, needed: str) -> Iterator[None]:
    """Say which right is needed where PostgreSQL only says which object was refused.

    Raises:
        DatabaseError: The role lacks a right.
    """
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not do this ({one_line(error)}); {needed}"
        ) from error


@contextmanager
def plain_search_path(connection: Connection) -> Iterator[None]:
    """Within one transaction, make PostgreSQL print every name with its schema, quoted where it must be."""
    settings = {"search_path": "pg_catalog", "quote_all_identifiers": "off"}
    with connection.transaction(), transaction_changed(connection, **settings):
        yield


@contextmanager
def pinned_search_path(connection: Connection) -> Iterator[None]:
    """Within a transaction, make names mean PostgreSQL's own, and put the search_path back at the end.

    For statements that create or grant, which a superuser runs too: a function or operator that somebody made in a schema
    on the session's path, for just the types that a call has, would be taken before PostgreSQL's own.
    """
    with transaction_changed(connection, search_path="pg_catalog, pg_temp"):
        yield


@contextmanager
def lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Run one transaction that gives up rather than queue behind a long one.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    try:
        with connection.transaction():
            connection.execute(
                sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{milliseconds}ms"))
            )
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise DatabaseError(
            f"another session holds a lock on the table for longer than {milliseconds} ms; nothing was changed. "
            "Try again, or give a longer --lock-timeout"
        ) from error
