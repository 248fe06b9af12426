"""One run of `imgvec duplicates`: read, compare, group, write."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.database.connect import Connection, needing, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.duplicates.checkpoint import Checkpoint
from imgvec_pg.duplicates.keeper import KeepRule, keep_rules
from imgvec_pg.duplicates.pair_search.torch_comparison import torch_devices
from imgvec_pg.duplicates.pairs import Pairs, check_threshold, find_pairs
from imgvec_pg.duplicates.relations import WrittenDuplicates, only_search, prepare_relations, write_duplicates
from imgvec_pg.duplicates.resume import Resumed, find_pairs_again
from imgvec_pg.duplicates.vector_rows import VectorRows, own_sql, read_vectors
from imgvec_pg.errors import UsageError
from imgvec_pg.search.code_of_others import refuse_code_of_others
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
        checked: Pairs of sampled rows, each compared with all others, by which a fast search was measured; None where none is
            missed.
        recall: The share of them that it had found by itself; None without any.
    """

    rows: int
    queued: int
    failed: int
    skipped: int
    written: WrittenDuplicates
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
        fast: Whether some pairs may be missed.
        restart: Compare all again, whatever a run that was stopped has done.
        device: Where to compare: "cpu", "cuda" (all GPUs) or "cuda:0".
    """

    threshold: float = 0.95
    where: str | None = None
    keep: Sequence[str] = ()
    memory_bytes: int = 4 * 10**9
    max_pairs: int = 5_000_000
    fast: bool = False
    restart: bool = False
    device: str = "cpu"


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
    """Find all pairs of near-duplicates of a collection and replace what its relations hold.

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
        DatabaseError: The role lacks a right, or another run goes on.
        CollectionError: The source is gone, or something has the name of a relation.
    """
    check_threshold(search.threshold)
    if search.max_pairs < 1:
        raise UsageError(f"--max-pairs is {search.max_pairs}; expected 1 or more")
    devices = torch_devices(search.device)
    rules = keep_rules(connection, collection, search.keep)
    _refuse_code_of_others(connection, collection, search.where, rules)
    needed = f"it takes SELECT on imgvec.{collection.embedding_table}, as imgvec_worker has it"
    with only_search(guard, collection), needing(connection, needed):
        prepare_relations(connection, collection)
        states = connection.execute(
            render("collection/count_states.sql", **collection.parts(vector_schema(connection)))
        ).fetchone()
        _, queued, failed = states or (0, 0, 0)
        rows = read_vectors(connection, collection, search.where, search.memory_bytes, read)
        pairs = _compare(
            search,
            devices,
            rows,
            Checkpoint(checkpoint_path(connection, collection), search.threshold),
            compared,
            resumed,
        )
        written = write_duplicates(connection, collection, rows, pairs, rules)
    return FoundDuplicates(
        len(rows.keys), int(queued), int(failed), pairs.skipped, written, pairs.checked, pairs.recall
    )


def _compare(
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


def _refuse_code_of_others(
    connection: Connection, collection: Collection, where: str | None, rules: Sequence[KeepRule]
) -> None:
    """Refuse a superuser's condition, and rules, that run what the source's owner has made, casts of its columns too."""
    with own_sql(where, "condition", collection):
        refuse_code_of_others(connection, collection, where)
    for rule in rules:
        with own_sql(rule.shown, "rule", collection):
            refuse_code_of_others(
                connection, collection, f"{rule.expression.as_string(connection)} IS NOT NULL"
            )
