"""Settings that imgvec makes the default of a database's new sessions."""

from enum import Enum

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.index_methods.hnsw import CURSOR_DEFAULT, DATABASE_DEFAULTS
from imgvec_pg.database.migrations import again_after_races
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import DatabaseError


class CursorPlans(Enum):
    """How new sessions of a database plan cursors, and why."""

    FOR_ALL_ROWS = "so before"
    AS_CHOSEN = "the database or the server has another value, which stays"
    OF_ANOTHER_OWNER = "only the database's owner may set it"
    NOW_FOR_ALL_ROWS = "so since now"


def plan_cursors_for_all_rows(connection: Connection) -> CursorPlans:
    """Have new sessions plan a cursor for all its rows, where this role owns the database and nobody has chosen otherwise.

    PostgreSQL plans one for its first tenth, which an HNSW index gives fastest: a cursor over near_* in the order of the
    distance then ends after hnsw.ef_search rows, without a word.
    """
    name, value = CURSOR_DEFAULT
    row = connection.execute(load_sql("queries/cursor_plans.sql"), {"name": name}).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    of_database, of_server, is_owner = row
    chosen = of_database or of_server
    if chosen is not None:
        return CursorPlans.FOR_ALL_ROWS if float(chosen) == float(value) else CursorPlans.AS_CHOSEN
    if not is_owner:
        return CursorPlans.OF_ANOTHER_OWNER
    again_after_races(lambda: connection.execute(setting_default(connection, name, value)))
    return CursorPlans.NOW_FOR_ALL_ROWS


def set_database_defaults(connection: Connection) -> None:
    """Turn iterative index scans on for every new session of the database, with tuples and memory to go far.

    Raises:
        DatabaseError: The role does not own the database.
    """
    schema = vector_schema(connection)
    # A non-superuser may set hnsw.* for a database only in a session that has pgvector's library loaded.
    connection.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
    try:
        with connection.transaction():
            for name, value in DATABASE_DEFAULTS.items():
                connection.execute(setting_default(connection, name, value))
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"only the owner of the database may set its defaults ({one_line(error)}); the schema itself is in place"
        ) from error


def setting_default(connection: Connection, name: str, value: str) -> sql.Composed:
    """Return the statement that gives this database's new sessions a setting."""
    return sql.SQL("ALTER DATABASE {} SET {} = {}").format(
        sql.Identifier(connection.info.dbname), sql.Identifier(*name.split(".")), sql.Literal(value)
    )
