"""Every SQL block of docs/howto/fast-queries.md: `imgvec doctor --query` recognises the slow ones, the others read the index."""

import json
from collections.abc import Iterator

import pytest
from pageblocks import DOCS, Block, example, read_blocks
from photostore import make_collection

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.doctor.query_checks import advise
from imgvec_pg.doctor.query_shapes import FIXES
from imgvec_pg.errors import UsageError
from imgvec_pg.store.index.build import build_index

BLOCKS = [block for block in read_blocks(DOCS / "howto" / "fast-queries.md") if block.language == "sql"]
SLOW = [
    (block.text.split("\n")[0].removeprefix("-- slow: "), block)
    for block in BLOCKS
    if block.text.startswith("-- slow: ")
]
FAST = [
    block
    for block in BLOCKS
    if not block.text.startswith(("-- slow: ", "CREATE STATISTICS")) and "search_" not in block.text
]
ROWS = 8000


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.product (id bigint PRIMARY KEY, name text, price numeric, category_id integer, file text)"
        )
        connection.execute(
            f"INSERT INTO shop.product SELECT i, 'name ' || i, i % 100, i % 40, i || '.jpg' FROM generate_series(1, {ROWS}) AS i"
        )
        collection = make_collection(connection, "shop.product", "product_clip", dimensions=16)
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT id, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, 16) WHERE s.id > 0)"
            "::vector::halfvec), 1, '', 'fp32' FROM shop.product AS s"
        )
        build_index(connection, collection)
        connection.execute("VACUUM ANALYZE")
        yield connection


def test_every_cliff_is_documented() -> None:
    assert {name for name, _ in SLOW} == set(FIXES)


@pytest.mark.parametrize(("name", "block"), SLOW, ids=[block.place for _, block in SLOW])
def test_slow_shapes_run_and_are_named(shop: Connection, name: str, block: Block) -> None:
    with example(block):
        assert shop.execute(block.text.encode()).rowcount > 0
        findings = advise(shop, block.text)
        assert [(f.level, f.met, f.next_step) for f in findings] == [("warning", *FIXES[name])]


@pytest.mark.parametrize("block", FAST, ids=[block.place for block in FAST])
def test_cures_run_read_the_index_and_are_praised(shop: Connection, block: Block) -> None:
    with example(block):
        assert shop.execute(block.text.encode()).rowcount > 0
        plan = shop.execute(f"EXPLAIN {block.text}".encode()).fetchall()
        assert "product_clip_embedding_hnsw" in str(plan)
        assert all("compare" not in f.met for f in advise(shop, block.text))
        assert advise(shop, block.text)[0].level == "ok"


def test_completeness_blocks_run(shop: Connection) -> None:
    search, way = (block.text for block in BLOCKS if "search_" in block.text)
    assert len(shop.execute(search.encode()).fetchall()) == 10
    # 400 keys are on the edge of what a scan is worth, 80 are not.
    assert len(shop.execute(search.replace("price < 5", "price < 1")).fetchall()) == 10  # type: ignore[arg-type]
    assert shop.execute(way.encode()).fetchone() == ("exact",)
    (finding,) = advise(shop, search)
    assert finding.level == "ok"
    assert finding.met.startswith("search_product_clip chooses its own way")
    vector = "imgvec.embedding_of('product_clip', 42)"
    beside = (
        f"SELECT s.id FROM imgvec.search_product_clip({vector}) AS s"
        f" JOIN imgvec.near_product_clip((SELECT {vector})) AS n USING (id) ORDER BY n.distance LIMIT 3"
    )
    assert [finding.level for finding in advise(shop, beside)] == ["warning"]


def test_an_iterative_scan_that_is_off_is_told_where_rows_may_lack(shop: Connection) -> None:
    query = (
        "SELECT n.id FROM imgvec.near_product_clip_row(42) AS n JOIN shop.product AS p USING (id)"
        " WHERE p.price < 50 ORDER BY n.distance LIMIT 10"
    )
    shop.execute("SET hnsw.iterative_scan = off")
    assert any("iterative_scan is off" in finding.met for finding in advise(shop, query))
    shop.execute("SET hnsw.iterative_scan = strict_order")
    assert [finding.level for finding in advise(shop, query)] == ["ok"]


def test_columns_that_may_go_together_are_named_until_they_have_statistics(shop: Connection) -> None:
    query = (
        "SELECT n.id FROM imgvec.near_product_clip_row(42) AS n JOIN shop.product AS p USING (id)"
        " WHERE p.price < 50 AND p.category_id = 3 AND p.name <> 'file' ORDER BY n.distance + 0 LIMIT 10"
    )
    (told,) = [finding for finding in advise(shop, query) if "independent" in finding.met]
    assert told.met.startswith("shop.product is filtered by name, price, category_id")
    (block,) = [block for block in BLOCKS if block.text.startswith("CREATE STATISTICS")]
    with shop.transaction(force_rollback=True):
        with example(block):
            shop.execute(block.text.encode())
        assert not any("independent" in finding.met for finding in advise(shop, query))
    with shop.transaction(force_rollback=True):
        shop.execute("CREATE TABLE shop.fresh AS SELECT * FROM shop.product")
        findings = advise(shop, query.replace("shop.product", "shop.fresh"))
        assert ("shop.fresh has no statistics", "ANALYZE shop.fresh") in [
            (finding.met.split(",")[0], finding.next_step) for finding in findings
        ]


def test_a_query_is_planned_and_not_run(
    shop: Connection, module_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    query = SLOW[0][1].text.replace("-- slow: similarity\n", "")
    assert run(cli, ["doctor", "--dsn", module_database, "--query", query, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["next_step"] == FIXES["similarity"][1]
    assert run(cli, ["doctor", "--dsn", module_database, "--query", "DELETE FROM shop.product"]) == 0
    assert "reads no collection" in capsys.readouterr().out
    assert shop.execute("SELECT count(*) FROM shop.product").fetchone() == (ROWS,)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT 1; DROP TABLE shop.product",
        "SELECT nothing",
        "ANALYZE SELECT 1",
        "SELECT $1::int",
        "SELECT '\0'",
        "SELEC",
    ],
)
def test_what_cannot_be_planned_is_one_line(shop: Connection, query: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"^(PostgreSQL does not plan the query|the query is empty)[^\n]*; expected one statement",
    ):
        advise(shop, query)
    assert shop.execute("SELECT count(*) FROM shop.product").fetchone() == (ROWS,)
