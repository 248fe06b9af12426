"""The README as its reader follows it: every command and block is run, on the shop that it speaks of.

What is not run is listed, with the reason.
"""

import re
import sys
from pathlib import Path

import pytest
from pageblocks import ROOT, Block, example, read_blocks, read_commands, shell_commands
from tour import PRODUCTS, Tour, make_shop

from imgvec_pg import __version__
from imgvec_pg.database.connect import connect

README = ROOT / "README.md"
WHEEL = f"imgvec_pg-{__version__}-py3-none-any.whl"
NOT_RUN = {
    f"pip install dist/{WHEEL}": "tests/distribution installs the wheel",
    f"pip install 'dist/{WHEEL}[models]'": "needs a package index for PyTorch",
    "make demo": "tests/demo/test_demo_command.py runs imgvec demo; make adds the installation",
    "make test": "this is a part of it",
    "make wheel": "tests/distribution builds and checks the same",
    "pip install": "named, not spelled out; tests/distribution installs the wheel",
    "imgvec search": "named, not spelled out; the tour runs it with words",
}
WORDS = 1_100
"""What is read in three minutes, code glanced at."""


@pytest.fixture(scope="module")
def tour(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    photos = tmp_path_factory.mktemp("photos")
    make_shop(empty_module_database, photos)
    return Tour(empty_module_database, photos, tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return read_blocks(README)


def test_every_block_is_of_a_kind_that_is_run(blocks: list[Block]) -> None:
    assert [block.language for block in blocks] == ["", "", "", "sql", "python"]


def test_it_is_read_in_three_minutes() -> None:
    assert len(README.read_text().split()) <= WORDS


def test_the_tour_on_ones_own_table(tour: Tour, blocks: list[Block]) -> None:
    for block in blocks[:3]:
        for command in shell_commands(block):
            if command.startswith("export "):
                tour.export(command)
            elif command not in NOT_RUN:
                with example(block):
                    tour.run(command)
    with connect(tour.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM imgvec.product_clip_embedding").fetchone() == (
            PRODUCTS,
        )
    assert "shop.product" in (tour.folder / "found.html").read_text()


def test_sql_blocks_give_rows(tour: Tour, blocks: list[Block]) -> None:
    [block] = [block for block in blocks if block.language == "sql"]
    statements = [statement for statement in block.text.split(";") if statement.strip()]
    assert len(statements) == 2
    with connect(tour.dsn) as connection:
        for statement in statements:
            with example(block):
                cursor = connection.execute(statement.encode())
            assert cursor.description is not None
            distances = [row[-1] for row in cursor]
            assert distances and all(0 <= distance <= 2 for distance in distances), statement


def test_python_block_prints_the_nearest(tour: Tour, blocks: list[Block]) -> None:
    [block] = [block for block in blocks if block.language == "python"]
    (tour.folder / "example.py").write_text(tour.translate(block.text))
    with example(block):
        lines = tour.run(f"{sys.executable} example.py").splitlines()
    assert len(lines) == 10
    with connect(tour.dsn) as connection:
        nearest = connection.execute(
            "SELECT p.name FROM imgvec.near_product_clip_row(42) AS n JOIN shop.product AS p USING (id)"
            " WHERE p.price < 50 ORDER BY n.distance LIMIT 10"
        ).fetchall()
    assert [(line.split("  ")[1],) for line in lines] == nearest
    assert [float(line.split()[0]) for line in lines] == sorted(float(line.split()[0]) for line in lines)


@pytest.mark.parametrize("command", read_commands(README))
def test_commands_in_the_text_work(tour: Tour, command: str) -> None:
    if command in NOT_RUN:
        assert "Usage: " in tour.run(f"{command} --help")
    else:
        tour.run(command)


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README.read_text())
    missing = [name for name in targets if "://" not in name and not (ROOT / Path(name)).exists()]
    assert len(targets) > 20 and missing == []
