"""A table of photos by tenant, two of them large, with a collection that is divided by tenant."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from photostore import make_collection
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

DIMENSIONS = 16
SIZES = {1: 1500, 2: 1200, 3: 30, 4: 20, 5: 10}
"""Rows of each tenant; 6 has none."""
TABLE = """
CREATE SCHEMA shop;
CREATE TABLE shop.photo (tenant_id int, id bigint, file text, price numeric, PRIMARY KEY (tenant_id, id));
"""


def vector(seed: int) -> str:
    """Return a unit vector as PostgreSQL reads it."""
    values = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return str([float(x) for x in np.round(values / np.linalg.norm(values), 6)])


def make_tenants(connection: Connection, sizes: Mapping[int, int] = SIZES, **changes: Any) -> Collection:
    """Make shop.photo(tenant_id, id, file, price) with all rows embedded, their ids counted within each tenant from 1."""
    connection.execute(TABLE)
    for tenant, rows in sizes.items():
        connection.execute(
            "INSERT INTO shop.photo SELECT %s, i, i || '.jpg', i FROM generate_series(1, %s) AS i",
            [tenant, rows],
        )
    collection = make_collection(
        connection, dimensions=DIMENSIONS, **{"partition_by": "tenant_id", **changes}
    )
    table = sql.Identifier("imgvec", collection.embedding_table)
    columns = sql.SQL("tenant_id, id, embedding, version, content_hash, precision, embedded_at")
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns)) as copy,
    ):
        for tenant, rows in sizes.items():
            for key in range(1, rows + 1):
                values = (
                    tenant,
                    key,
                    vector(1_000_000 * tenant + key),
                    1,
                    f"\\x{key:08x}",
                    "fp32",
                    "2026-01-01",
                )
                copy.write_row(values)
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("ANALYZE shop.photo")
    connection.execute(sql.SQL("ANALYZE {}").format(table))
    return collection


def exact(connection: Connection, query: str, tenant: int, k: int) -> list[tuple[int, int]]:
    """Return the keys nearest to a vector of one tenant's rows, compared one by one."""
    return connection.execute(
        "SELECT tenant_id, id FROM imgvec.photo_test_embedding WHERE tenant_id = %s"
        " ORDER BY (embedding <=> %s::halfvec) + 0, id LIMIT %s",
        [tenant, query, k],
    ).fetchall()


def search_tenant(
    connection: Connection, query: str, tenant: int | None, k: int = 10
) -> list[tuple[int, int]]:
    """Return what the collection's own search of one tenant finds."""
    return connection.execute(
        "SELECT tenant_id, id FROM imgvec.search_tenant_photo_test(%s::halfvec, %s, tenant => %s)",
        [query, k, tenant],
    ).fetchall()


def strategy(connection: Connection) -> str:
    """Return how the last search was made."""
    row = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
    assert row is not None
    return str(row[0])
