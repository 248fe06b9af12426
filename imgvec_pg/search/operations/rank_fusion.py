"""One answer from two collections over the same rows, by reciprocal rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import Neighbours
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.search.transaction import read_only_transaction
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

RANK_CONSTANT = 60
"""Cormack, Clarke, Büttcher 2009, Reciprocal rank fusion, SIGIR '09."""


@dataclass(frozen=True)
class Fused:
    """A row found: its score, and its rank (from 1) in each answer that has it."""

    key: Key
    score: float
    ranks: tuple[int | None, int | None]
    columns: dict[str, Any]


def require_same_source(first: Collection, second: Collection) -> None:
    """Refuse collections whose rows have nothing to do with each other.

    Raises:
        UsageError: They are one and the same, or embed different tables.
    """
    if first.id == second.id:
        raise UsageError(f'collection "{first.name}" was named twice; expected two collections of one table')
    if (first.source_schema, first.source_name) != (second.source_schema, second.source_name):
        raise UsageError(
            f'collection "{first.name}" embeds {first.shown_source}, "{second.name}" embeds '
            f"{second.shown_source}; expected two collections of one table"
        )


def fuse_answers(
    connection: Connection,
    collection: Collection,
    answers: tuple[Neighbours, Neighbours],
    k: int,
    rank_constant: int = RANK_CONSTANT,
) -> Sequence[Fused]:
    """Return the k rows with the best sums of 1 / (rank_constant + rank).

    Raises:
        DatabaseError: The constant is below 0.
    """
    first, second = ([Jsonb(row.key, dumps=dump_keys) for row in answer.rows] for answer in answers)
    with read_only_transaction(connection, collection) as cursor:
        fused = cursor.execute(
            load_sql("queries/fuse.sql"), {"first": first, "second": second, "rank_constant": rank_constant}
        ).fetchall()
    # By rank, since a key's JSON may have no hash.
    return [
        Fused(
            key,
            score,
            (one, other),
            (answers[0].rows[one - 1] if one is not None else answers[1].rows[other - 1]).columns,
        )
        for key, score, one, other in fused[:k]
    ]
