"""Functions over shards that are not as this release makes them: an extension was moved, they are older, or one is gone."""

from collections.abc import Iterator

from psycopg import sql

from imgvec_pg.database.connect import Connection, pinned_search_path
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.shards.coordinator import (
    describe_span,
    grant_search,
    require_same,
)
from imgvec_pg.shards.servers import shared_functions
from imgvec_pg.shards.span_function import search_parts, sharded_key
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


def find_span_faults(connection: Connection) -> Iterator[tuple[str, str | None]]:
    """Ask the shards of each span; give its name, and what is wrong with it, None where nothing is."""
    row = connection.execute(HAS_SHARDS).fetchone()
    if row is None or not row[0]:
        return
    for name, *_, shards, model, fingerprint in connection.execute(load_sql("shards/spans.sql")).fetchall():
        try:
            found = require_same(name, {shard: describe_span(connection, shard, name) for shard in shards})
        except (CollectionError, DatabaseError) as error:
            yield name, str(error)
            continue
        if found["model"] != model or (
            None not in (fingerprint, found["fingerprint"]) and fingerprint != found["fingerprint"]
        ):
            yield (
                name,
                f"its shards have {found['model']} by other weights, or another model than the span's {model}",
            )
        else:
            yield name, None


def _statements(connection: Connection) -> Iterator[sql.Composed]:
    """Give the statements that make all functions of collections that span shards."""
    row = connection.execute(HAS_SHARDS).fetchone()
    if row is None or not row[0]:
        return
    spans = connection.execute(load_sql("shards/spans.sql")).fetchall()
    if spans:
        yield shared_functions(connection)
    for name, columns, types, dimensions, settings, *_ in spans:
        parts = search_parts(connection, name, sharded_key(columns, types), dimensions, settings)
        yield render("shards/search.sql", **{**parts, "create": sql.SQL("CREATE OR REPLACE FUNCTION")})
        yield grant_search(name)
