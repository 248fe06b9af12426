"""Reconcile a collection with its source: rows never enqueued, changed rows, orphaned embeddings, new partitions."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, lock_timeout, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import trigger_names, triggered_tables
from imgvec_pg.store.column_check import check_columns_are_there
from imgvec_pg.store.integrity.pages import read_page, without_expressions
from imgvec_pg.store.integrity.partitions import await_sweeps
from imgvec_pg.store.integrity.renewal import put_back_foreign_key, put_policies, renew, validate_foreign_key
from imgvec_pg.store.pictures.picture_table import complete_pictures
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.radius.fill import mend_coordinates
from imgvec_pg.store.source import Source, describe_source
from imgvec_pg.store.transactions import ROW_ERRORS, read_like_triggers


@dataclass(frozen=True)
class Reconciled:
    """Keys enqueued for embedding, those of them that refer to another picture than the one on record, embeddings and
    failures of vanished rows deleted, partitions given triggers."""

    enqueued: int
    changed: int
    orphans_deleted: int
    failures_deleted: int
    tables_given_triggers: int


@dataclass(frozen=True)
class Page:
    """A page of the source that was looked at: its last key (None when it was empty), its rows, the keys enqueued, and
    those of them whose picture had changed unseen; whether the source ends with it, and how it was read."""

    last_key: Key | None
    rows: int
    enqueued: int
    changed: int
    is_last: bool
    attempt: int


def file_page(
    connection: Connection,
    collection: Collection,
    after: Key | None,
    *,
    reconciles: bool,
    contents: bool = False,
    attempt: int = 0,
) -> Page:
    """File jobs for one page's rows that lack embedding and failure, within the caller's transaction.

    Args:
        reconciles: Leave out all that is queued, not the changes alone, and look for pictures that changed unseen.
        contents: Compare pictures in the table byte by byte (by their hashes) too.
        attempt: As the page before gave it.
    """
    values = {"reconciles": reconciles, "contents": contents}
    found = read_page(connection, collection, "enqueue_missing", after, values, attempt)
    last_key, rows, enqueued, changed = found.row
    return Page(last_key, rows, enqueued, changed, found.is_last(rows), found.next_attempt)


def enqueue_missing(
    connection: Connection, collection: Collection, *, contents: bool = False
) -> tuple[int, int]:
    """File jobs for source rows that have an image and neither embedding, failure nor job, or another image than these.

    Walks the primary key in pages, one transaction each.

    Returns:
        Keys enqueued, and those of them whose picture had changed unseen.
    """
    enqueued, changed, after, attempt = 0, 0, None, 0
    while True:
        with connection.transaction():
            page = file_page(
                connection, collection, after, reconciles=True, contents=contents, attempt=attempt
            )
        attempt = page.attempt
        enqueued += page.enqueued
        changed += page.changed
        after = page.last_key
        if page.is_last:
            return enqueued, changed


def list_source(
    connection: Connection, collection: Collection, progress: Callable[[int], None] | None = None
) -> int:
    """File the whole source for its first fill; an interrupted listing goes on where it stopped.

    Several commands that list at once take turns page by page, so that no row is enqueued twice.

    Args:
        progress: Called with the rows looked at so far.

    Returns:
        Keys enqueued now; 0 when the source had been listed before.
    """
    enqueued = looked_at = attempt = 0
    while True:
        with connection.transaction():
            row = connection.execute(load_sql("queries/lock_listing.sql"), [collection.id]).fetchone()
            if row is None or row[1]:
                return enqueued
            page = file_page(connection, collection, row[0], reconciles=False, attempt=attempt)
            attempt = page.attempt
            connection.execute(
                load_sql("queries/note_listing.sql"),
                {
                    "collection_id": collection.id,
                    "last_key": Jsonb(page.last_key or row[0]),
                    "is_last": page.is_last,
                },
            )
        enqueued += page.enqueued
        looked_at += page.rows
        if progress is not None:
            progress(looked_at)


def count_missing(connection: Connection, collection: Collection) -> int:
    """Count the rows that a first fill would embed: those with an image and neither embedding nor failure."""
    parts = collection.parts(vector_schema(connection))
    with connection.transaction():
        read_like_triggers(connection, collection)
        row = connection.execute(render("collection/count_missing.sql", **parts)).fetchone()
    return int(row[0]) if row else 0


def reconcile(
    connection: Connection,
    collection: Collection,
    *,
    contents: bool = False,
    lock_timeout_ms: int = 2000,
) -> Reconciled:
    """Bring a collection in line with its source: file what is missing or changed, delete what has no row any more.

    Partitions attached since the collection was made get their triggers first, the embedding table its policy where the
    source has been given row-level security, and its foreign key where that is gone.

    Args:
        contents: Also read and hash all pictures that lie in the table, to find bytes replaced by as many others.
    """
    schema = vector_schema(connection)
    parts = collection.parts(schema)
    check_columns_are_there(connection, collection)
    source = describe_source(connection, collection.source.as_string(connection), collection.key_columns)
    renew(connection, collection, lock_timeout_ms=lock_timeout_ms)
    untriggered = tables_without_triggers(connection, collection, source)
    for table in untriggered:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            for file in ("drop_triggers", "triggers"):
                connection.execute(render(f"collection/{file}.sql", **parts, table=sql.Identifier(*table)))
    put_policies(connection, collection, lock_timeout_ms=lock_timeout_ms)
    put_back_foreign_key(connection, collection, lock_timeout_ms=lock_timeout_ms)
    partitions = connection.execute(load_sql("queries/partitions_seen.sql"), [collection.id]).fetchone()
    noted = connection.execute(load_sql("queries/newest_unseen_change.sql"), [collection.id]).fetchone()
    await_sweeps(connection, collection)
    enqueued, changed = enqueue_missing(connection, collection, contents=contents)
    orphans = _delete_orphans(connection, collection, parts)
    if collection.by_picture:
        complete_pictures(connection, collection)
    mend_coordinates(connection, collection)
    with connection.transaction():
        read_like_triggers(connection, collection)
        failures = connection.execute(render("collection/delete_orphan_failures.sql", **parts)).rowcount
    validate_foreign_key(connection, collection, lock_timeout_ms=lock_timeout_ms)
    # What was noted before the source was walked has been found; what came since may not have.
    connection.execute(load_sql("queries/forget_unseen_changes.sql"), [collection.id, noted and noted[0]])
    if collection.is_partitioned and partitions is not None:
        connection.execute(load_sql("queries/note_partitions.sql"), [partitions[0], collection.id])
    connection.execute(
        "UPDATE imgvec.collection SET listed_at = coalesce(listed_at, now()) WHERE id = %s", [collection.id]
    )
    return Reconciled(enqueued, changed, orphans, failures, len(untriggered))


def _delete_orphans(connection: Connection, collection: Collection, parts: dict[str, sql.Composable]) -> int:
    """Delete embeddings of rows that are gone or have no image, the latter not where a view's expressions fail for a row."""
    for known in (parts, without_expressions(parts)):
        try:
            with connection.transaction():
                read_like_triggers(connection, collection)
                return connection.execute(render("collection/delete_orphans.sql", **known)).rowcount
        except ROW_ERRORS:
            if known is not parts:
                raise
    return 0


def tables_without_triggers(
    connection: Connection, collection: Collection, source: Source
) -> list[tuple[str, str]]:
    """Return (schema, table) of those tables of a source that lack one of the collection's triggers."""
    if not source.can_have_triggers:
        return []
    known = triggered_tables(connection, collection)
    return [table for table in source.tables if known.get(table) != len(trigger_names(collection))]
