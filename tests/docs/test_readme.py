"""The README as its reader follows it: every command and block is run, on the shop that it speaks of.

Where the README names weights that this machine cannot fetch, the demo's model stands in; the folder of pictures and
the database have other names here. What is not run is listed, with the reason.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from pageblocks import Block, read_blocks, read_commands, shell_commands

from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures

README = Path(__file__).parents[2] / "README.md"
NOT_RUN = {
    "make demo": "tests/demo/test_demo_command.py runs imgvec demo; make adds the installation",
    "make test": "this is a part of it",
    ". .venv/bin/activate": "the tests run in the environment that make made",
    "imgvec demo": "tests/demo/test_demo_command.py",
    "imgvec uninstall": "tests/migrations/test_uninstall.py; here it would end the tour",
    "imgvec search": "named, not spelled out; the tour runs it with words",
    "imgvec browse": "serves until it is stopped; tests/flask/test_flask.py",
    "imgvec model fetch NAME --to DIR": "needs a network; tests/embedding/test_download.py runs it on weights of its own",
    "imgvec page": "named, not spelled out; tests/docs/test_questions.py runs it",
    "imgvec recall": "named, not spelled out; the next paragraph spells it out, and is run",
    "imgvec index tune product_clip --recall 0.9": "60 rows are read faster whole; tests/search/test_recall.py",
}
PRODUCTS = 60


@pytest.fixture(scope="module")
def tour(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> "Tour":
    photos = tmp_path_factory.mktemp("photos")
    unpack_pictures(photos)
    with connect(empty_module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.product (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL,"
            " in_stock boolean NOT NULL, photo_path text NOT NULL)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO shop.product VALUES (%s, %s, %s, %s, %s)",
                [(n, p.name, n, n % 3 > 0, p.file) for n, p in enumerate(read_manifest()[:PRODUCTS], 1)],
            )
    return Tour(empty_module_database, photos, tmp_path_factory.mktemp("here"))


class Tour:
    """Runs what the README says, in order."""

    def __init__(self, dsn: str, photos: Path, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder
        self.photos = photos
        with connect(dsn) as connection:
            info = connection.info
            self.names = {
                "PGHOST": info.host,
                "PGPORT": str(info.port),
                "PGUSER": info.user,
                "PGPASSWORD": info.password,
            }
            self.database = info.dbname

    def translate(self, text: str) -> str:
        """Put this machine's names in place of the README's."""
        return (
            text.replace("/srv/photos", str(self.photos))
            .replace("ViT-B-32/laion2b_s34b_b79k", "demo")
            .replace(":///shop", f":///{self.database}")
        )

    def export(self, command: str) -> None:
        """Set a variable for the commands that follow."""
        name, _, value = command.removeprefix("export ").partition("=")
        self.names[name] = self.translate(value)

    def shell(self, command: str) -> "subprocess.Popen[str]":
        """Start a command as a shell would."""
        environment = {**os.environ, **self.names}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", f"exec {self.translate(command)}"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> str:
        """Run a command to its end, a worker until it is ready, and return what it printed."""
        process = self.shell(command)
        expected = 0
        if command.startswith("imgvec worker"):
            assert process.stderr is not None
            assert any("is ready" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            expected = 143
        output, errors = process.communicate(timeout=120)
        assert process.returncode == expected, errors
        assert "Traceback" not in errors
        return output + errors


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return read_blocks(README)


def test_every_block_is_of_a_kind_that_is_run(blocks: list[Block]) -> None:
    kinds = [block.language for block in blocks]
    assert kinds == ["", "", "sql", "python", ""]
    assert "──" in blocks[-1].text  # the drawing


def test_the_tour_on_ones_own_table(tour: Tour, blocks: list[Block]) -> None:
    for block in blocks[:2]:
        for command in shell_commands(block):
            if command.startswith("export "):
                tour.export(command)
            elif command not in NOT_RUN:
                tour.run(command)
    with connect(tour.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM imgvec.product_clip_embedding").fetchone() == (
            PRODUCTS,
        )
    assert "shop.product" in (tour.folder / "found.html").read_text()


def test_sql_blocks_give_rows(tour: Tour, blocks: list[Block]) -> None:
    [block] = [block for block in blocks if block.language == "sql"]
    statements = [statement for statement in block.text.split(";") if statement.strip()]
    assert len(statements) >= 3
    with connect(tour.dsn) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            assert cursor.description is not None
            distances = [row[-1] for row in cursor]
            assert distances and all(0 <= distance <= 2 for distance in distances), statement


def test_python_block_prints_the_nearest(tour: Tour, blocks: list[Block]) -> None:
    [block] = [block for block in blocks if block.language == "python"]
    (tour.folder / "example.py").write_text(tour.translate(block.text))
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


def test_every_command_is_in_the_table() -> None:
    table = README.read_text().split("## Commands")[1].split("##")[0]
    assert not [name for name in cli.list_commands(click.Context(cli)) if name not in table]
