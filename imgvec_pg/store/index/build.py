"""Build indexes: memory and disk needed, session settings, progress."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    connect,
    is_pooled,
    lock_timeout,
    one_line,
    pinned_search_path,
    session_changed,
    vector_schema,
)
from imgvec_pg.database.index_methods import hnsw, ivfflat
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import DatabaseError, NotOwnerError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import Ending, build_tables, index_states, running_build
from imgvec_pg.store.pictures.picture_table import (
    LOCK_MS,
    adopt_shape,
    drop_pictures,
    prepare_pictures,
    with_fitting_index,
)

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.5
BUILD_TRIES = 5
BEGUN_BY_ANOTHER = (psycopg.errors.DuplicateTable, psycopg.errors.DeadlockDetected)
"""What a build meets when another process began one at the same moment."""
LEAST_BYTES = 64 << 20
RAISED_BYTES = 2 << 30
"""How far a session raises its maintenance_work_mem unasked. A parallel build reserves all of it at once."""

Progress = Callable[[str, int, int], None]
"""Called with PostgreSQL's phase, tuples done and tuples in all (0 while unknown)."""


@dataclass(frozen=True)
class BuildOptions:
    """Settings of the session that builds.

    Attributes:
        memory: maintenance_work_mem at most, such as "4GB"; None for what the graph needs, up to 2 GiB.
        workers: Parallel processes beside the session's own; None for the server's own setting.
    """

    memory: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class BuildPlan:
    """Estimate of a build. Bytes of memory are those of the largest table or partition, one being built at a time.

    Attributes:
        graph_bytes: What the build needs: the graph of an HNSW index; the sample and centres of an IVFFlat one.
        memory_bytes: The maintenance_work_mem that the build gets.
        lists: Of an IVFFlat index, as asked for or as suits the rows; None of others.
        rows_per_second: As measured at this collection's last build, None before one.
    """

    rows: int
    graph_bytes: int
    memory_bytes: int
    index_bytes: int
    rows_per_second: float | None
    lists: int | None = None

    def define(self, wanted: Collection) -> Collection:
        """Return the collection with all options of its index known."""
        return replace(wanted, lists=self.lists)

    @property
    def fits(self) -> bool:
        """Whether the graph stays in memory; beyond, rows are added on disk, many times slower."""
        return self.graph_bytes <= self.memory_bytes

    @property
    def seconds(self) -> float | None:
        """Time at the measured rate, None while unknown."""
        return None if self.rows_per_second is None else self.rows / self.rows_per_second


def plan_build(
    connection: Connection, collection: Collection, options: BuildOptions | None = None
) -> BuildPlan:
    """Count the rows and work out memory, size and time of an index as the collection defines it.

    Raises:
        UsageError: The memory is no amount that PostgreSQL knows.
    """
    options = options or BuildOptions()
    table = sql.Identifier(collection.indexed_table)
    row = connection.execute(render("queries/embedding_count.sql", embedding_table=table)).fetchone()
    largest, rows = row or (0, 0)
    needed, size, lists = needed_bytes(collection, largest, rows)
    rate = [s.built for s in index_states(connection, collection) if s.built and s.is_made_as(collection)]
    seconds = sum(seconds for _, seconds in rate)
    return BuildPlan(
        rows=rows,
        graph_bytes=needed,
        memory_bytes=granted_memory(connection, needed, options.memory),
        index_bytes=size,
        rows_per_second=sum(rows for rows, _ in rate) / seconds if seconds else None,
        lists=lists,
    )


def needed_bytes(collection: Collection, largest: int, rows: int) -> tuple[int, int, int | None]:
    """Return memory to build a collection's index, its size, and the lists of an IVFFlat one.

    Args:
        largest: Rows of the largest table, one being built at a time; `rows` are those of all.
    """
    dimensions = collection.dimensions
    if collection.index_method == "ivfflat":
        lists = collection.lists or ivfflat.default_lists(largest)
        needed = ivfflat.build_bytes(largest, dimensions, lists)
        return needed, ivfflat.index_bytes(rows, dimensions, lists), lists
    made = (dimensions, collection.m, collection.quantization)
    return hnsw.graph_bytes(largest, *made), hnsw.index_bytes(rows, *made), None


def granted_memory(connection: Connection, needed: int, memory: str | None) -> int:
    """Return the bytes a build gets: what it needs within the limit, and never less than the server's own setting.

    Behind a pooler no session keeps what is set for it: there a build has the server's own.
    """
    if memory is not None:
        try:
            row = connection.execute("SELECT pg_size_bytes(%s)", [memory]).fetchone()
        except psycopg.DataError as error:
            raise UsageError(f'the memory "{memory}" is no size; expected one such as 4GB') from error
        limit = int(row[0]) if row else 0
        if not LEAST_BYTES <= limit < 2 << 40:
            raise UsageError(f"the memory is {memory}; expected 64MB to 2047GB")
        return server_memory(connection) if is_pooled(connection) else max(LEAST_BYTES, min(needed, limit))
    own = server_memory(connection)
    return own if is_pooled(connection) else max(own, LEAST_BYTES, min(needed, RAISED_BYTES))


def server_memory(connection: Connection) -> int:
    """Return the bytes of the session's maintenance_work_mem."""
    row = connection.execute("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))").fetchone()
    return int(row[0]) if row else 0


def build_index(connection: Connection, collection: Collection, progress: Progress | None = None) -> bool:
    """Build what is missing of a collection's index, CONCURRENTLY, and return whether anything was built.

    An index left INVALID by a cancelled build is dropped and built anew.

    Raises:
        NotOwnerError: Only the owner of the embedding table may build.
        DatabaseError: The build was cancelled or refused; running it again repairs.
    """
    again = f"imgvec backfill {collection.name}"
    wanted = collection
    if not any(state.index_name for state in index_states(connection, collection)):
        wanted = with_fitting_index(connection, collection)
    if wanted.by_picture and not collection.by_picture:
        with telling_refusals(connection, wanted, again):
            prepare_pictures(connection, wanted)
    plan = plan_build(connection, wanted)
    built = run_build(connection, plan.define(wanted), plan, again=again, progress=progress)
    if wanted.by_picture != collection.by_picture:
        with lock_timeout(connection, LOCK_MS), pinned_search_path(connection):
            adopt_shape(connection, wanted, vector_schema(connection))
        if not wanted.by_picture:
            drop_pictures(connection, wanted)
    return built


def run_build(
    connection: Connection,
    collection: Collection,
    plan: BuildPlan,
    *,
    again: str,
    workers: int | None = None,
    ending: Ending = "current",
    progress: Progress | None = None,
) -> bool:
    """Build the missing and the invalid indexes of this ending, and return whether there were any.

    Args:
        again: The command that goes on after an error.

    Raises:
        NotOwnerError: Only the owner of the embedding table may build.
        DatabaseError: The build was cancelled or refused.
    """
    schema = vector_schema(connection)
    with build_settings(connection, plan, workers), ProgressWatch(connection, collection, progress):
        for _ in range(BUILD_TRIES):
            wait_for_builds(connection, collection)
            try:
                return build_tables(connection, collection, schema, ending)
            except BEGUN_BY_ANOTHER as error:
                log.info("another process builds the index of %s: %s", collection.name, one_line(error))
            except psycopg.errors.DiskFull as error:
                raise DatabaseError(
                    f"the index of {collection.name} was not built ({one_line(error)}); a parallel build keeps "
                    f"{plan.memory_bytes >> 20} MB in shared memory: imgvec index create {collection.name} --workers 0 "
                    "needs none, or give the server more (docker: --shm-size)"
                ) from error
            except psycopg.errors.InsufficientPrivilege as error:
                raise not_owner(connection, collection, error, again) from error
            except psycopg.errors.QueryCanceled as error:
                raise DatabaseError(cancelled(connection, collection, error, again)) from error
            except psycopg.Error as error:
                raise DatabaseError(
                    f"the index of {collection.name} was not built ({one_line(error)}); run again: {again}"
                ) from error
    return False


@contextmanager
def telling_refusals(connection: Connection, collection: Collection, again: str) -> Iterator[None]:
    """Say who may do what this role may not, and which limit ended what was begun."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise not_owner(connection, collection, error, again) from error
    except psycopg.errors.QueryCanceled as error:
        raise DatabaseError(cancelled(connection, collection, error, again)) from error


def not_owner(
    connection: Connection, collection: Collection, error: psycopg.Error, again: str
) -> NotOwnerError:
    """Return the error that says so."""
    return NotOwnerError(
        f"the role {connection.info.user} may not build the index of {collection.name} ({one_line(error)}); "
        f"have the owner of imgvec.{collection.embedding_table} run: {again}"
    )


def wait_for_builds(connection: Connection, collection: Collection) -> None:
    """Wait until nobody builds an index here: while it is built it looks like one that a cancelled build left."""
    while running_build(connection, collection) is not None:
        time.sleep(PROGRESS_SECONDS)


@contextmanager
def build_settings(connection: Connection, plan: BuildPlan, workers: int | None) -> Iterator[None]:
    """Give this session the memory and the workers for a build, and take them back.

    PostgreSQL counts parallel workers by the pages of the table itself, which are few where wide vectors lie in TOAST,
    and pgvector builds alone where it counts none: for workers that were asked for, no table is too small.
    """
    settings = {"maintenance_work_mem": f"{plan.memory_bytes >> 10}kB"}
    if workers is not None:
        settings |= {"max_parallel_maintenance_workers": str(workers), "min_parallel_table_scan_size": "0"}
    if is_pooled(connection):
        log.warning(
            "a pooler stands between: the index is built with the server's own maintenance_work_mem (%d MB) and workers; "
            "for others, connect to the server itself",
            plan.memory_bytes >> 20,
        )
    with session_changed(connection, **settings):
        yield


def cancelled(connection: Connection, collection: Collection, error: psycopg.Error, again: str) -> str:
    """Say what ended a build, and who can lift a limit: a session of the library's own has none unless it was given one."""
    row = connection.execute("SELECT current_setting('statement_timeout')").fetchone()
    limit, cure = row[0] if row else "0", ""
    if is_pooled(connection):
        cure = (
            "behind a pooler a statement_timeout of the role or database holds: connect to the server itself, or "
            f"ALTER ROLE {connection.info.user} SET statement_timeout = 0, then "
        )
    elif limit != "0":
        cure = (
            f"statement_timeout is {limit} by the options of this connection or PGOPTIONS: take it out, then "
        )
    return f"the index of {collection.name} was not built ({one_line(error)}); {cure}run again: {again}"


class ProgressWatch:
    """Reports an index build's progress from a second connection while the first is busy."""

    def __init__(self, connection: Connection, collection: Collection, report: Progress | None) -> None:
        self._report = report
        self._collection = collection
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
                build = running_build(watcher, self._collection)
                if build is not None:
                    self._report(build.phase, build.done, build.total)
