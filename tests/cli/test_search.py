import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from colorshop import COLORS, embed_row, embedding, make_shop, picture, request

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection

Outcome = subprocess.CompletedProcess[str]
Search = Callable[..., Outcome]


@pytest.fixture
def shop(connection: Connection) -> Collection:
    return make_shop(connection)


@pytest.fixture
def command(database: str, plugin_environment: dict[str, str]) -> Search:
    """Run `imgvec search` as its own process."""

    def search(*arguments: str, **options: object) -> Outcome:
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [sys.executable, "-m", "imgvec_pg", "search", *arguments],
            env={**plugin_environment, "IMGVEC_DSN": database},
            text=True,
            **{"capture_output": True, "check": False, **options},
        )

    return search


def test_pipe_gets_tab_separated_lines(shop: Collection, command: Search) -> None:
    outcome = command("red", "-k", "3", "--where", "price > 15")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert [line.split("\t") for line in outcome.stdout.splitlines()] == [
        ["distance", "id", "name", "price", "in_stock", "copies"],
        ["0.6667", "2", "yellow <shoe>", "20.50", "false", "1"],
        ["0.6667", "6", "magenta <shoe>", "60.50", "false", "1"],
        ["0.6667", "8", "black <shoe>", "80.50", "false", "1"],
    ]


def test_rows_with_one_picture_are_told_as_one_unless_all_are_asked_for(
    shop: Collection, command: Search, connection: Connection
) -> None:
    connection.execute(
        "UPDATE imgvec.product_color_embedding SET content_hash = sha256('photo'),"
        " embedding = (SELECT e.embedding FROM imgvec.product_color_embedding AS e WHERE e.id = 1) WHERE id IN (1, 3, 8)"
    )
    asked = ("red", "-k", "2", "--columns", "")
    piped = ["distance\tid\tcopies", "0.0000\t1\t3", "0.6667\t2\t1"]
    assert command(*asked).stdout.splitlines() == piped
    assert [row["copies"] for row in json.loads(command(*asked, "--json").stdout)] == [3, 1]
    assert command(*asked, "--all-rows").stdout.splitlines() == ["distance\tid", "0.0000\t1", "0.0000\t3"]
    # The row that is asked with is no answer, though its picture is, and a condition chooses what is counted.
    by_row = command("--like", "1", "--where", "id <> 8", "-k", "1", "--columns", "", "--plus", "0.01", "red")
    assert by_row.stdout.splitlines()[1].split("\t")[1:] == ["3", "1"]
    title, _, header, first, _ = on_terminal(command, *asked).splitlines()
    assert "2 pictures by exact search" in title
    assert header.split() == ["distance", "copies", "id"]
    assert first.split() == ["0.0000", "×", "3", "1"]


def on_terminal(command: Search, *arguments: str) -> str:
    """Return what a command prints on a terminal."""
    leader, follower = pty.openpty()
    try:
        command(*arguments, stdout=follower, stderr=follower, capture_output=False)
        return os.read(leader, 65536).decode()
    finally:
        os.close(leader)
        os.close(follower)


def test_terminal_gets_a_table_under_the_question(
    shop: Collection, command: Search, connection: Connection, database: str
) -> None:
    connection.execute("UPDATE shop.product SET name = E'evil \\x1b[31m' || repeat('long ', 90) WHERE id = 1")
    text = on_terminal(command, "red", "-k", "2")
    lines = text.splitlines()
    assert "red · product_color · 2 pictures by exact search" in lines[0]
    assert r"evil \x1b[31m" in lines[3]
    assert "\x1b[31m" not in text
    assert "…" in lines[3]
    assert max(map(len, lines[2:])) <= 80
    assert database not in text


def test_json_has_key_distance_similarity_columns_and_way(shop: Collection, command: Search) -> None:
    outcome = command("red", "blue", "-k", "1", "--columns", "price, details", "--json")
    (found,) = json.loads(outcome.stdout)
    # Red above blue: 4 of 12 channels differ from either; the first key comes first.
    assert found["distance"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["similarity"] == pytest.approx(1 / 3, abs=1e-3)
    assert (found["key"], found["columns"], found["strategy"]) == (
        {"id": 1},
        {"price": 10.5, "details": {}},
        "exact",
    )


def test_picture_and_row_are_asked_with(shop: Collection, command: Search, tmp_path: Path) -> None:
    (tmp_path / "cyan.png").write_bytes(picture("cyan"))
    by_picture = command("--image", str(tmp_path / "cyan.png"), "-k", "1", "--columns", "")
    assert by_picture.stdout.splitlines() == ["distance\tid\tcopies", "0.0000\t4\t1"]
    by_row = command("--like", "4", "-k", "7", "--columns", "id,name")
    assert [line.split("\t")[1] for line in by_row.stdout.splitlines()] == [
        "id",
        "3",
        "5",
        "7",
        "2",
        "6",
        "8",
        "1",
    ]


def test_contact_sheet_of_files_says_what_is_missing(
    connection: Connection, command: Search, tmp_path: Path
) -> None:
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, path text)")
    photos = create_collection(connection, request("photos", "photo", image=["path"], root="/nowhere"))
    for number, color in enumerate(COLORS, 1):
        (tmp_path / f"{color}.png").write_bytes(picture(color))
        connection.execute("INSERT INTO photo VALUES (%s, %s)", [number, f"{color}.png"])
        embed_row(connection, photos, [number], embedding(color))
    (tmp_path / "yellow.png").unlink()
    sheet = tmp_path / "sheet.html"
    outcome = command("red", "--html", str(sheet), "--root", str(tmp_path))
    assert (outcome.returncode, outcome.stderr) == (0, f"contact sheet: {sheet}\n")
    html = sheet.read_text()
    assert html.count("<img ") == 7
    assert html.count("file not found") == 1
    # The row's own picture stands beside the question.
    command("--like", "1", "--html", str(sheet), "--root", str(tmp_path))
    assert sheet.read_text().count("<img ") == 7
    command("red", "--html", str(sheet))
    assert sheet.read_text().count('class="missing"') == 8


def test_empty_answer_says_why(connection: Connection, shop: Collection, command: Search) -> None:
    outcome = command("red", "--where", "price > 1000", "--json")
    assert (outcome.returncode, outcome.stdout) == (0, "[]\n")
    assert outcome.stderr == "nothing found: no embedded row matches the condition 'price > 1000'\n"
    outcome = command("red", "white", "--max-distance", "0.1")
    assert "no embedded row is within distance 0.1" in outcome.stderr
    connection.execute("DELETE FROM imgvec.product_color_embedding WHERE id > 1")
    assert 'no other embedded row is in collection "product_color"' in command("--like", "1").stderr
    connection.execute("DELETE FROM imgvec.product_color_embedding")
    assert "run: imgvec backfill product_color" in command("red").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "nothing to search for"),
        (["red", "--like", "1"], 2, "expected one of"),
        (["--image", "a.png", "--like", "1"], 2, "--image and --like were given"),
        ([""], 2, "words are empty"),
        (["red", "-k", "0"], 2, "k is 0; expected 1 to 10000"),
        (["red", "--max-distance", "3"], 2, "expected 0 to 2"),
        (["red", "--collection", "nope"], 1, 'collection "nope" does not exist; there are: product_color'),
        (["red", "--columns", "nope"], 2, 'has no column "nope"; it has: id, name'),
        (["red", "--where", "price <"], 2, "syntax error"),
        (["--like", "99"], 1, "has no row 99"),
        (["--like", "x"], 2, "cannot be a key"),
        (["--image", "nope.png"], 2, "does not exist"),
        (["--image", __file__], 2, "cannot be used"),
        (["mountains"], 1, "knows colour words only"),
        (["red", "--html", "/nope/x.html", "-k", "1", "--where", "false"], 2, "cannot write /nope/x.html"),
        (["red", "--dsn", "host=/nope"], 3, "cannot connect"),
    ],
)
def test_bad_input_is_one_line(
    shop: Collection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    assert run(cli, ["search", *arguments]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_database_without_tables_says_migrate(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["search", "red", "--dsn", empty_database]) == 1
    assert "run: imgvec migrate" in capsys.readouterr().err
