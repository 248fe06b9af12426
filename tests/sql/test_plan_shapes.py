"""Our functions plan as hand-written pgvector queries do: see query_shapes.sql."""

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from photostore import as_role, make_collection, new_role

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.hnsw import HnswParams
from imgvec_pg.store.aliases import create_alias, get_alias, point_alias
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection

# benchmarks/search.py times the shapes at 50,000 x 512; their plans are the same on few short vectors.
ROWS, DIMENSIONS = map(int, os.environ.get("IMGVEC_TEST_SHAPE_SIZE", "8000x16").split("x"))
HNSW = HnswParams() if DIMENSIONS > 16 else HnswParams(m=4, ef_construction=16)
QUERY = str([1.0] * DIMENSIONS).replace(" ", "")
KEPT = ("Node Type", "Join Type", "Index Name", "Relation Name", "Subplan Name")
CONDITIONS = ("Index Cond", "Order By", "Filter", "Join Filter", "Hash Cond", "Merge Cond", "One-Time Filter")


@dataclass(frozen=True)
class Shape:
    name: str
    ours: str
    by_hand: str


def read_shapes() -> tuple[str, list[Shape]]:
    """Return the setup and the shapes of query_shapes.sql."""
    text = (Path(__file__).parent / "query_shapes.sql").read_text()
    _, setup, *parts = re.split(r"^-- (?:setup|shape: )", text, flags=re.MULTILINE)
    shapes = []
    for part in parts:
        name, queries = part.split("\n", 1)
        ours, by_hand = queries.replace(":'q'", f"'{QUERY}'").split("-- by hand\n")
        shapes.append(Shape(name, ours, by_hand))
    return setup, shapes


SETUP, SHAPES = read_shapes()


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        make_shop(connection)
        yield connection


def make_shop(connection: Connection) -> None:
    """Make the tables, collections and views of query_shapes.sql; benchmarks/search.py times the shapes there."""
    connection.execute("CREATE SCHEMA shop")
    for table in ("brand", "category"):
        connection.execute(f"CREATE TABLE shop.{table} (id bigint PRIMARY KEY, name text)")
        connection.execute(
            f"INSERT INTO shop.{table} SELECT i, '{table} ' || i FROM generate_series(0, 99) AS i"
        )
    columns = (
        "id bigint, name text, price numeric, in_stock boolean, file text,"
        " brand_id bigint REFERENCES shop.brand, category_id bigint REFERENCES shop.category"
    )
    connection.execute(f"CREATE TABLE shop.product ({columns}, PRIMARY KEY (id))")
    connection.execute(f"CREATE TABLE shop.secret ({columns}, PRIMARY KEY (id))")
    connection.execute("ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY half ON shop.secret USING (brand_id < 50)")
    connection.execute(
        f"CREATE TABLE shop.sale ({columns}, region integer, PRIMARY KEY (region, id)) PARTITION BY LIST (region)"
    )
    for region in (1, 2):
        connection.execute(f"CREATE TABLE shop.sale_{region} PARTITION OF shop.sale FOR VALUES IN ({region})")
    for table in ("product", "secret", "sale"):
        fill(connection, table)
    # One model for all three tables; the two texts are the vectors of two products.
    connection.execute(
        "INSERT INTO imgvec.text_embedding (model_id, text, embedding)"
        " SELECT c.model_id, t.text, e.embedding FROM imgvec.collection AS c"
        " CROSS JOIN (VALUES ('seven', 7), ('eight', 8)) AS t(text, id)"
        " JOIN imgvec.product_embedding AS e ON e.id = t.id WHERE c.name = 'product'"
    )
    connection.execute("ANALYZE")
    connection.execute(SETUP)  # type: ignore[arg-type]


def fill(connection: Connection, table: str) -> None:
    """Make rows, a collection named as its table, embeddings on random directions, and the index."""
    region = ", 1 + i % 2" if table == "sale" else ""
    connection.execute(
        f"INSERT INTO shop.{table} SELECT i, 'name ' || i, i % 100, i % 2 = 0, i || '.jpg', i % 100, i / 7 % 100{region}"
        f" FROM generate_series(1, {ROWS}) AS i"
    )
    collection = make_collection(
        connection,
        f"shop.{table}",
        table,
        dimensions=DIMENSIONS,
        partitions=2 if table == "sale" else 0,
        m=HNSW.m,
        ef_construction=HNSW.ef_construction,
    )
    keys = ", ".join(collection.key_columns)
    connection.execute("SELECT setseed(0.5)")
    connection.execute(
        f"INSERT INTO imgvec.{table}_embedding ({keys}, embedding, version, content_hash, precision)"
        f" SELECT {keys}, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, {DIMENSIONS})"
        f" WHERE s.id > 0)::vector::halfvec), 0, '', 'fp32' FROM shop.{table} AS s"
    )
    build_index(connection, collection)


@pytest.fixture(scope="module")
def reader(shop: Connection) -> Iterator[str]:
    with new_role(
        shop, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop"
    ) as role:
        yield role


def plan(connection: Connection, query: str) -> dict[str, Any]:
    """Return the plan; a query with $1 is prepared and planned for any vector."""
    with connection.transaction(force_rollback=True):
        if "$1" in query:
            connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            connection.execute(f"PREPARE shape (halfvec, text) AS {query}")  # type: ignore[arg-type]
            query = f"EXECUTE shape ('{QUERY}', 'seven')"
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchone()  # type: ignore[arg-type]
        connection.execute("DEALLOCATE ALL")
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


def outline(node: dict[str, Any], depth: int = 0) -> list[str]:
    """Return nodes, indexes and conditions, a line each; without costs, and aliases and casts of expressions."""
    indent = "  " * depth
    lines = [indent + " ".join(str(node[key]) for key in KEPT if key in node)]
    for key in CONDITIONS:
        text = re.sub(r"::[a-z ]+(\(\d+\))?(\[\])?", "", node.get(key, ""))
        text = re.sub(r"\b[a-z]\w*\.(?=\w)", "", text)
        text = re.sub(r"'(\d+)'", r"\1", text)
        lines += [f"{indent}  {key}: {text}"] if text else []
    return sum((outline(child, depth + 1) for child in node.get("Plans", [])), lines)


def index_names(node: dict[str, Any]) -> set[str]:
    names = {node["Index Name"]} if "Index Name" in node else set()
    return names.union(*(index_names(child) for child in node.get("Plans", [])))


@pytest.mark.parametrize("as_reader", [False, True], ids=["owner", "reader"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_plans_as_by_hand_and_uses_the_index(
    shop: Connection, reader: str, shape: Shape, as_reader: bool
) -> None:
    with as_role(shop, reader) if as_reader else nullcontext():
        ours, by_hand = plan(shop, shape.ours), plan(shop, shape.by_hand)
    assert outline(ours) == outline(by_hand)
    # PostgreSQL 16 does not sort an index's order by distance further: by hand too it compares all rows.
    if shape.name != "a second sort key" or shop.info.server_version >= 170_000:
        assert any(name.endswith("_hnsw") for name in index_names(ours))
    if as_reader and "secret" in shape.ours:
        assert "brand_id < 50" in str(ours)


@pytest.fixture(scope="module")
def aliases(shop: Connection, reader: str) -> None:
    """Make an alias of each collection and switch it once, so that its functions have been replaced."""
    for name in ("product", "secret", "sale"):
        create_alias(shop, f"a_{name}", name)
        with shop.transaction():
            point_alias(shop, get_alias(shop, f"a_{name}"), get_collection(shop, name))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_an_alias_plans_as_by_hand(shop: Connection, aliases: None, reader: str, shape: Shape) -> None:
    with as_role(shop, reader):
        ours = plan(shop, re.sub(r"\bimgvec\.near_", "imgvec.near_a_", shape.ours))
        assert outline(ours) == outline(plan(shop, shape.by_hand))


@pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if "CURSOR" not in shape.ours], ids=lambda shape: shape.name
)
def test_a_shape_answers_as_by_hand(shop: Connection, shape: Shape) -> None:
    ours, by_hand = (
        shop.execute(query.replace("$1", f"'{QUERY}'").replace("$2", "'seven'")).fetchall()  # type: ignore[arg-type]
        for query in (shape.ours, shape.by_hand)
    )
    assert ours == by_hand
    assert len(ours) >= 10


WORDS_SHAPES = [shape for shape in SHAPES if "_text(" in shape.ours]


def init_plans(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sub-plans that are evaluated once, outermost first."""
    here = [node] if node.get("Parent Relationship") == "InitPlan" else []
    return sum((init_plans(child) for child in node.get("Plans", [])), here)


@pytest.mark.parametrize("shape", WORDS_SHAPES, ids=lambda shape: shape.name)
def test_words_are_embedded_once_for_each_search(shop: Connection, shape: Shape) -> None:
    calls = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'embed_text'"
    searches = 2 if "LATERAL" in shape.ours or "UNION" in shape.ours else 1
    with shop.transaction(force_rollback=True):
        shop.execute("SET LOCAL track_functions = 'all'")
        for query in ("PREPARE", "literal"):
            before = shop.execute(calls).fetchone() or (0,)
            if query == "PREPARE" and "$2" in shape.ours:
                shop.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                shop.execute(f"PREPARE shape (halfvec, text) AS {shape.ours}")  # type: ignore[arg-type]
                rows = shop.execute(f"EXECUTE shape ('{QUERY}', 'seven')").fetchall()  # type: ignore[arg-type]
            else:
                text = shape.ours.replace("$1", f"'{QUERY}'").replace("$2", "'seven'")
                rows = shop.execute(text).fetchall()  # type: ignore[arg-type]
            after = shop.execute(calls).fetchone()
            assert len(rows) >= 10
            assert after is not None and after[0] - before[0] == searches
        shop.execute("DEALLOCATE ALL")
    found = init_plans(plan(shop, shape.ours))
    assert found and "SubPlan" not in str(plan(shop, shape.ours))
