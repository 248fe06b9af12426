"""Forget, page by page, the embeddings of rows that went without a trigger having seen it."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.transactions import read_like_triggers, short_transaction

PAGE_ROWS = 4096


@dataclass(frozen=True)
class GonePage:
    """A page of embeddings that was looked at: its last key (None when it was empty), and how many were deleted."""

    last_key: Key | None
    rows: int
    deleted: int

    @property
    def is_last(self) -> bool:
        """Whether the embeddings end with it."""
        return self.rows < PAGE_ROWS


def forget_gone_page(connection: Connection, collection: Collection, after: Key | None) -> GonePage:
    """Delete the embeddings without a row among those behind a key, in one short transaction.

    Raises:
        psycopg.errors.InsufficientPrivilege: Row-level security would hide rows of the source from the role.
    """
    parts = bindable(collection.parts("public"))  # No vector is looked at.
    behind = sql.SQL("WHERE {}").format(collection.key_sql.behind("e"))
    statement = render(
        "collection/forget_gone_page.sql", **parts, after_condition=behind if after else sql.SQL("")
    )
    with short_transaction(connection):
        read_like_triggers(connection, collection)
        # A statement before this one's: what it sees is no older than the lock, see await_sweeps.
        connection.execute(load_sql("queries/lock_collection_shared.sql"), {"collection_id": collection.id})
        row = connection.execute(statement, {"after": Jsonb(after), "page_size": PAGE_ROWS}).fetchone()
    assert row is not None  # noqa: S101 - the statement always gives one row
    return GonePage(*row)


def await_sweeps(connection: Connection, collection: Collection) -> None:
    """Wait for pages that are being forgotten: rows that were attached again meanwhile are not seen by them.

    Whoever then asks which rows lack an embedding finds those whose embedding such a page deleted.
    """
    if collection.is_partitioned:
        with connection.transaction():
            connection.execute(
                load_sql("queries/lock_collection_exclusive.sql"), {"collection_id": collection.id}
            )
