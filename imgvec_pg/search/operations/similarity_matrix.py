"""How alike rows are among each other."""

from collections.abc import Sequence

import numpy as np
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.search.query_types import Float32Array, dump_keys
from imgvec_pg.search.transaction import read_only_transaction
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
