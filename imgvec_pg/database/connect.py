"""Connect to PostgreSQL, with clear errors; check versions and the schema."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

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
    connection_class: type[Connection] = psycopg.Connection,
    **options: Any,  # noqa: ANN401
) -> Connection:
    """Open a connection in autocommit mode.

    Args:
        dsn: libpq connection string or URL; "" takes the PG* environment variables.
        application_name: Shown in pg_stat_activity.
        connection_class: What to make.
        options: Passed on to psycopg.

    Raises:
        ConnectionFailedError: The server cannot be reached or refuses the login.
    """
    try:
        return connection_class.connect(dsn, application_name=application_name, autocommit=True, **options)
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
    """Within one transaction, make PostgreSQL print every name with its schema."""
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog")
        yield


@contextmanager
def pinned_search_path(connection: Connection) -> Iterator[None]:
    """Within a transaction, make names mean PostgreSQL's own, and put the search_path back at the end.

    For statements that create or grant, which a superuser runs too: a function or operator that somebody made in a schema
    on the session's path, for just the types that a call has, would be taken before PostgreSQL's own.
    """
    row = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    yield
    connection.execute("SELECT pg_catalog.set_config('search_path', %s, true)", row)


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
