"""One run of `imgvec duplicates --against`: read, compare, write."""

from collections.abc import Callable
from dataclasses import dataclass

from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates.between.across import compare_across
from imgvec_pg.duplicates.between.against import prepare_against, require_same_model, write_across
from imgvec_pg.duplicates.keeper import refuse_others_sql
from imgvec_pg.duplicates.only_run import only_search
from imgvec_pg.duplicates.pairs import check_threshold
from imgvec_pg.duplicates.vector_rows import read_vectors
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class FoundAcross:
    """What a run against another collection found.

    Attributes:
        rows: Rows of the collection itself.
        other_rows: Rows of the other.
        other_read: Those of them whose vectors were read; coordinates of the other's last run told that the rest is near none.
        pairs: Rows of the relation now.
        changed: Rows of pairs that changed or went meanwhile.
    """

    rows: int
    other_rows: int
    other_read: int
    pairs: int
    changed: int


def find_duplicates_across(
    connection: Connection,
    guard: Connection,
    collection: Collection,
    other: Collection,
    threshold: float,
    where: str | None = None,
    memory_bytes: int = 4 * 10**9,
    max_pairs: int = 5_000_000,
    *,
    read: Callable[[int], None] = lambda rows: None,
) -> FoundAcross:
    """Find all near-duplicates that rows of a collection have in another of its model, and replace what their relation holds.

    Args:
        threshold: Cosine similarity, above 0, up to 1.
        where: SQL condition over the collection's own source.
        memory_bytes: What the process may take, about.
        max_pairs: More are refused.
        read: Called with the rows of the other that were compared.

    Raises:
        UsageError: Models differ, an option is out of range, or too many pairs are near.
        DatabaseError, CollectionError: As `find_duplicates`.
    """
    check_threshold(threshold)
    require_same_model(connection, collection, other)
    refuse_others_sql(connection, collection, where, ())
    with only_search(guard, collection) as still_only:
        prepare_against(connection, collection, other)
        rows = read_vectors(connection, collection, where, memory_bytes)
        across = compare_across(connection, other, rows, threshold, max_pairs, read)
        pairs, changed = write_across(connection, collection, other, rows, across, still_only)
    return FoundAcross(len(rows.keys), across.compared, across.read, pairs, changed)
