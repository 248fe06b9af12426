"""Refill: whether many rows go into the live index, or it is dropped and built anew after them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg

from imgvec_pg.database.connect import Connection, one_line, session_changed
from imgvec_pg.database.scan_costs import ScanCosts
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError, DatabaseError, NotOwnerError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import (
    IndexState,
    drop_indexes,
    has_valid_index,
    index_name,
    index_states,
    running_build,
)
from imgvec_pg.store.transactions import LOCK_TIMEOUT_MS
from imgvec_pg.text import clock, counted

log = logging.getLogger(__name__)

AFTER_SHARE = 0.3
"""From this share of rows to embed on, building all costs less than adding them to an HNSW graph one by one: a build adds a row
four times as fast (benchmarks/fill.py, row 7), in memory, without the log and with the server's parallel workers."""
LEAST_NEW_ROWS = 10_000
"""Fewer are added within a minute: no reason to take an index away."""
MOST_EXACT_SECONDS = 1.0
"""Unasked, an index stays where a search without it would take longer."""
MOST_FILL_SECONDS = 600.0
"""Unasked, an index stays where the model takes longer for the rows: then it is the model that is waited for, and searches
would be slow for nothing."""
DROP_SECONDS = 60
"""DROP INDEX CONCURRENTLY waits for all transactions that are open on the table."""

IndexChoice = Literal["auto", "live", "after"]


@dataclass(frozen=True)
class Refill:
    """What becomes of an index while rows are filled in.

    Attributes:
        after: It is dropped, and built anew after the fill.
        line: What to say of it, with the reason; None where there is nothing to say.
    """

    after: bool
    line: str | None


def plan_refill(
    connection: Connection, collection: Collection, new_rows: int, choice: IndexChoice = "auto"
) -> Refill:
    """Decide by the share of rows to embed, new or embedded before, or do as told; changes nothing.

    Raises:
        NotOwnerError, CollectionError: It is to be dropped, and this role may not, or it is none of imgvec's own.
    """
    states = index_states(connection, collection)
    if not any(state.index_name for state in states):
        return Refill(False, None)  # Built after the fill in any case.
    problem = why_not_dropped(connection, collection, states)
    if choice == "after" and problem is not None:
        raise problem
    rows = estimated_rows(connection, collection)
    share, seconds = new_rows / max(rows + new_rows, 1), exact_seconds(collection, rows + new_rows)
    news = f"{counted(new_rows, 'row')} to embed beside about {rows:,}"
    without = f"until then a search compares all rows, about {seconds:.1g} s"
    if choice == "after":
        return Refill(True, f"{news}: the index is dropped and built anew after them, as asked; {without}")
    if choice == "live":
        return Refill(False, f"{news}: they go into the live index, as asked")
    if new_rows < LEAST_NEW_ROWS or share < AFTER_SHARE or problem is not None:
        return Refill(False, None)
    if seconds > MOST_EXACT_SECONDS:
        return Refill(
            False,
            f"{news}: they go into the live index, as a search without it would take about {seconds:.0f} s; "
            "--index after drops it and builds it anew, which is quicker",
        )
    fill = model_seconds(connection, collection, new_rows)
    if fill is None or fill > MOST_FILL_SECONDS:
        takes = (
            "no worker has measured yet what the model takes"
            if fill is None
            else f"the model takes about {clock(fill)}"
        )
        return Refill(
            False,
            f"{news}: they go into the live index, as {takes} for them; --index after drops it until then",
        )
    return Refill(
        True,
        f"{news}: the index is dropped and built anew after them, which is quicker; {without} (--index live keeps it)",
    )


def why_not_dropped(
    connection: Connection, collection: Collection, states: list[IndexState]
) -> CollectionError | NotOwnerError | None:
    """Return why an index may not be dropped for a fill: None where it may."""
    names = ", ".join(f"imgvec.{state.index_name}" for state in states if state.index_name)
    if collection.index_method != "hnsw" or any(
        not state.is_valid
        or not state.is_made_as(collection)
        or state.index_name != index_name(state.table_name, collection, "current")
        for state in states
    ):
        return CollectionError(
            f"the index {names} is not a valid HNSW index as imgvec makes it for {collection.name}; expected one that can be "
            "built again as it is: use --index live"
        )
    if running_build(connection, collection) is not None:
        return CollectionError(
            f"an index of {collection.name} is being built: wait for it, or use --index live"
        )
    row = connection.execute(
        load_sql("queries/owns_embeddings.sql"), {"table": collection.indexed_table}
    ).fetchone()
    if row is None or not row[0]:
        return NotOwnerError(
            f"the role {connection.info.user} may not drop the index {names}; run it as the owner of "
            f"imgvec.{collection.indexed_table}, or use --index live"
        )
    return None


def estimated_rows(connection: Connection, collection: Collection) -> int:
    """Return the rows of the indexed table as the planner knows them."""
    row = connection.execute(
        load_sql("queries/estimated_rows.sql"),
        {"table": f"imgvec.{collection.indexed_table}", "dimensions": collection.dimensions},
    ).fetchone()
    return int(row[0]) if row else 0


def model_seconds(connection: Connection, collection: Collection, rows: int) -> float | None:
    """Return what the model takes for so many rows, as the last worker measured it; None where none did."""
    row = connection.execute(
        "SELECT images_per_second FROM imgvec.model WHERE id = %s", [collection.model_id]
    ).fetchone()
    return rows / float(row[0]) if row and row[0] else None


def exact_seconds(collection: Collection, rows: int) -> float:
    """Return what a search without an index takes, of so many rows."""
    costs = ScanCosts.of_table(rows * (2 * collection.dimensions + 100))
    return rows * costs.compare_key / 1e6


def drop_for_refill(
    connection: Connection, collection: Collection, give_up: Callable[[], bool] = lambda: False
) -> bool:
    """Drop the index beside readers and writers; whether it is out of use.

    First it waits for the transactions that use the table: DROP INDEX CONCURRENTLY makes an index INVALID before it does so.
    Where they are there after a minute, the index stays. What is cancelled half-way all the same leaves it INVALID, which doctor
    names: the build after the fill makes it anew.
    """
    deadline = time.monotonic() + DROP_SECONDS
    try:
        _wait_for_users(connection, collection, deadline, give_up)
        with session_changed(connection, statement_timeout=f"{DROP_SECONDS}s"):
            _drop_by_short_waits(connection, collection, deadline)
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, DatabaseError) as error:
        log.warning("the index of %s was not dropped: %s", collection.name, one_line(error))
    return not has_valid_index(connection, collection)


def _wait_for_users(
    connection: Connection, collection: Collection, deadline: float, give_up: Callable[[], bool]
) -> None:
    """Wait until the transactions that use the table now have ended.

    Raises:
        DatabaseError: Some are there for longer; nothing was changed.
    """

    def users() -> set[str]:
        values = {"table": f"imgvec.{collection.indexed_table}"}
        row = connection.execute(load_sql("queries/table_users.sql"), values).fetchone()
        return set(row[0]) if row else set()

    before = users()
    while before:
        if give_up():
            raise DatabaseError("the command is to end; the index stays")
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"{counted(len(before), 'transaction')} used its table for longer than {DROP_SECONDS} s; the index stays"
            )
        time.sleep(0.2)
        before &= users()


def _drop_by_short_waits(connection: Connection, collection: Collection, deadline: float) -> None:
    """Drop it; of a partitioned table, whose lock has others queue behind it, by waits of a moment."""
    while True:
        try:
            drop_indexes(connection, index_states(connection, collection), lock_timeout_ms=LOCK_TIMEOUT_MS)
            return
        except DatabaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
