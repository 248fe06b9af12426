"""A table of items with clustered random vectors, enough of them that an HNSW index is worth its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

DIMENSIONS = 48


def vectors(rows: int, seed: int = 7) -> npt.NDArray[np.float32]:
    """Return unit vectors around 40 centres, shape (rows, 48)."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, DIMENSIONS))
    found = centres[random.integers(40, size=rows)] + random.normal(size=(rows, DIMENSIONS)) / 2
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def make_items(connection: Connection, rows: int, name: str = "item_test", **changes: Any) -> Collection:
    """Make shop.item(id, price = id) with its collection, embed all rows, and let the planner prefer the index.

    The planner would rather compare a few thousand rows; a large table is what this stands for.
    """
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.item (id bigint PRIMARY KEY, picture bytea, price integer)")
    connection.execute("INSERT INTO shop.item SELECT i, 'x', i FROM generate_series(1, %s) AS i", [rows])
    request = CollectionSpec(name, "shop.item", ["picture"], "test/48", DIMENSIONS, True, **changes)
    collection = create_collection(connection, request)
    with connection.cursor().copy(
        sql.SQL("COPY {} (id, embedding, version, content_hash, precision) FROM STDIN").format(
            sql.Identifier("imgvec", collection.embedding_table)
        )
    ) as copy:
        for key, vector in enumerate(vectors(rows), 1):
            copy.write_row((key, str(vector.tolist()), 1, "", "fp32"))
    connection.execute("ANALYZE shop.item")
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier("imgvec", collection.embedding_table)))
    for setting in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET {} = off").format(database, sql.SQL(setting)))
        connection.execute(sql.SQL("SET {} = off").format(sql.SQL(setting)))
    return collection


@contextmanager
def writer_holding(dsn: str, collection: Collection) -> Iterator[Connection]:
    """Hold a transaction that has written the table, which keeps CREATE INDEX CONCURRENTLY waiting."""
    with connect(dsn) as holder, holder.transaction():
        holder.execute(
            sql.SQL("UPDATE {} SET precision = precision WHERE id = 1").format(
                sql.Identifier("imgvec", collection.embedding_table)
            )
        )
        yield holder
