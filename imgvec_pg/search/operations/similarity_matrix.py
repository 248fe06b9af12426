"""How alike rows are among each other, and the order that puts like beside like."""

from collections.abc import Sequence

import numpy as np
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.search.query_types import Float32Array, dump_keys
from imgvec_pg.search.transaction import bracketed, read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key


def similarity_matrix(connection: Connection, collection: Collection, keys: Sequence[Key]) -> Float32Array:
    """Return the cosine similarity (1 to -1) of each row with each, shape (n, n), in the keys' order.

    Raises:
        DatabaseError: A row has no embedding, or the keys are not 1 to 500.
    """
    values = {"collection": collection.name, "keys": [Jsonb(key, dumps=dump_keys) for key in keys]}
    with read_only_transaction(connection, collection) as cursor:
        found = cursor.execute(load_sql("queries/similarity_matrix.sql"), values).fetchall()
    return np.array(found, dtype=np.float32).reshape(len(keys), len(keys))


def find_embedded_keys(connection: Connection, collection: Collection, where: str, limit: int) -> list[Key]:
    """Return the first keys, in their order, of embedded rows that meet `where`, an SQL condition.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
    """
    parts = bindable(
        {
            **collection.parts(vector_schema(connection)),
            **shown_columns(connection, collection, ()),
            "condition": bracketed(where),
        }
    )
    statement = render("collection/embedded_keys.sql", **parts)
    with read_only_transaction(connection, collection, where) as cursor:
        return [key for (key,) in cursor.execute(statement, {"limit": limit})]


def order_by_likeness(similarities: Float32Array) -> list[int]:
    """Return the positions of a matrix's rows, shape (n, n), so that like stands beside like.

    Average-linkage clustering; where two clusters are joined, they are turned so that the most alike of their four ends meet
    (Gruvaeus & Wainer 1972, "Two additions to hierarchical cluster analysis"). Equal values are decided by position, so that
    the answer is the same each time; it begins with the end that is nearer to the first row.
    O(n³): 500 rows take below 0.1 s of CPU time.
    """
    count = len(similarities)
    pairs = similarities.astype(np.float64)
    average = pairs.copy()
    np.fill_diagonal(average, -np.inf)
    clusters = [[position] for position in range(count)]
    for _ in range(count - 1):
        one, other = sorted(divmod(int(np.argmax(average)), count))
        sizes = len(clusters[one]), len(clusters[other])
        joined = np.average(average[[one, other]], axis=0, weights=sizes)
        average[one], average[:, one] = joined, joined
        average[one, one] = -np.inf
        average[other], average[:, other] = -np.inf, -np.inf
        clusters[one] = _joined(pairs, clusters[one], clusters[other])
    order = clusters[0] if count else []
    return order if order.index(0) * 2 < count else order[::-1]


def _joined(
    pairs: np.ndarray[tuple[int, int], np.dtype[np.float64]], one: list[int], other: list[int]
) -> list[int]:
    """Return two orders as one, each turned so that the ends that meet are the most alike."""
    ways = [(left, right) for left in (one, one[::-1]) for right in (other, other[::-1])]
    left, right = max(ways, key=lambda way: pairs[way[0][-1], way[1][0]])
    return left + right
