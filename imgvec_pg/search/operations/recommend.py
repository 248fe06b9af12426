"""Recommendations: from liked and disliked rows, or from what a group of rows has in common."""

from collections.abc import Sequence
from dataclasses import replace

from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.nearest import MAX_K, NearestOptions, Neighbours, find_nearest
from imgvec_pg.search.query_types import Float32Array, dump_keys, read_vector
from imgvec_pg.search.transaction import bracketed, read_only_transaction
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

MEAN_OF_AT_MOST = 10_000


def preference_vector(
    connection: Connection,
    collection: Collection,
    liked: Sequence[Key],
    disliked: Sequence[Key] = (),
    disliked_weight: float = 0.25,
) -> Float32Array:
    """Return mean(liked) - disliked_weight * mean(disliked): shape (dimensions,), L2 norm 1.

    Raises:
        DatabaseError: A row has no embedding, the vectors cancel out, or a count or the weight is out of range.
    """
    values: dict[str, object] = {
        "collection": collection.name,
        "liked": [Jsonb(key, dumps=dump_keys) for key in liked],
        "disliked": [Jsonb(key, dumps=dump_keys) for key in disliked],
        "disliked_weight": disliked_weight,
    }
    return _vector(connection, collection, "queries/preference.sql", values)


def mean_vector(connection: Connection, collection: Collection, where: str) -> Float32Array:
    """Return the mean of the rows that match a condition: shape (dimensions,), L2 norm 1.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
        CollectionError: No embedded row matches it.
    """
    statement = render(
        "collection/matching_keys.sql",
        **bindable({**collection.parts(vector_schema(connection)), "condition": bracketed(where)}),
    )
    with read_only_transaction(connection, collection, where) as cursor:
        found = cursor.execute(statement, {"most": MEAN_OF_AT_MOST}).fetchall()
    if not found:
        raise CollectionError(
            f'no embedded row of collection "{collection.name}" matches {where!r}; expected one at least'
        )
    keys = [Jsonb(key, dumps=dump_keys) for (key,) in found]
    values: dict[str, object] = {"collection": collection.name, "keys": keys}
    return _vector(connection, collection, "queries/mean_embedding.sql", values)


def find_others(
    connection: Connection,
    collection: Collection,
    vector: Float32Array,
    known: Sequence[Key],
    options: NearestOptions,
) -> Neighbours:
    """Find the nearest rows without those already known; never fewer than k while more match.

    Raises:
        UsageError: k and the known rows are together over 10,000.
    """
    if options.k + len(known) > MAX_K:
        raise UsageError(
            f"k is {options.k} and {len(known)} rows are left out; expected {MAX_K} together at most"
        )
    if options.distinct:
        return find_nearest(connection, collection, vector, options, without=known)
    found = find_nearest(connection, collection, vector, replace(options, k=options.k + len(known)))
    others = [row for row in found.rows if row.key not in known]
    return Neighbours(others[: options.k], found.strategy)


def _vector(
    connection: Connection, collection: Collection, file: str, values: dict[str, object]
) -> Float32Array:
    with read_only_transaction(connection, collection) as cursor:
        row = cursor.execute(load_sql(file), values).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM
    return read_vector(row[0])
