"""Bursts of near copies, as frames of one scene: an index scan that got caught in one is noticed, and searched on."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
import sqlalchemy as sa
from burstshop import DIMENSIONS, fill, text, unit
from ormshop import sqlalchemy_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.sqlalchemy.executor import search
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import BURST_DISTANCE

PHOTO = sa.table("photo", sa.column("id", sa.BigInteger), sa.column("file", sa.Text), schema="shop")
Answer = tuple[set[int], str]
"""The keys found and the strategy told."""
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bursts:
    """Pictures beside bursts in an HNSW index, and a near copy of each to ask with.

    Attributes:
        plain: How many of these pictures near_* finds by the index alone.
    """

    dsn: str
    connection: Connection
    collection: Collection
    vectors: Vector
    beside: list[int]
    queries: list[Vector]
    plain: Counter[bool]

    def ask(self, find: Callable[[Vector], Answer]) -> tuple[Counter[bool], Counter[str]]:
        """Ask with each query; count whether the picture is found, and how."""
        found, ways = Counter[bool](), Counter[str]()
        for place, query in zip(self.beside, self.queries, strict=True):
            keys, way = find(query)
            assert len(keys) == 10
            found[place in keys] += 1
            ways[way] += 1
        return found, ways

    def check(self, found: Counter[bool], ways: Counter[str]) -> None:
        """Of those that the index alone misses at most a fifth are missed, and most searches are not searched on."""
        assert self.plain[False] > 0, self.plain
        assert 5 * found[False] <= self.plain[False], (self.plain, found, ways)
        assert ways["index"] > ways["index, then exact"] + ways["index, wider"] > 0, ways


@pytest.fixture(scope="module")
def bursts(module_database: str) -> Iterator[Bursts]:
    draw = np.random.default_rng(1)
    with connect(module_database) as connection:
        collection, vectors, beside = fill(connection, draw)
        build_index(connection, collection)
        connection.execute("ANALYZE")
        collection = get_collection(connection, collection.name)
        queries = [unit(vectors[place] + 0.2 * unit(draw.standard_normal(DIMENSIONS))) for place in beside]
        made = Bursts(module_database, connection, collection, vectors, beside, queries, Counter[bool]())
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        for place, query in zip(beside, queries, strict=True):
            near = connection.execute(
                "SELECT id FROM imgvec.near_photo_test(%s::halfvec) ORDER BY distance LIMIT 10", [text(query)]
            ).fetchall()
            made.plain[(place,) in near] += 1
        connection.execute("RESET enable_seqscan; RESET enable_sort")
        yield made


def by_sql(connection: Connection, among: list[int] | None = None) -> Callable[[Vector], Answer]:
    """Return how search_* answer."""

    def find(query: Vector) -> Answer:
        values = [text(query)] if among is None else [text(query), among]
        found = connection.execute(
            "SELECT id FROM imgvec.search_photo_test(%s::halfvec, 10"
            + ("" if among is None else ", %s::bigint[]")
            + ")",
            values,
        ).fetchall()
        row = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
        assert row is not None
        return {key for (key,) in found}, row[0]

    return find


def test_a_picture_beside_a_burst_is_found_by_its_near_copy(bursts: Bursts) -> None:
    bursts.check(*bursts.ask(by_sql(bursts.connection)))


def test_among_most_rows_a_burst_is_noticed_too(bursts: Bursts) -> None:
    # All but each tenth of the pictures that lie in no burst and beside none.
    among = [key for key in range(len(bursts.vectors)) if key >= 5000 or key % 10]
    bursts.check(*bursts.ask(by_sql(bursts.connection, among)))


def test_python_searches_on_where_a_burst_fills_the_list(bursts: Bursts) -> None:
    def find(query: Vector) -> Answer:
        found = find_nearest(bursts.connection, bursts.collection, query.astype(np.float32))
        return {row.key["id"] for row in found.rows}, found.strategy

    bursts.check(*bursts.ask(find))

    def find_filtered(query: Vector) -> Answer:
        options = NearestOptions(where="id >= 5000 OR id % 10 <> 0")
        found = find_nearest(bursts.connection, bursts.collection, query.astype(np.float32), options)
        return {row.key["id"] for row in found.rows}, found.strategy

    bursts.check(*bursts.ask(find_filtered))


def test_sqlalchemy_searches_on_where_a_burst_fills_the_list(bursts: Bursts) -> None:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(bursts.dsn))
    with engine.connect() as connection:

        def find(query: Vector) -> Answer:
            found = search(connection, sa.select(PHOTO.c.id), "photo_test", query, key=[PHOTO.c.id])
            assert connection.exec_driver_sql("SHOW hnsw.ef_search").scalar() == "40"
            return {row[0] for row in found.rows}, found.strategy

        bursts.check(*bursts.ask(find))
    engine.dispose()


def test_asyncpg_searches_on_too(bursts: Bursts) -> None:
    async def ask() -> set[str]:
        engine = create_async_engine(sqlalchemy_url(bursts.dsn).set(drivername="postgresql+asyncpg"))
        told = set()
        async with AsyncSession(engine) as session:
            for query in bursts.queries:
                found = await session.run_sync(
                    lambda own, vector: search(
                        own, sa.select(PHOTO.c.id), "photo_test", vector, key=[PHOTO.c.id]
                    ),
                    query,
                )
                told.add(found.strategy)
                if len(told) > 1:
                    break
        await engine.dispose()
        return told

    assert "index" in asyncio.run(ask()) != {"index"}


def test_lists_are_read_whole_so_no_search_gets_caught_in_a_burst(connection: Connection) -> None:
    draw = np.random.default_rng(1)
    collection, vectors, beside = fill(connection, draw)
    build_index(connection, replace(collection, index_method="ivfflat", lists=90))
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    queries = [unit(vectors[place] + 0.2 * unit(draw.standard_normal(DIMENSIONS))) for place in beside]
    made = Bursts("", connection, collection, vectors, beside, queries, Counter())
    assert made.ask(by_sql(connection)) == ({True: len(beside)}, {"index": len(beside)})
    # Nor where all that is near is of a burst, of which one in a graph would be searched on.
    among = vectors[beside[0] - 1]
    query = unit(among + 0.3 * unit(draw.standard_normal(DIMENSIONS)))
    found = connection.execute(
        "SELECT distance FROM imgvec.search_photo_test(%s::halfvec, 20)", [text(query)]
    ).fetchall()
    assert len(found) == 20 and found[0][0] > BURST_DISTANCE
    assert connection.execute("SELECT imgvec.last_search_strategy()").fetchone() == ("index",)
    told = find_nearest(connection, get_collection(connection, "photo_test"), query.astype(np.float32))
    assert told.strategy == "index"
