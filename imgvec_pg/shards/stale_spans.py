"""Functions over shards that are not as this release makes them: an extension was moved, they are older, or one is gone."""

from collections.abc import Iterator

from psycopg import sql

from imgvec_pg.database.connect import Connection, pinned_search_path
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.shards.coordinator import grant_search, search_parts, sharded_key
from imgvec_pg.shards.servers import shared_functions
from imgvec_pg.store.setup.stale_functions import stale_names

HAS_SHARDS = "SELECT to_regclass('imgvec.sharded_collection') IS NOT NULL"


def find_stale_spans(connection: Connection) -> list[str]:
    """Return the names of the functions that are to be made again; none where no collection spans shards.

    Raises:
        DatabaseError: The extension vector or dblink is missing.
    """
    return sorted(stale_names(connection, _statements(connection)))


def refresh_spans(connection: Connection) -> list[str]:
    """Make them again, in one transaction, and return which. Grants and what depends on them stay.

    Raises:
        DatabaseError: The extension vector or dblink is missing.
    """
    with connection.transaction(), pinned_search_path(connection):
        connection.execute(load_sql("queries/lock_schema.sql"))
        stale = find_stale_spans(connection)
        if stale:
            for statement in _statements(connection):
                connection.execute(statement)
    return stale


def _statements(connection: Connection) -> Iterator[sql.Composed]:
    """Give the statements that make all functions of collections that span shards."""
    row = connection.execute(HAS_SHARDS).fetchone()
    if row is None or not row[0]:
        return
    spans = connection.execute(load_sql("shards/spans.sql")).fetchall()
    if spans:
        yield shared_functions(connection)
    for name, columns, types, dimensions, settings in spans:
        parts = search_parts(connection, name, sharded_key(columns, types), dimensions, settings)
        yield render("shards/search.sql", **{**parts, "create": sql.SQL("CREATE OR REPLACE FUNCTION")})
        yield grant_search(name)
