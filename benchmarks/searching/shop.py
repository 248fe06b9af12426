"""A shop over the generated vectors, whose filters are independent of a query, correlated with it or opposed to it.

item(id, category_id, share, brand_id) has one row a vector; share is uniform, 0 to 1. A category is the Voronoi cell of one of
400 anchors, themselves stored vectors: the categories nearest to a query make a filter correlated with it, the farthest an
opposed one. category and brand are joined for one to three joins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from generator import Vectors, copy_embeddings, generate

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

ANCHORS, BRANDS, QUERIES, K = 400, 100, 200, 10
MANY = 1_000_000
KINDS = ("independent", "correlated", "opposed")
SELECTIVITIES = (0.5, 0.1, 0.03, 0.01, 0.001, 0.0001)


@dataclass(frozen=True)
class Filter:
    """Rows with share < `share` in these categories (None: in any); `rows` match."""

    share: float
    categories: list[int] | None
    rows: int

    def condition(self, joins: int) -> tuple[str, list[Any]]:
        """Return SQL over item i (and category c from two joins on) and its values."""
        if self.categories is None:
            return "i.share < %s", [self.share]
        if joins >= 2:
            return "i.share < %s AND c.code = ANY (%s)", [
                self.share,
                [1000 + number for number in self.categories],
            ]
        return "i.share < %s AND i.category_id = ANY (%s)", [self.share, self.categories]


@dataclass(frozen=True)
class Shop:
    """The stored vectors (rows, d), held-out queries (200, d), each row's category and share, the anchors."""

    stored: Vectors
    queries: Vectors
    categories: np.ndarray[Any, Any]
    shares: np.ndarray[Any, Any]
    anchors: Vectors

    def filter(self, kind: str, selectivity: float, query: Vectors) -> Filter:
        """Return the filter of this kind for a query; it matches about `selectivity` of the rows, one at least."""
        wanted = max(1, round(selectivity * len(self.stored)))
        if kind == "independent":
            share = float(np.partition(self.shares, wanted - 1)[wanted - 1] + 1e-7)
            return Filter(share, None, int((self.shares < np.float32(share)).sum()))
        order = np.argsort(1 - self.anchors @ query)
        if kind == "opposed":
            order = order[::-1]
        sizes = np.bincount(self.categories, minlength=ANCHORS)[order]
        count = int(np.searchsorted(np.cumsum(sizes), wanted)) + 1
        chosen = order[:count]
        within = self.shares[np.isin(self.categories, chosen)]
        share = float(np.partition(within, wanted - 1)[wanted - 1] + 1e-7)
        return Filter(share, [int(n) for n in chosen], int((within < np.float32(share)).sum()))

    def matching(self, chosen: Filter) -> list[int]:
        """Return the keys that a filter lets through."""
        is_match = self.shares < np.float32(chosen.share)
        if chosen.categories is not None:
            is_match &= np.isin(self.categories, chosen.categories)
        return [int(n) + 1 for n in np.flatnonzero(is_match)]


def imagine(rows: int) -> Shop:
    """Generate the shop of this many rows."""
    return furnish(*generate(rows, QUERIES))


def furnish(stored: Vectors, queries: Vectors) -> Shop:
    """Give each stored vector a category and a share."""
    rows = len(stored)
    random = np.random.default_rng(8)
    anchors = stored[random.choice(rows, ANCHORS, replace=False)]
    categories = np.concatenate(
        [np.argmax(stored[first : first + 20_000] @ anchors.T, axis=1) for first in range(0, rows, 20_000)]
    )
    return Shop(stored, queries, categories, random.random(rows, dtype=np.float32), anchors)


def open_shop(
    server: LocalServer, shop: Shop, name: str | None = None, report: Callable[[str], None] = print
) -> Connection:
    """Return a connection to the shop's database on this server, made where it is not there yet; named by its size."""
    name = f"shop_{name or len(shop.stored)}"
    with connect(server.dsn()) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    connection = connect(server.dsn(name), prepare_threshold=5)
    if connection.execute("SELECT to_regclass('public.loaded')").fetchone() == (None,):
        load(connection, shop, report)
    return connection


def load(connection: Connection, shop: Shop, report: Callable[[str], None]) -> None:
    """Make the tables, the collection `item` and its index."""
    migrations.upgrade(connection)
    connection.execute("CREATE TABLE category (id integer PRIMARY KEY, code integer NOT NULL)")
    connection.execute(
        "INSERT INTO category SELECT g, 1000 + g FROM generate_series(0, %s) AS g", [ANCHORS - 1]
    )
    connection.execute("CREATE TABLE brand (id integer PRIMARY KEY, name text NOT NULL)")
    connection.execute(
        "INSERT INTO brand SELECT g, 'brand ' || g FROM generate_series(0, %s) AS g", [BRANDS - 1]
    )
    connection.execute(
        "CREATE TABLE item (id bigint PRIMARY KEY, category_id integer NOT NULL REFERENCES category,"
        " share real NOT NULL, brand_id integer NOT NULL REFERENCES brand, photo text)"
    )
    with connection.cursor().copy("COPY item FROM STDIN") as copy:
        for row, (category, share) in enumerate(zip(shop.categories, shop.shares, strict=True)):
            copy.write_row((row + 1, int(category), float(share), row % BRANDS, "p.jpg"))
    connection.execute("CREATE INDEX ON item (category_id)")
    collection = create_collection(
        connection,
        CollectionSpec(
            "item",
            "item",
            ["photo"],
            "generated",
            shop.stored.shape[1],
            False,
            root="/",
            # With 64, a tenth of the queries to a million rows never leave a wrong cluster, whatever ef_search is.
            ef_construction=64 if len(shop.stored) < MANY else 200,
        ),
    )
    copy_embeddings(connection, collection, shop.stored)
    build_index(connection, collection)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CREATE TABLE loaded ()")
    report(f"loaded and indexed {len(shop.stored):,} rows")


def collection_of(connection: Connection) -> Collection:
    """Return the collection `item`."""
    return get_collection(connection, "item")


def joined(joins: int) -> str:
    """Return the FROM clause of near n with one to three joins."""
    parts = (
        "JOIN item AS i USING (id)",
        "JOIN category AS c ON c.id = i.category_id",
        "JOIN brand AS b ON b.id = i.brand_id",
    )
    return " ".join(parts[:joins])


def recall(found: Sequence[int], truth: Sequence[int]) -> float:
    """Return the share of the true rows that were found, 1 where there are none."""
    return len(set(found) & set(truth)) / len(truth) if truth else 1.0
