"""Exact search and size against a plain vector(512) column with TOAST's defaults, and the index's recall."""

import time
from collections.abc import Iterator

import numpy as np
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector

from imgvec_pg.database.connect import Connection
from searching.shop import K, Shop
from searching.target import Target

SIZE = "SELECT pg_table_size(%s::regclass) + pg_relation_size(%s::regclass)"


def measure(connection: Connection, shop: Shop) -> Iterator[Target]:
    """Load the same vectors into a plain column with an HNSW index of its own, and compare."""
    register_vector(connection)
    if connection.execute("SELECT to_regclass('plain')").fetchone() == (None,):
        connection.execute("CREATE TABLE plain (id bigint PRIMARY KEY, embedding vector(512))")
        with connection.cursor().copy("COPY plain FROM STDIN BINARY") as copy:
            copy.set_types(["int8", "vector"])
            for key, vector in enumerate(shop.stored, 1):
                copy.write_row((key, Vector(vector)))
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("CREATE INDEX plain_hnsw ON plain USING hnsw (embedding vector_cosine_ops)")
        connection.execute("VACUUM ANALYZE plain")
    ours, plain = [], []
    for query in shop.queries[:7]:
        for times, table, value in (
            (ours, "imgvec.item_embedding", HalfVector(query)),
            (plain, "plain", Vector(query)),
        ):
            started = time.perf_counter()
            connection.execute(
                f"SELECT id FROM {table} ORDER BY (embedding <=> %s) + 0 LIMIT {K}",  # type: ignore[arg-type]
                [value],
            ).fetchall()
            times.append(time.perf_counter() - started)
    ratio = float(np.median(plain) / np.median(ours))
    note = f"{1000 * np.median(ours):.0f} against {1000 * np.median(plain):.0f} ms"
    size = f"{len(shop.stored):,} x 512"
    yield Target("storage", f"exact search, {size}: times faster than vector(512)", ratio, 5, False, note)
    sizes = [
        connection.execute(SIZE, names).fetchone()  # type: ignore[arg-type]
        for names in (["imgvec.item_embedding", "imgvec.item_embedding_hnsw"], ["plain", "plain_hnsw"])
    ]
    ours_bytes, plain_bytes = (float(row[0]) for row in sizes if row is not None)
    note = f"{ours_bytes / 1e6:.0f} against {plain_bytes / 1e6:.0f} MB"
    yield Target(
        "storage",
        f"table and index, {size}: share of vector(512)",
        ours_bytes / plain_bytes,
        0.55,
        True,
        note,
    )
    for ef_search in (40, 200, 400):
        connection.execute("SELECT set_config('hnsw.ef_search', %s, false)", [str(ef_search)])
        found = 0
        for query in shop.queries:
            truth = set(np.argsort(1 - shop.stored @ query)[:K] + 1)
            rows = connection.execute(
                "SELECT id FROM imgvec.near_item(%s) ORDER BY distance LIMIT 10", [HalfVector(query)]
            )
            found += len(truth & {row[0] for row in rows})
        bound = 0.995 if ef_search == 400 else None
        yield Target(
            "storage", f"recall@10, ef_search {ef_search}", found / K / len(shop.queries), bound, False
        )
    connection.execute("RESET hnsw.ef_search")
