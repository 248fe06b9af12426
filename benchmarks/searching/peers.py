"""LanceDB with filters and faiss's HNSW in process without, at matched recall."""

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from generator import Vectors
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from imgvec_pg.database.connect import Connection
from searching.shop import Filter, K, Shop, recall
from searching.target import Target

FILTERS = (0.5, 0.1, 0.01)
MOST_KEYS = 10_000
AMONG = "SELECT id FROM imgvec.search_item(%s, 10, ARRAY(SELECT id FROM item WHERE share < %s))"
JOINED = (
    "SELECT n.id FROM imgvec.near_item(%s) AS n JOIN item AS i USING (id) WHERE i.share < %s"
    " ORDER BY n.distance LIMIT 10"
)


def measure(connection: Connection, shop: Shop) -> Iterator[Target]:
    """Compare with each peer that is installed; name those that are not."""
    register_vector(connection)
    connection.execute("SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = 200")
    # As LanceDB's scalar index; the grid has to do without.
    connection.execute("CREATE INDEX IF NOT EXISTS item_share ON item (share)")
    connection.execute("ANALYZE item")
    try:
        for name, part in (("lancedb", against_lancedb), ("faiss", against_faiss)):
            try:
                yield from part(connection, shop)
            except ImportError:
                yield Target("peers", f"{name} is not installed: pip install 'imgvec-pg[bench]'", None)
    finally:
        connection.execute("DROP INDEX item_share")


def timed(ask: Callable[[], list[int]]) -> tuple[float, list[int]]:
    """Return the faster of two runs in milliseconds, and the answer."""
    best, found = float("inf"), []
    for _ in range(2):
        started = time.perf_counter()
        found = ask()
        best = min(best, 1000 * (time.perf_counter() - started))
    return best, found


def against_lancedb(connection: Connection, shop: Shop) -> Iterator[Target]:
    """The scalar `share` with a B-tree, the vectors with IVF_HNSW_SQ (cosine), refined by the full vectors."""
    import lancedb
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as directory:
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(shop.stored.ravel()), shop.stored.shape[1])
        data = pa.table({"id": np.arange(1, len(shop.stored) + 1), "share": shop.shares, "vector": vectors})
        table: Any = lancedb.connect(directory).create_table("item", data)
        table.create_index(
            metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=1, vector_column_name="vector"
        )
        table.create_scalar_index("share")
        for selectivity in FILTERS:
            asked = [(q, shop.filter("independent", selectivity, q)) for q in shop.queries[:30]]
            truths = []
            for query, chosen in asked:
                keys = np.array(shop.matching(chosen))
                truths.append([int(n) for n in keys[np.argsort(1 - shop.stored[keys - 1] @ query)[:K]]])
            ours, theirs, our_recall, their_recall = [], [], [], []
            for (query, chosen), truth in zip(asked, truths, strict=True):
                ms, found = timed(lambda: search_ours(connection, query, chosen))  # noqa: B023
                ours.append(ms)
                our_recall.append(recall(found, truth))
            refine = 1
            for refine in (1, 2, 5, 10):  # until it finds as much
                theirs, their_recall = [], []
                for (query, chosen), truth in zip(asked, truths, strict=True):
                    ms, found = timed(lambda: search_lance(table, query, chosen.share, refine))  # noqa: B023
                    theirs.append(ms)
                    their_recall.append(recall(found, truth))
                if np.mean(their_recall) >= min(0.99, np.mean(our_recall)):
                    break
            note = (
                f"{np.median(ours):.2f} ms at recall {np.mean(our_recall):.3f} against {np.median(theirs):.2f} ms"
                f" at {np.mean(their_recall):.3f} (refine {refine})"
            )
            yield Target(
                "peers",
                f"filter {selectivity:.0%}: p50 over LanceDB's",
                float(np.median(ours) / np.median(theirs)),
                1,
                True,
                note,
            )


def search_ours(connection: Connection, query: Vectors, chosen: Filter) -> list[int]:
    """As docs/howto/fast-queries.md advises: search_* among up to ten thousand keys, near_* joined with its source for more."""
    statement = AMONG if chosen.rows <= MOST_KEYS else JOINED
    rows = connection.execute(statement, [HalfVector(query), chosen.share], prepare=False)  # type: ignore[arg-type]
    return [row[0] for row in rows]


def search_lance(table: Any, query: Vectors, share: float, refine: int) -> list[int]:  # noqa: ANN401
    """Ask LanceDB the same, filtered before the search."""
    asked = table.search(query).metric("cosine").where(f"share < {share}", prefilter=True).limit(K)
    return [
        int(n)
        for n in asked.ef(200).refine_factor(refine).select(["id", "_distance"]).to_arrow()["id"].to_pylist()
    ]


def against_faiss(connection: Connection, shop: Shop) -> Iterator[Target]:
    """HNSW with the same m and ef_construction in this process, one thread; our client and server time apart."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(shop.stored.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 64
    index.add(shop.stored)
    index.hnsw.efSearch = 200
    statement = "SELECT id FROM imgvec.near_item(%s) ORDER BY distance LIMIT 10"
    ours, server, theirs, our_recall, their_recall = [], [], [], [], []
    for query in shop.queries[:100]:
        truth = [int(n) + 1 for n in np.argsort(1 - shop.stored @ query)[:K]]
        ms, found = timed(lambda: [row[0] for row in connection.execute(statement, [HalfVector(query)])])  # noqa: B023
        ours.append(ms)
        our_recall.append(recall(found, truth))
        row = connection.execute(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement, [HalfVector(query)]
        ).fetchone()
        assert row is not None
        server.append(row[0][0]["Execution Time"] + row[0][0]["Planning Time"])
        ms, found = timed(lambda: [int(n) + 1 for n in index.search(query[None], K)[1][0]])  # noqa: B023
        theirs.append(ms)
        their_recall.append(recall(found, truth))
    medians = {"client": np.median(ours), "server": np.median(server), "faiss": np.median(theirs)}
    note = f"recall {np.mean(our_recall):.3f} against {np.mean(their_recall):.3f}, ef_search 200 both"
    for name, value in medians.items():
        yield Target(
            "peers", f"unfiltered, ms: {name}", float(value), None, True, note if name == "faiss" else ""
        )
