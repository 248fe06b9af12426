"""One run of `imgvec duplicates`: read, compare, group, write."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.checkpoint import Checkpoint
from imgvec_pg.duplicates.groups import LINKAGES, check_linkage
from imgvec_pg.duplicates.incremental import follow_last_run
from imgvec_pg.duplicates.keeper import WORDS, KeepRule, keep_rules, refuse_bad_rules, refuse_others_sql
from imgvec_pg.duplicates.only_run import StillOnly, only_search
from imgvec_pg.duplicates.pair_search.torch_comparison import torch_devices
from imgvec_pg.duplicates.pairs import Pairs, check_threshold, find_pairs
from imgvec_pg.duplicates.relations import (
    WrittenDuplicates,
    duplicate_parts,
    has_relations,
    prepare_relations,
    write_duplicates,
)
from imgvec_pg.duplicates.resume import Resumed, find_pairs_again
from imgvec_pg.duplicates.run_state import RunState, add_seen, read_run, write_run
from imgvec_pg.duplicates.sketch import make_sketch
from imgvec_pg.duplicates.vector_rows import VectorRows, read_vectors
from imgvec_pg.errors import DatabaseError, UsageError
from imgvec_pg.settings import state_directory
from imgvec_pg.store.collection import Collection

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FoundDuplicates:
    """What a run found.

    Attributes:
        rows: Rows compared.
        queued: Rows of the source that have no vector yet.
        failed: Rows that could not be embedded.
        skipped: Vectors without a direction.
        written: What is in the relations now.
        compared: Rows that were compared with all others: all in a full run, in a following one those that were new or changed.
        gone: Rows of the last run that are gone or changed; None where this was a full run.
        checked: Pairs of sampled rows, each compared with all others, by which a fast search was measured; None where none is
            missed.
        recall: The share of them that it had found by itself; None without any.
    """

    rows: int
    queued: int
    failed: int
    skipped: int
    written: WrittenDuplicates
    compared: int
    gone: int | None = None
    checked: int | None = None
    recall: float | None = None


@dataclass(frozen=True)
class DuplicateSearch:
    """What a run is asked for.

    Attributes:
        threshold: Cosine similarity, above 0, up to 1.
        where: SQL condition over the source's columns.
        keep: Rules that choose the keeper of a group, as `keep_rules` takes them.
        memory_bytes: What the process may take, about.
        max_pairs: More are refused.
        full: Compare all rows, even where a following run would do.
        fast: Whether some pairs may be missed.
        restart: Compare all again, whatever a run that was stopped has done.
        linkage: When two groups become one, as `groups.link` takes it.
        device: Where to compare: "cpu", "cuda" (all GPUs) or "cuda:0".
    """

    threshold: float = 0.95
    where: str | None = None
    keep: Sequence[str] = ()
    memory_bytes: int = 4 * 10**9
    max_pairs: int = 5_000_000
    full: bool = False
    fast: bool = False
    restart: bool = False
    device: str = "cpu"
    linkage: str = LINKAGES[0]


def find_duplicates(
    connection: Connection,
    guard: Connection,
    collection: Collection,
    search: DuplicateSearch,
    *,
    read: Callable[[int], None] = lambda rows: None,
    compared: Progress = lambda done, total: None,
    resumed: Callable[[Resumed], None] = lambda where: None,
) -> FoundDuplicates:
    """Find all pairs of near-duplicates of a collection, so that its relations hold those and no others.

    Where the last run was like this one, only what is new or changed since is compared; the result is the same.
    What is compared is noted in a file, so that a run that was killed goes on where it was.
    No transaction is open while rows are compared: rows that change meanwhile are left out and counted.

    Args:
        guard: A second connection, which keeps a second run out.
        read: Called with the rows read so far.
        compared: Called with the comparisons done, and all.
        resumed: Called where a run goes on.

    Raises:
        UsageError: An option is out of range, or too many pairs are near.
        MissingExtraError, ModelError: There is no such device.
        DatabaseError: The role lacks a right, another run goes on, or the guard's session has ended. Nothing is changed.
        CollectionError: The source is gone, or something has the name of a relation.
    """
    check_threshold(search.threshold)
    check_linkage(search.linkage)
    if search.max_pairs < 1:
        raise UsageError(f"--max-pairs is {search.max_pairs}; expected 1 or more")
    devices = torch_devices(search.device)
    rules = keep_rules(connection, collection, search.keep)
    refuse_others_sql(connection, collection, search.where, rules)
    needed = f"it takes SELECT on imgvec.{collection.embedding_table}, as imgvec_worker has it"
    with only_search(guard, collection) as still_only, needing(connection, needed):
        prepare_relations(connection, collection)
        refuse_bad_rules(connection, collection, rules)
        not_embedded = _not_embedded(connection, collection)
        found = None
        if not (search.full or search.fast):
            found = _follow(connection, collection, search, rules, not_embedded, still_only)
        if found is None:
            found = _compare_all(
                connection,
                collection,
                search,
                rules,
                not_embedded,
                devices,
                read,
                compared,
                resumed,
                still_only,
            )
    return found


def _not_embedded(connection: Connection, collection: Collection) -> tuple[int, int]:
    """Return how many rows are queued, and how many failed."""
    states = connection.execute(
        render("collection/count_states.sql", **collection.parts(vector_schema(connection)))
    ).fetchone()
    queued, failed = map(int, states[1:] if states else (0, 0))
    return queued, failed


def _follow(
    connection: Connection,
    collection: Collection,
    search: DuplicateSearch,
    rules: Sequence[KeepRule],
    not_embedded: tuple[int, int],
    still_only: StillOnly,
) -> FoundDuplicates | None:
    """Compare what is new or changed since the last run, where that was like this one."""
    found = follow_last_run(
        connection,
        collection,
        search.threshold,
        search.where,
        search.memory_bytes,
        search.max_pairs,
        rules,
        search.linkage,
        sum(not_embedded),
        still_only,
    )
    if found is None:
        return None
    return FoundDuplicates(found.rows, *not_embedded, found.skipped, found.written, found.new, found.gone)


def _compare_all(
    connection: Connection,
    collection: Collection,
    search: DuplicateSearch,
    rules: Sequence[KeepRule],
    not_embedded: tuple[int, int],
    devices: Sequence[str],
    read: Callable[[int], None],
    compared: Progress,
    resumed: Callable[[Resumed], None],
    still_only: StillOnly,
) -> FoundDuplicates:
    """Compare all rows, and note them for a run that follows.

    Args:
        not_embedded: Rows queued, and failed.
        devices: As `find_pairs` takes them.
    """
    rows = read_vectors(connection, collection, search.where, search.memory_bytes, read)
    checkpoint = Checkpoint(checkpoint_path(connection, collection), search.threshold)
    pairs = _find_pairs(search, devices, rows, checkpoint, compared, resumed)
    sketch, coordinates = make_sketch(rows.vectors)
    count = len(rows.keys)
    keep = [rule.shown for rule in rules]
    run = RunState(search.threshold, search.where, keep, search.linkage, count, count, sketch)

    def note(parts: dict[str, sql.Composable]) -> None:
        if pairs.checked is not None:
            connection.execute(render("collection/forget_run.sql", **parts))
            return
        connection.execute(render("collection/empty_seen.sql", **parts))
        add_seen(connection, parts, 0, rows.keys, rows.versions, rows.times, coordinates)
        write_run(connection, parts, run, sum(not_embedded))

    written = write_duplicates(connection, collection, rows, pairs, rules, search.linkage, still_only, note)
    if not search.fast:
        # Not before: where the writing fails, the next run has nothing left to compare.
        checkpoint.remove()
    return FoundDuplicates(
        count,
        *not_embedded,
        pairs.skipped,
        written,
        count,
        checked=pairs.checked,
        recall=pairs.recall,
    )


def search_again(connection: Connection, guard: Connection, collection: Collection) -> FoundDuplicates | None:
    """Find duplicates as the last run was asked to; None where there never was one.

    Raises:
        UsageError, DatabaseError, CollectionError: As `find_duplicates`.
    """
    if not has_relations(connection, collection):
        return None
    last = read_run(connection, collection, duplicate_parts(collection, vector_schema(connection)))
    if last is None:
        return None
    _refuse_sql_of_workers(connection, collection, last)
    search = DuplicateSearch(last.threshold, last.condition, last.keep, linkage=last.linkage)
    return find_duplicates(connection, guard, collection, search)


def _refuse_sql_of_workers(connection: Connection, collection: Collection, last: RunState) -> None:
    """Refuse a superuser what any imgvec_worker may have written into the run table: it would run with a superuser's rights."""
    if last.condition is None and {rule.strip().lower() for rule in last.keep} <= set(WORDS):
        return
    row = connection.execute(load_sql("queries/others_write_runs.sql")).fetchone()
    if row is not None and row[0]:
        raise DatabaseError(
            f"the last run's --where and --keep may be any imgvec_worker's SQL, which the superuser {connection.info.user} "
            f"does not run: have a worker that is no superuser, or run imgvec duplicates {collection.name} yourself"
        )


def _find_pairs(
    search: DuplicateSearch,
    devices: Sequence[str],
    rows: VectorRows,
    checkpoint: Checkpoint,
    compared: Progress,
    resumed: Callable[[Resumed], None],
) -> Pairs:
    if search.restart:
        checkpoint.remove()
    if search.fast:
        return find_pairs(
            rows.vectors,
            search.threshold,
            fast=True,
            max_pairs=search.max_pairs,
            devices=devices,
            bytes_of_coordinates=rows.bytes_of_coordinates,
            progress=compared,
        )
    return find_pairs_again(
        rows,
        search.threshold,
        checkpoint,
        max_pairs=search.max_pairs,
        devices=devices,
        progress=compared,
        resumed=resumed,
    )


def checkpoint_path(connection: Connection, collection: Collection) -> Path:
    """Return where a run notes what it has done: a file for each collection of each database.

    Rows are known again by key and vector, so a file of another collection would do no harm.
    """
    info = connection.info
    place = json.dumps([info.host, info.port, info.dbname, collection.id])
    name = f"{collection.name}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.checkpoint"
    return state_directory() / "duplicates" / name
