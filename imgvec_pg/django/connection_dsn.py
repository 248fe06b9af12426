"""Convert Django's database connection to a DSN and a psycopg connection."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, TransactionStatus

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import DatabaseError, ImgvecError, UsageError, advising

COMMAND = "python manage.py imgvec"
VECTOR_SCHEMA_SECONDS = 5.0
_vector_schemas: dict[tuple[str, str], tuple[str, float]] = {}
"""By database: the schema, and until when it is taken to be there."""


def require_postgresql(alias: str) -> None:
    """Refuse a database that is not PostgreSQL by psycopg 3.

    Raises:
        DatabaseError: It is another.
        UsageError: There is none of this name.
    """
    try:
        vendor = connections[alias].vendor
    except ConnectionDoesNotExist:
        known = ", ".join(connections)
        raise UsageError(f'there is no database "{alias}" in DATABASES; expected one of: {known}') from None
    if vendor != "postgresql":
        others = [name for name in connections if connections[name].vendor == "postgresql"]
        cure = f"name the other one: --database {others[0]}" if others else f'set DATABASES["{alias}"]'
        raise DatabaseError(
            f'the database "{alias}" is {vendor}; expected PostgreSQL with pgvector: {cure}, or keep '
            "image search off it with a database router"
        )
    if not hasattr(connections[alias].Database, "pq"):
        raise DatabaseError(
            "Django works with psycopg2 here; expected psycopg 3: uninstall psycopg2, pip install psycopg"
        )


def dsn_of(alias: str) -> str:
    """Return libpq's connection string for a Django database: DATABASES[alias], with OPTIONS that libpq knows.

    Raises:
        DatabaseError: It is no PostgreSQL.
    """
    require_postgresql(alias)
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters: dict[str, Any] = connections[alias].get_connection_params()
    return make_conninfo("", **{name: value for name, value in parameters.items() if name in known})


def psycopg_connection(alias: str) -> Connection:
    """Return the psycopg connection that Django holds, in Django's transaction where there is one.

    Raises:
        DatabaseError: It is no PostgreSQL.
    """
    require_postgresql(alias)
    django_connection = connections[alias]
    django_connection.ensure_connection()
    connection: Connection = django_connection.connection
    if django_connection.in_atomic_block and connection.info.transaction_status == TransactionStatus.IDLE:
        # Django begins late. psycopg's transaction() would take itself for the outermost, and commit.
        connection.execute("SELECT")
    return connection


def vector_schema_of(alias: str) -> str:
    """Return the schema of the vector extension in a Django database, as it was at most five seconds ago.

    It may be moved while a process runs: ALTER EXTENSION vector SET SCHEMA.
    """
    key = (alias, str(connections[alias].settings_dict["NAME"]))
    schema, until = _vector_schemas.get(key, ("", 0.0))
    if time.monotonic() >= until:
        schema = vector_schema(psycopg_connection(alias))
        _vector_schemas[key] = schema, time.monotonic() + VECTOR_SCHEMA_SECONDS
    return schema


def setting(name: str, default: Any = None) -> Any:  # noqa: ANN401 - a project's own value
    """Return settings.IMGVEC[name]."""
    return getattr(settings, "IMGVEC", {}).get(name, default)


def hints_for_django() -> AbstractContextManager[None]:
    """Have the library's errors name its commands as a Django project runs them."""
    return advising(COMMAND)


@contextmanager
def command_errors() -> Iterator[None]:
    """Turn the library's errors into one line of a management command."""
    try:
        with hints_for_django():
            yield
    except ImgvecError as error:
        raise CommandError(str(error), returncode=error.exit_code) from error
    except psycopg.OperationalError as error:
        raise CommandError(f"the connection to PostgreSQL was lost ({error})", returncode=3) from error
