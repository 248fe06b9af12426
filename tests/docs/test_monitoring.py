"""docs/howto/monitoring.md and verify-and-reconcile.md as their readers follow them.

Every command and query is run, every kind of difference and every column is there.
"""

import re

import pytest
from colorshop import make_shop
from pageblocks import DOCS, example, read_blocks, shell_commands

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.integrity.verify import BY_HAND, KINDS

PAGE = DOCS / "howto" / "monitoring.md"
VERIFY = DOCS / "howto" / "verify-and-reconcile.md"
BLOCKS = read_blocks(PAGE) + read_blocks(VERIFY)


def first_cells(heading: str) -> list[str]:
    """Return the names in the first column of the table under a header cell."""
    table = VERIFY.read_text().split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]


@pytest.fixture
def shop(connection: Connection, monkeypatch: pytest.MonkeyPatch, database: str) -> Connection:
    make_shop(connection)
    connection.execute("ALTER TABLE shop.product ADD IF NOT EXISTS name text DEFAULT 'red'")
    connection.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
        " SELECT c.id, jsonb_build_object('id', p.id), 0, 'not_found', 'gone', 3"
        " FROM imgvec.collection AS c, shop.product AS p ORDER BY p.id LIMIT 1"
    )
    monkeypatch.setenv("IMGVEC_DSN", database)
    return connection


def test_queries_give_rows(shop: Connection) -> None:
    [block] = [block for block in BLOCKS if block.language == "sql"]
    statements = [
        text.replace("product_clip", "product_color") for text in block.text.split(";") if text.strip()
    ]
    assert len(statements) == 3
    for statement in statements:
        with example(block):
            assert shop.execute(statement.encode()).fetchall(), statement


@pytest.mark.usefixtures("shop")
def test_commands_work(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        (block, command) for block in BLOCKS if not block.language for command in shell_commands(block)
    ]
    assert len(commands) == 6
    for block, command in commands:
        arguments = command.replace("product_clip", "product_color").replace("100", "1").split()[1:]
        # The shop's embeddings are none of a model, which --sample finds.
        expected = (0, 4) if "--contents" in arguments or "--sample" in arguments else (0,)
        with example(block):
            assert run(cli, arguments) in expected, (command, capsys.readouterr().err)


def test_every_kind_of_difference_is_explained() -> None:
    assert first_cells("kind") == list(KINDS)
    text = VERIFY.read_text()
    for kind in BY_HAND:
        assert re.search(rf"^\| `{kind}` .*\| no: ", text, re.MULTILINE)


def test_every_column_of_status_is_explained(shop: Connection) -> None:
    cursor = shop.execute("SELECT * FROM imgvec.status")
    assert cursor.description is not None
    explained = set(
        re.findall(r"`(\w+)`", PAGE.read_text().split("| `imgvec.status` |", 1)[1].split("\n\n", 1)[0])
    )
    assert {column.name for column in cursor.description} <= explained
