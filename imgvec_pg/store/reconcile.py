"""Find what the triggers could not see: rows never filed, vectors whose row is gone, partitions without triggers."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, lock_timeout, vector_schema
from imgvec_pg.database.sqlfiles import render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collections import triggered_tables
from imgvec_pg.store.jobs import Key
from imgvec_pg.store.source import describe_source

PAGE_ROWS = 65_536


@dataclass(frozen=True)
class Reconciled:
    """Keys filed for embedding, embeddings and failures of vanished rows deleted, partitions given triggers."""

    filed: int
    orphans_deleted: int
    failures_deleted: int
    tables_given_triggers: int


def file_missing(
    connection: Connection,
    collection: Collection,
    *,
    after: Key | None = None,
    skip_queued: bool = True,
    on_page: Callable[[Connection, Key], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """File jobs for source rows that have an image and neither embedding nor failure; return keys filed.

    Walks the primary key in pages, one transaction each.

    Args:
        after: Start behind this key.
        skip_queued: Leave out keys that are queued already; costs a scan of the queue for each page.
        on_page: Called in the page's transaction with its last key.
        progress: Called with the rows looked at so far.
    """
    parts = collection.parts(vector_schema(connection))
    behind = sql.SQL(
        "WHERE ({s_keys}) > (SELECT {a_keys} FROM jsonb_to_record(%(after)s::jsonb) AS a({key_definitions}))"
    ).format(**parts, a_keys=sql.SQL(", ").join(sql.Identifier("a", name) for name in collection.key_columns))
    total: int = 0
    looked_at: int = 0
    while True:
        statement = render(
            "collection/file_missing.sql", **parts, after_condition=behind if after else sql.SQL("")
        )
        with connection.transaction():
            connection.execute("SET LOCAL row_security = off")
            row = connection.execute(
                statement, {"after": Jsonb(after), "page_size": PAGE_ROWS, "skip_queued": skip_queued}
            ).fetchone()
            assert row is not None  # noqa: S101 - the statement always gives one row
            last_key, page_rows, filed = row
            if last_key is not None and on_page is not None:
                on_page(connection, last_key)
        total += filed
        looked_at += page_rows
        if progress is not None:
            progress(looked_at)
        if page_rows < PAGE_ROWS:
            return total
        after = last_key


def list_source(
    connection: Connection, collection: Collection, progress: Callable[[int], None] | None = None
) -> int:
    """File the whole source for its first fill; an interrupted listing goes on where it stopped.

    Returns:
        Keys filed now; 0 when the source had been listed before.
    """
    row = connection.execute(
        "SELECT listing_after, listed_at IS NOT NULL FROM imgvec.collection WHERE id = %s", [collection.id]
    ).fetchone()
    if row is None or row[1]:
        return 0

    def remember(page_connection: Connection, last_key: Key) -> None:
        page_connection.execute(
            "UPDATE imgvec.collection SET listing_after = %s WHERE id = %s", [Jsonb(last_key), collection.id]
        )

    filed = file_missing(
        connection, collection, after=row[0], skip_queued=False, on_page=remember, progress=progress
    )
    connection.execute("UPDATE imgvec.collection SET listed_at = now() WHERE id = %s", [collection.id])
    return filed


def reconcile(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> Reconciled:
    """Bring a collection in line with its source: file what is missing, delete what has no row any more.

    Partitions attached since the collection was made get their triggers first.
    """
    schema = vector_schema(connection)
    parts = collection.parts(schema)
    source = describe_source(connection, collection.source.as_string(connection), collection.key_columns)
    added = 0
    if source.can_have_triggers:
        known = set(triggered_tables(connection, collection))
        for table in source.tables:
            if table not in known:
                with lock_timeout(connection, lock_timeout_ms):
                    connection.execute(
                        render("collection/triggers.sql", **parts, table=sql.Identifier(*table))
                    )
                added += 1
    filed = file_missing(connection, collection)
    with connection.transaction():
        connection.execute("SET LOCAL row_security = off")
        orphans = connection.execute(render("collection/delete_orphans.sql", **parts)).rowcount
        failures = connection.execute(render("collection/delete_orphan_failures.sql", **parts)).rowcount
    connection.execute(
        "UPDATE imgvec.collection SET listed_at = coalesce(listed_at, now()) WHERE id = %s", [collection.id]
    )
    return Reconciled(filed, orphans, failures, added)
