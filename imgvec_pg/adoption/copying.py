"""Copy a proved column's vectors into a collection, page by page; what was copied stays, and copying again goes on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.adoption.column import VectorColumn, as_text, in_ranges, range_values
from imgvec_pg.adoption.prove import Proof
from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import RETRIED_ERRORS
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.transactions import read_like_triggers, short_transaction

PAGE_ROWS = 2048
RETRIES = 20
RETRY_SECONDS = 0.25

ADOPTED = "adopted"
"""What stands as the precision of vectors that were taken over."""


@dataclass
class Copied:
    """What became of a column's rows.

    Attributes:
        adopted: Vectors copied now; those of an earlier run are not counted again.
        looked_at: Rows of the source.
        left_out: Keys of rows that have a picture and a vector that was not copied, with the reason of each.
    """

    adopted: int = 0
    looked_at: int = 0
    left_out: list[tuple[Key, str]] = field(default_factory=list)

    def reasons(self) -> dict[str, int]:
        """Count the rows left out by their reasons."""
        found: dict[str, int] = {}
        for _, reason in self.left_out:
            found[reason] = found.get(reason, 0) + 1
        return found


def copy_column(
    connection: Connection,
    collection: Collection,
    column: VectorColumn,
    proof: Proof,
    progress: Callable[[int], None] = lambda rows: None,
) -> Copied:
    """Copy what a proof lets pass, as unit vectors, in short transactions.

    Raises:
        psycopg.Error: The application holds a lock for long, or the role lacks a right; what was copied stays.
    """
    copied = Copied()
    after: Key | None = None
    while True:
        last_key, looked_at, adopted, left_out = _copy_page(connection, collection, column, proof, after)
        copied.adopted += adopted
        copied.looked_at += looked_at
        copied.left_out += [(key, reason) for key, reason in left_out]
        progress(copied.looked_at)
        if looked_at < PAGE_ROWS:
            return copied
        after = last_key


def _copy_page(
    connection: Connection, collection: Collection, column: VectorColumn, proof: Proof, after: Key | None
) -> tuple[Key | None, int, int, list[tuple[Key, str]]]:
    schema = vector_schema(connection)
    parts = bindable(
        {
            **collection.parts(schema),
            **column.parts(collection, schema),
            "j_keys": collection.key_sql.columns("j"),
        }
    )
    parts["p_in_ranges"] = in_ranges(collection, "p", bool(proof.ranges))
    behind = sql.SQL("WHERE {}").format(collection.key_sql.behind("s"))
    statement = render("collection/adopt_page.sql", **parts, after_condition=behind if after else sql.SQL(""))
    values = {
        "after": Jsonb(after),
        "page_size": PAGE_ROWS,
        "direction": as_text(proof.separation.direction),
        "least": proof.separation.least,
        "disagreeing": [Jsonb(key) for key in proof.disagreeing],
        **range_values(proof.ranges),
    }
    for attempt in count(1):
        try:
            with short_transaction(connection):
                read_like_triggers(connection, collection)
                connection.execute(
                    load_sql("queries/lock_collection_shared.sql"), {"collection_id": collection.id}
                )
                row = connection.execute(statement, values).fetchone()
        except RETRIED_ERRORS:
            # The application deletes a row meanwhile, or holds the table.
            if attempt == RETRIES:
                raise
            time.sleep(RETRY_SECONDS)
            continue
        assert row is not None  # noqa: S101 - always one row
        return row
    raise AssertionError  # count() has no end
