"""HNSW indexes of embedding tables: build beside running writes, see, repair, drop."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection, connect, one_line, vector_schema
from imgvec_pg.database.sqlfiles import load_sql, render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
BUILD_TRIES = 5
BEGUN_BY_ANOTHER = (psycopg.errors.DuplicateTable, psycopg.errors.DeadlockDetected)
"""What a build meets when another process began one at the same moment."""

Progress = Callable[[str, int, int], None]
"""Called with PostgreSQL's phase, tuples done and tuples in all (0 while unknown)."""


@dataclass(frozen=True)
class IndexState:
    """An embedding table or partition and its HNSW index, None where there is none."""

    table_name: str
    index_name: str | None
    is_valid: bool
    index_bytes: int
    is_parent: bool


def index_states(connection: Connection, collection: Collection) -> list[IndexState]:
    """Return the state of each table of a collection, partitions before their parent."""
    with connection.cursor(row_factory=class_row(IndexState)) as cursor:
        return cursor.execute(
            load_sql("queries/index_state.sql"), {"table": f"imgvec.{collection.embedding_table}"}
        ).fetchall()


def has_valid_index(connection: Connection, collection: Collection) -> bool:
    """Whether every table of the collection has an HNSW index that PostgreSQL uses."""
    return all(state.is_valid for state in index_states(connection, collection))


def needed_memory_bytes(rows: int, dimensions: int, m: int) -> int:
    """Estimate what an HNSW build keeps in memory: a halfvec and its links a row.

    pgvector 0.8 src/hnsw.h: HNSW_ELEMENT and HNSW_NEIGHBOR tuples; 2 * m links on the ground layer, m above, each
    a pointer and a distance (16 bytes), and about 130 bytes an element.
    """
    return rows * (2 * dimensions + 8 + 16 * (2 * m + m // (m - 1) + 1) + 130)


def build_index(connection: Connection, collection: Collection, progress: Progress | None = None) -> bool:
    """Build what is missing of a collection's HNSW index, CONCURRENTLY, and return whether anything was built.

    An index left INVALID by a cancelled build is dropped and built anew. The session's maintenance_work_mem is
    raised to what the graph needs, at most 2 GiB.

    Raises:
        DatabaseError: The build was cancelled or refused; running it again repairs.
    """
    schema = vector_schema(connection)
    table = f"imgvec.{collection.embedding_table}"
    row = connection.execute(
        render("queries/embedding_count.sql", embedding_table=sql.Identifier(collection.embedding_table))
    ).fetchone()
    raise_memory(connection, needed_memory_bytes(row[0] if row else 0, collection.dimensions, collection.m))
    built = False
    with ProgressWatch(connection, table, progress):
        try:
            for _ in range(BUILD_TRIES):
                wait_for_builds(connection, table)
                try:
                    built |= build_missing(connection, collection, schema)
                    break
                except BEGUN_BY_ANOTHER as error:
                    log.info("another process builds the index of %s: %s", collection.name, one_line(error))
        except psycopg.Error as error:
            raise DatabaseError(
                f"the index of {collection.name} was not built ({one_line(error)}); "
                f"run again: imgvec backfill {collection.name}"
            ) from error
        finally:
            connection.execute("RESET maintenance_work_mem")
    return built


def wait_for_builds(connection: Connection, table: str) -> None:
    """Wait until nobody builds an index here: while it is built it looks like one that a cancelled build left."""
    while connection.execute(load_sql("queries/index_progress.sql"), {"table": table}).fetchone() is not None:
        time.sleep(PROGRESS_SECONDS)


def build_missing(connection: Connection, collection: Collection, schema: str) -> bool:
    """Build the missing and the invalid indexes of all tables of a collection; whether there were any."""
    built = False
    states = index_states(connection, collection)
    for state in (s for s in states if not s.is_parent):
        built |= build_one(connection, collection, state, schema)
    for parent in (s for s in states if s.is_parent and not s.is_valid):
        attach_partitions(connection, collection, parent, schema)
    return built


def build_one(connection: Connection, collection: Collection, state: IndexState, schema: str) -> bool:
    """Build the index of one plain table or partition unless it has a valid one."""
    if state.is_valid:
        return False
    if state.index_name is not None:
        connection.execute(
            sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS imgvec.{}").format(sql.Identifier(state.index_name))
        )
    connection.execute(
        render(
            "collection/create_index.sql",
            **collection.parts_without_source(schema),
            index=sql.Identifier(f"{state.table_name}_hnsw"),
            table=sql.Identifier(state.table_name),
        )
    )
    return True


def attach_partitions(
    connection: Connection, collection: Collection, parent: IndexState, schema: str
) -> None:
    """Make the index of a partitioned table out of its partitions' indexes."""
    if parent.index_name is None:
        connection.execute(
            render(
                "collection/create_partitioned_index.sql",
                **collection.parts_without_source(schema),
                index=sql.Identifier(collection.index_name),
                table=sql.Identifier(parent.table_name),
            )
        )
    for state in index_states(connection, collection):
        if not state.is_parent and state.index_name is not None:
            connection.execute(
                sql.SQL("ALTER INDEX imgvec.{} ATTACH PARTITION imgvec.{}").format(
                    sql.Identifier(collection.index_name), sql.Identifier(state.index_name)
                )
            )


def raise_memory(connection: Connection, needed: int) -> None:
    """Give this session's build enough maintenance_work_mem, raised to 2 GiB at most, never lowered."""
    row = connection.execute("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))").fetchone()
    current = int(row[0]) if row else 0
    wanted = max(current, min(needed, 2 << 30))
    connection.execute(
        sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(f"{max(wanted >> 10, 65536)}kB"))
    )


class ProgressWatch:
    """Reports an index build's progress from a second connection while the first is busy."""

    def __init__(self, connection: Connection, table: str, report: Progress | None) -> None:
        self._report = report
        self._table = table
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(connection,), daemon=True)

    def __enter__(self) -> None:
        if self._report is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._report is not None:
            self._thread.join()

    def _watch(self, connection: Connection) -> None:
        assert self._report is not None  # noqa: S101 - the thread starts only then
        with connect(connection.info.dsn, password=connection.info.password or None) as watcher:
            while not self._done.wait(PROGRESS_SECONDS):
                row = watcher.execute(
                    load_sql("queries/index_progress.sql"), {"table": self._table}
                ).fetchone()
                if row is not None:
                    self._report(str(row[0]), int(row[1] or 0), int(row[2] or 0))
