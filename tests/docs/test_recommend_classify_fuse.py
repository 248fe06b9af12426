"""docs/howto/recommend-classify-fuse.md as its reader follows it: every block is run on the demo's shop and its answer compared.

Numbers may differ by what processors make of the same model; names may not.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked_python import run_forked
from lean_processes import without_transformers
from pageblocks import DOCS, Block, example, read_blocks
from tour import plain_words

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.demo.products import choose_products
from imgvec_pg.demo.queries import LIKED
from imgvec_pg.demo.shop import fill_shop, open_collection, unpack_photos

PAGE = DOCS / "howto" / "recommend-classify-fuse.md"
TOLERANCE = 0.02
PRODUCTS = 600
BLOCKS = read_blocks(PAGE)
# The first test embeds the shop's pictures, which a busy machine takes minutes for.
pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Shop:
    """The demo's shop, embedded by the demo's model and, as a second collection, by color-grid."""

    dsn: str
    environment: dict[str, str]

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as a shell would; the page has one collection, the shop two."""
        with_name = (
            command
            if re.search("calibrate|fuse|backfill|create", command)
            else f"{command} --collection product_demo"
        )
        if words := plain_words(with_name):
            done = run_forked(
                ["-m", "imgvec_pg", *words], folder=Path.cwd(), environment=self.environment, with_models=True
            )
            assert done.returncode == 0, done.stderr
            return done
        return subprocess.run(
            ["bash", "-c", with_name],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=True,
        )


@pytest.fixture(scope="module")
def shop(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    photos = tmp_path_factory.mktemp("photos")
    products, arrival = unpack_photos(photos, None)
    with connect(empty_module_database) as connection:
        migrations.upgrade(connection)
        fill_shop(connection, [*choose_products(products, PRODUCTS, {LIKED}), arrival], arrival)
        open_collection(connection, photos)
    found = Shop(
        empty_module_database,
        {
            **without_transformers({**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "plugins")}),
            "IMGVEC_DSN": empty_module_database,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
    create = "imgvec collection create product_color --source shop.product --image photo_path --model color-grid --root"
    for command in (f"{create} {photos}", "imgvec backfill product_demo", "imgvec backfill product_color"):
        found.run(command)
    return found


def answered(shop: Shop, block: Block) -> list[list[str]]:
    """Run a block and return its answer's cells."""
    if block.language == "sql":
        with connect(shop.dsn) as connection:
            cursor = connection.execute(block.text.encode())
            assert cursor.description is not None
            header = [column.name for column in cursor.description]
            return [header, *([str(cell) for cell in row] for row in cursor)]
    output = shop.run(block.text.strip()).stdout
    if "\t" in output:
        lines = [line.split("\t") for line in output.splitlines()]
        # What a terminal leaves out where no picture has several rows.
        if lines[0][-1] == "copies" and {line[-1] for line in lines[1:]} == {"1"}:
            lines = [line[:-1] for line in lines]
        return lines
    return cells(output)


def cells(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def equal(found: str, expected: str) -> bool:
    """Compare numbers as numbers; keys and percentiles are the same or far apart."""
    try:
        return abs(float(found) - float(expected)) <= TOLERANCE * max(1, abs(float(expected)))
    except ValueError:
        return found == expected


def test_each_question_comes_with_its_answer() -> None:
    kinds = [block.language for block in BLOCKS]
    asked = [position for position, kind in enumerate(kinds) if kind in ("", "sql")]
    assert len(asked) >= 20
    assert [kinds[position + 1] for position in asked if "fuse --like" not in BLOCKS[position].text] == [
        "text"
    ] * (len(asked) - 1)


@pytest.mark.parametrize("position", [p for p, block in enumerate(BLOCKS[1:], 1) if block.language == "text"])
def test_the_answer_is_the_pages(shop: Shop, position: int) -> None:
    question, answer = BLOCKS[position - 1], BLOCKS[position]
    with example(question):
        found = answered(shop, question)
    expected = cells(answer.text)
    if not found[0][0]:
        # A matrix has no name over its first column.
        expected[0].insert(0, "")
    with example(answer):
        assert len(found) == len(expected), found
        for line, wanted in zip(found, expected, strict=True):
            assert len(line) == len(wanted) and all(map(equal, line, wanted)), (line, wanted)


def test_two_collections_are_fused(shop: Shop) -> None:
    [block] = [block for block in BLOCKS if "fuse --like" in block.text]
    found = json.loads(shop.run(f"{block.text.strip()} --json").stdout)
    assert [row["columns"]["name"] for row in found] == ["stop sign", "brown square", "heart suit"]
    for row in found:
        assert set(row["ranks"]) == {"product_demo", "product_color"}
        assert row["score"] == pytest.approx(sum(1 / (60 + rank) for rank in row["ranks"].values()))


def test_the_next_page_goes_on_where_the_first_ended(shop: Shop) -> None:
    command = "imgvec page --like 856 -k 3 --columns name"
    first = shop.run(command)
    after = re.search(r"next page: (--after '.*')", first.stderr)
    assert after is not None
    second = shop.run(f"{command} {after[1]}")
    whole = shop.run("imgvec page --like 856 -k 6 --columns name")
    assert first.stdout.splitlines() + second.stdout.splitlines()[1:] == whole.stdout.splitlines()


def test_labels_are_right_where_one_of_them_fits(shop: Shop) -> None:
    where = "category = 'Animals & Nature' AND id < 617 OR name ~ 'truck|bus|train|locomotive|ambulance|police car$|automobile'"
    outcome = shop.run(
        f'imgvec classify --labels "fruit,animal,vehicle" --columns category --json --where "{where}"'
    )
    found = json.loads(outcome.stdout)
    right = [
        row["label"] == ("animal" if row["columns"]["category"].startswith("A") else "vehicle")
        for row in found
    ]
    assert len(right) > 40
    assert sum(right) / len(right) >= 0.85
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in found)


def test_a_vector_handed_over_by_lateral_keeps_the_index_and_is_made_once(shop: Shop) -> None:
    block = BLOCKS[-2]
    assert "OFFSET 0" in block.text
    with connect(shop.dsn) as connection, connection.transaction(force_rollback=True):
        # 601 rows are too few for the planner to want the index by itself.
        connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = str(connection.execute(f"EXPLAIN {block.text}".encode()).fetchall())
        assert "Index Scan using product_demo_embedding_hnsw" in plan
        connection.execute("SET LOCAL track_functions = 'all'")
        connection.execute(block.text.encode())
        calls = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'preference'"
        assert connection.execute(calls).fetchall() == [(1,)]


@pytest.mark.parametrize("collection", ["product_demo", "product_color"])
def test_a_percentile_of_a_sample_holds_for_all_rows_whatever_the_model(shop: Shop, collection: str) -> None:
    for name in ("product_demo", "product_color"):
        shop.run(f"imgvec calibrate {name} --sample 300")
    pairs = (
        f"SELECT 100.0 * avg((a.embedding <=> b.embedding <= imgvec.distance_at('{collection}', 5))::int)"
        f" FROM imgvec.{collection}_embedding AS a JOIN imgvec.{collection}_embedding AS b ON a.id < b.id"
    )
    with connect(shop.dsn) as connection:
        found = connection.execute(pairs.encode()).fetchone()
        assert found is not None and 3.5 < found[0] < 6.5
        # The two models' distances have nothing to do with each other.
        thresholds = "SELECT imgvec.distance_at('product_demo', 5), imgvec.distance_at('product_color', 5)"
        demo, color = connection.execute(thresholds).fetchone() or (0, 0)
    assert demo > 5 * color
