"""Short transactions beside an application: statement, lock and idle timeouts."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from imgvec_pg.database.connect import Connection, pinned_search_path
from imgvec_pg.database.sql_templates import escape_percent, load_sql, render
from imgvec_pg.errors import CollectionChangedError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import is_built_in

STATEMENT_MS = 10_000
"""A statement of a worker that takes so long is not well: it is cancelled and tried again."""
IDLE_IN_TRANSACTION_MS = 2000
"""A worker that is stopped or cut off within a transaction holds its locks no longer than this."""
ROW_ERRORS = (psycopg.DataError, psycopg.errors.RaiseException)
"""What an expression over one row's values raises: invalid, out of range, or raised by a function of a view's owner."""
LOCK_TIMEOUT_MS = 250
"""Well below PostgreSQL's deadlock_timeout (1 s): a worker that waits for an application steps back before the
server has to choose a victim. Where the server's is shorter, so is this: a quarter of it."""


@contextmanager
def short_transaction(
    connection: Connection, lock_timeout_ms: int = LOCK_TIMEOUT_MS, idle_ms: int = IDLE_IN_TRANSACTION_MS
) -> Iterator[None]:
    """Run one transaction that steps back from a lock that the application holds.

    Within a transaction that is open already it is a savepoint, and sets the lock timeout alone: the other limits
    would outlast the block.

    Raises:
        psycopg.errors.LockNotAvailable: It was not had in time; nothing was changed.
        psycopg.errors.QueryCanceled: A statement took longer than 10 s; nothing was changed.
    """
    is_outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction():
        connection.execute(
            load_sql("queries/transaction_limits.sql"),
            {
                "statement_ms": STATEMENT_MS if is_outermost else None,
                "idle_in_transaction_ms": idle_ms if is_outermost else None,
                "lock_ms": lock_timeout_ms,
                "is_outermost": is_outermost,
            },
        )
        yield


@contextmanager
def locked_schema(connection: Connection) -> Iterator[None]:
    """Keep other sessions from migrating, granting and uninstalling between the statements of one look at the schema."""
    with connection.transaction():
        connection.execute(load_sql("queries/lock_schema.sql"))
        yield


def flush_commits(connection: Connection) -> None:
    """Wait until all that was committed is on the disk; workers' own commits do not wait for it."""
    with connection.transaction():
        connection.execute(load_sql("queries/flush_commits.sql"))


def read_like_triggers(connection: Connection, collection: Collection, *, by_key: bool = False) -> None:
    """Set this transaction to see all rows, write keys as the triggers do and compare them by their types' operators.

    PostgreSQL then raises InsufficientPrivilege where a policy would hide rows, which would look deleted.

    Args:
        by_key: It looks up rows of a batch by their keys: it is to do so in the source's index, where there is one.

    Raises:
        CollectionChangedError: The source has another name by now; what has this one was not read.
    """
    read_as_owner(connection, collection)
    if collection.reads_as is None and connection.info.parameter_status("is_superuser") == "on":
        _require_name(connection, collection)
    begun = connection.execute(
        render(
            "queries/read_like_triggers.sql",
            source=escape_percent(collection.rows),
            source_name=escape_percent(sql.Literal(collection.source.as_string(None))),
        ),
        {"schemas": list(collection.key_equality_schemas), "collection_id": collection.id},
    )
    if begun.rowcount == 0:
        _require_name(connection, collection)
    # Of a type of somebody else's the index is not used.
    if by_key and all(map(is_built_in, collection.key_types)):
        connection.execute(load_sql("queries/look_up_by_key.sql"), {"collection_id": collection.id})


def _require_name(connection: Connection, collection: Collection) -> None:
    """Raise CollectionChangedError where the source is called otherwise by now; a collection that is gone is others' to tell."""
    has_name = connection.execute(
        load_sql("queries/source_has_name.sql"),
        {"source_name": collection.source.as_string(None), "collection_id": collection.id},
    ).fetchone()
    if has_name is not None and not has_name[0]:
        raise CollectionChangedError(
            f"the source of collection {collection.name} is no longer called {collection.shown_source}"
        )


def read_as_owner(connection: Connection, collection: Collection) -> None:
    """Make the session able to read a view of somebody else's with their rights, where it is a superuser's.

    Raises:
        psycopg.errors.ReadOnlySqlTransaction: On a standby.
    """
    if collection.reads_as is None:
        return
    with connection.transaction(), pinned_search_path(connection):
        connection.execute(
            render(
                "queries/read_as_owner.sql",
                function=collection.reader,
                function_name=sql.Literal(collection.reader.as_string(None)),
                relation_name=sql.Literal(collection.source.as_string(None)),
                owner=sql.Identifier(collection.reads_as),
            )
        )
