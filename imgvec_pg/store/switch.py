"""Switch an alias to a successor: count rows that lack an embedding there, then switch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import Alias, point_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import has_valid_index

CATCH_UP_SECONDS = 60.0
PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Missing:
    """Rows embedded in the present collection and not in its successor.

    Attributes:
        rows: All of them.
        failed: Those among them that failed there; the others wait to be embedded.
    """

    rows: int
    failed: int


def count_missing_beside(connection: Connection, present: Collection, target: Collection) -> Missing:
    """Count the rows that `present` has a vector of and `target` has not."""
    statement = render(
        "collection/count_missing_beside.sql",
        **present.parts("public"),
        other_table=sql.Identifier(target.embedding_table),
        other_id=sql.Literal(target.id),
    )
    row = connection.execute(statement).fetchone()
    return Missing(*row) if row is not None else Missing(0, 0)


def switch_alias(
    connection: Connection,
    alias: Alias,
    present: Collection,
    target: Collection,
    *,
    accept_missing: int = 0,
    check: Callable[[], None] = lambda: None,
    timeout_seconds: float = CATCH_UP_SECONDS,
) -> Missing:
    """Point an alias to `target` in one transaction, at a moment when no more rows are missing there than accepted.

    The check is part of the transaction. Under writes some row always waits, so it is tried again until the workers have
    caught up for a moment.

    Args:
        check: Called before each try; raises what speaks against it.

    Returns:
        What was missing at that moment.

    Raises:
        CollectionError: Too many rows stay missing, or the index of the one is there and the other's is not; nothing
            was changed.
    """
    if has_valid_index(connection, present) and not has_valid_index(connection, target):
        raise CollectionError(
            f"{target.name} has no index yet, {present.name} has one: searches would compare all rows. Build it with: "
            f"imgvec index create {target.name}. Nothing was changed"
        )
    deadline = time.monotonic() + timeout_seconds
    while True:
        check()
        with connection.transaction():
            missing = count_missing_beside(connection, present, target)
            if missing.rows <= accept_missing:
                point_alias(connection, alias, target)
                return missing
        if missing.rows - missing.failed <= 0 or time.monotonic() > deadline:
            raise CollectionError(
                f"{missing.rows:,} rows that {present.name} finds are not in {target.name} ({missing.failed:,} of them failed "
                f"there, see imgvec failures {target.name}; for the others: imgvec backfill {target.name}); "
                f"--accept-missing {missing.rows} switches all the same. Nothing was changed"
            )
        time.sleep(PAUSE_SECONDS)


def collection_bytes(connection: Connection, collection: Collection) -> tuple[int, int]:
    """Return the bytes of a collection's table and of its indexes."""
    row = connection.execute(
        load_sql("queries/collection_bytes.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchone()
    return (int(row[0]), int(row[1])) if row is not None else (0, 0)
