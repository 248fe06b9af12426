"""Replace an index online: build the new one concurrently, then swap the names."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    one_line,
    pinned_search_path,
    session_changed,
    vector_schema,
)
from imgvec_pg.database.partitioning import check_partition_by
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import BuildOptions, BuildPlan, Progress, plan_build, run_build
from imgvec_pg.store.index.ddl import (
    Ending,
    IndexState,
    drop_indexes,
    index_states,
    rename_indexes,
    running_build,
)
from imgvec_pg.store.pictures.picture_table import (
    adopt_shape,
    drop_pictures,
    has_pictures,
    prepare_pictures,
)
from imgvec_pg.store.registry import get_collection

TIDY_MS = 10_000
TEMPORARY: tuple[Ending, ...] = ("next", "old")


@dataclass(frozen=True)
class Replaced:
    """Result of a swap: the new index, and the names of those dropped."""

    plan: BuildPlan
    dropped: list[str]


def replace_index(
    connection: Connection,
    wanted: Collection,
    options: BuildOptions,
    *,
    again: str,
    announce: Callable[[BuildPlan], None] = lambda plan: None,
    progress: Progress | None = None,
) -> Replaced:
    """Build an index as `wanted` says, let it take the place of the present one if any, then drop that.

    Until the new index is complete, searches use the old one. Taking its place, with the registry's entry and the
    search function, is one transaction without a lock that anybody would wait for. What an earlier, killed run left is
    used where it fits, else dropped.

    Raises:
        DatabaseError: Another session builds here, or PostgreSQL refused; `tidy` says what is left.
        UsageError: Searches of one tenant could not read it.
    """
    check_partition_by(wanted.partition_by, wanted.partitions, wanted.index_method, wanted.quantization)
    refuse_while_building(connection, wanted)
    present = get_collection(connection, wanted.name)
    if wanted.by_picture and not present.by_picture:
        prepare_pictures(connection, wanted)
    begun = index_states(connection, wanted, "next")
    is_other = any(state.index_name is not None and not state.is_made_as(wanted) for state in begun)
    dropped = drop_indexes(connection, begun) if is_other else []
    dropped += drop_indexes(connection, index_states(connection, wanted, "old"))
    plan = plan_build(connection, wanted, options)
    announce(plan)
    run_build(
        connection,
        plan.define(wanted),
        plan,
        again=again,
        workers=options.workers,
        ending="next",
        progress=progress,
    )
    swap(connection, wanted)
    dropped += drop_indexes(connection, index_states(connection, wanted, "old"))
    if present.by_picture and not wanted.by_picture:
        drop_pictures(connection, wanted)
        dropped.append(wanted.picture_table)
    elif wanted.by_picture and not present.by_picture:
        dropped += drop_indexes(connection, index_states(connection, present))
    return Replaced(plan, dropped)


def swap(connection: Connection, wanted: Collection) -> None:
    """Rename the complete new index to the name of the present one, and note how it is made."""
    schema = vector_schema(connection)
    with lock_timeout(connection, TIDY_MS), pinned_search_path(connection):
        rename_indexes(connection, wanted, index_states(connection, wanted), "old")
        rename_indexes(connection, wanted, index_states(connection, wanted, "next"), "current")
        connection.execute(
            load_sql("queries/define_index.sql"),
            {
                "m": wanted.m,
                "ef_construction": wanted.ef_construction,
                "quantization": wanted.quantization,
                "index_method": wanted.index_method,
                "lists": wanted.lists,
                "collection_id": wanted.id,
            },
        )
        adopt_shape(connection, wanted, schema)


def refuse_while_building(connection: Connection, collection: Collection) -> None:
    """Refuse to change an index that a session is building.

    Raises:
        CollectionError: One is; its phase is told.
    """
    build = running_build(connection, collection)
    if build is not None:
        raise CollectionError(
            f"an index of {collection.name} is being built by another session ({build.phase}); wait for it, see: "
            f"imgvec index show {collection.name}"
        )


def drop_index(connection: Connection, collection: Collection, *, lock_timeout_ms: int) -> list[str]:
    """Drop a collection's index and whatever is left of others, and return the names.

    Raises:
        CollectionError: There is none, or one is being built.
        DatabaseError: The role may not, or a lock was not had in time.
    """
    refuse_while_building(connection, collection)
    endings: tuple[Ending, ...] = ("current", *TEMPORARY)
    states = [state for ending in endings for state in index_states(connection, collection, ending)]
    if not any(state.index_name for state in states):
        raise CollectionError(f"collection {collection.name} has no index; nothing was dropped")
    try:
        dropped = drop_indexes(connection, states, lock_timeout_ms=lock_timeout_ms)
        if collection.by_picture:
            # Without an index to the pictures there is no use in a way over them.
            by_rows = replace(collection, by_picture=False)
            with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
                adopt_shape(connection, by_rows, vector_schema(connection))
            drop_pictures(connection, by_rows, lock_timeout_ms=lock_timeout_ms)
            dropped.append(collection.picture_table)
        return dropped
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not drop the index of {collection.name} ({one_line(error)}); "
            f"run it as the owner of imgvec.{collection.embedding_table}"
        ) from error


def leftovers(connection: Connection, collection: Collection) -> list[str]:
    """Return the names of what a stopped command left beside the index in use: indexes, and pictures that none asks for."""
    names = [
        state.index_name
        for ending in TEMPORARY
        for state in index_states(connection, collection, ending)
        if state.index_name is not None
    ]
    unused = not collection.by_picture and has_pictures(connection, collection)
    if collection.by_picture:
        rows = own_indexes_of_rows(connection, collection)
        names += [state.index_name for state in rows if state.index_name is not None]
    return [*names, *([collection.picture_table] if unused else [])]


def own_indexes_of_rows(connection: Connection, collection: Collection) -> list[IndexState]:
    """Return the states of the indexes over rows that have imgvec's names; others somebody made for purposes of their own."""
    states = index_states(connection, replace(collection, by_picture=False))
    return [state for state in states if state.index_name == f"{state.table_name}_{state.method}"]


def tidy(connection: Connection, collection: Collection, *, keep_complete: bool = False) -> list[str]:
    """Drop what a stopped build left, waiting 10 s at most a step; return the names of what is left.

    Args:
        keep_complete: Leave a new index that only has to take its place: the next run goes on from there.
    """
    built = index_states(connection, collection, "next")
    endings: tuple[Ending, ...] = TEMPORARY
    if keep_complete and all(state.is_valid for state in built):
        endings = ("old",)
    with (
        session_changed(connection, statement_timeout=f"{TIDY_MS}ms"),
        suppress(psycopg.Error, DatabaseError),
    ):
        for ending in endings:
            drop_indexes(connection, index_states(connection, collection, ending), lock_timeout_ms=TIDY_MS)
        collection = get_collection(connection, collection.name)
        if collection.by_picture:
            rows = own_indexes_of_rows(connection, collection)
            drop_indexes(connection, rows, lock_timeout_ms=TIDY_MS)
        elif not keep_complete and has_pictures(connection, collection):
            drop_pictures(connection, collection, lock_timeout_ms=TIDY_MS)
    return leftovers(connection, collection)
