"""Fill and mend a radius index while others write."""

import time
from collections.abc import Callable

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.radius.coordinate_tables import coordinate_parts, coordinate_tolerance

PAGE_ROWS = 2000
"""Stored in one transaction, in 30 ms: a writer of one of these rows waits no longer."""
YIELD_MS = 200
"""A page waits no longer for a writer that has stored one of its rows and not committed: below deadlock_timeout (1 s), so that
where both wait for each other it is never the writer who is cancelled."""
PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 300.0


def fill_coordinates(
    connection: Connection, collection: Collection, progress: Callable[[int], None] = lambda rows: None
) -> int:
    """Store the coordinates of all embedded rows that have none, page by page; return how many rows were looked at.

    What is embedded meanwhile gets them by the triggers, which must be there.

    Raises:
        DatabaseError: A transaction of another session holds rows for minutes.
    """
    parts = bindable(coordinate_parts(collection, vector_schema(connection)))
    behind = collection.key_sql.behind("e")
    first, later = (
        render("collection/fill_coordinates.sql", **parts, after_condition=condition)
        for condition in (sql.SQL("true"), behind)
    )
    after, done, deadline = None, 0, time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{YIELD_MS}ms'")
                row = connection.execute(
                    later if after else first, {"after": Jsonb(after), "page_size": PAGE_ROWS}
                ).fetchone()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"another session's open transaction holds rows of imgvec.{collection.embedding_table} for more than "
                    f"{PATIENCE_SECONDS:.0f} s; end it, and run again: imgvec index create {collection.name} --radius"
                ) from error
            time.sleep(PAUSE_SECONDS)
            continue
        if row is None or row[1] is None:
            return done
        done, after, deadline = done + int(row[0]), row[1], time.monotonic() + PATIENCE_SECONDS
        progress(done)


def count_without_coordinates(connection: Connection, collection: Collection) -> int:
    """Count the embedded rows that have none."""
    parts = coordinate_parts(collection, vector_schema(connection))
    row = connection.execute(render("collection/count_without_coordinates.sql", **parts)).fetchone()
    return int(row[0]) if row else 0


def count_bad_coordinates(connection: Connection, collection: Collection) -> int:
    """Count the embedded rows that within_* would miss, were they to ask the coordinates; reads them all."""
    row = connection.execute(
        render("collection/find_bad_coordinates.sql", **_bound(connection, collection)),
        {"examples": 0, **tolerance(collection)},
    ).fetchone()
    return int(row[1]) if row else 0


def mend_coordinates(connection: Connection, collection: Collection) -> int:
    """Give those rows their coordinates, and return how many there were."""
    if not collection.has_radius_index or not count_bad_coordinates(connection, collection):
        return 0
    statement = render("collection/mend_coordinates.sql", **_bound(connection, collection))
    return connection.execute(statement, tolerance(collection)).rowcount


def tolerance(collection: Collection) -> dict[str, float]:
    """Return the bound value by which the statements tell wrong coordinates."""
    return {"tolerance": coordinate_tolerance(collection.dimensions)}


def _bound(connection: Connection, collection: Collection) -> dict[str, sql.Composable]:
    return {**bindable(coordinate_parts(collection, vector_schema(connection)))}
