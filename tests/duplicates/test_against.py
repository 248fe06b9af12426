"""`imgvec duplicates --against`: an upload against the archive, of one model, seen as both sources allow."""

import json
from typing import Any

import pytest
from photostore import as_role, make_collection, new_role
from psycopg import sql
from test_following_runs import DIMENSIONS, put

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates import run_state
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.integrity.rename import rename_collection


@pytest.fixture
def archive(connection: Connection) -> Collection:
    """Give shop.photo, rows 1 to 30 of six places, and shop.upload, with keys of two columns: places 1 and 2, and another."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric)")
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute(
        "CREATE POLICY few ON shop.photo USING (id < current_setting('shop.below', true)::int)"
    )
    connection.execute(
        "CREATE TABLE shop.upload (id text, other_id int, file text, PRIMARY KEY (id, other_id))"
    )
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 31) AS i")
    connection.execute("INSERT INTO shop.upload SELECT 'a%', i, i || '.jpg' FROM generate_series(1, 3) AS i")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    make_collection(connection, "shop.upload", "upload_test", dimensions=DIMENSIONS)
    for key in range(1, 31):
        put(connection, key, key % 6, 0.05)
    for key, place in ((1, 1), (2, 2), (3, 99)):
        put(connection, 31, place, 0.05, version=key)
        connection.execute(
            "INSERT INTO imgvec.upload_test_embedding (id, other_id, embedding, version, content_hash, precision)"
            " SELECT 'a%%', %s, embedding, 1, content_hash, 'fp32' FROM imgvec.photo_test_embedding WHERE id = 31",
            [key],
        )
    connection.execute("DELETE FROM shop.photo WHERE id = 31")
    return collection


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("IMGVEC_DSN", database)
    return ["duplicates", "upload_test", "--against", "photo_test"]


FOUND = (
    "SELECT id, other_id, other__id, why FROM imgvec.duplicate_upload_test_against_photo_test ORDER BY 2, 3"
)
WANTED = [("a%", 1, key) for key in (1, 7, 13, 19, 25)] + [("a%", 2, key) for key in (2, 8, 14, 20, 26)]


def test_pairs_across_two_tables_can_be_joined(
    connection: Connection, archive: Collection, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, [*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["other_rows"], told["pairs"]) == (3, 30, 10)
    # The hash of a picture is its place and noise here, so all of a place have the same bytes.
    assert connection.execute(FOUND).fetchall() == [(*pair, "same bytes") for pair in WANTED]
    # A run replaces the last one's; what is gone leaves at once; a decision holds here too.
    connection.execute("DELETE FROM shop.photo WHERE id = 7")
    connection.execute(
        "SELECT imgvec.decide_duplicate_content(e.content_hash, e.content_hash, 'ignore') FROM imgvec.photo_test_embedding AS e"
        " WHERE id = 2"
    )
    left = [(*pair, "same bytes") for pair in WANTED if pair[1] == 1 and pair[2] != 7]
    assert connection.execute(FOUND).fetchall() == left
    assert run(cli, [*command, "--where", "other_id = 2"]) == 0
    assert "4 pairs" not in capsys.readouterr().out and connection.execute(FOUND).fetchall() == []
    assert run(cli, command) == 0
    assert connection.execute(FOUND).fetchall() == left


def test_coordinates_of_the_others_run_find_the_same_pairs_as_all_its_vectors(
    connection: Connection, archive: Collection, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> tuple[dict[str, Any], list[Any]]:
        assert run(cli, [*command, "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out), connection.execute(FOUND).fetchall()

    assert run(cli, ["duplicates", "photo_test", "--where", "price <> 25", "--threshold", "0.99"]) == 0
    capsys.readouterr()
    # New, changed, gone, and one whose key went to another, since that run; one it was not asked about.
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(32, 40) AS i")
    for key, place in ((32, 1), (33, 2), (34, 5), (13, 3), (9, 2)):
        put(connection, key, place, 0.05, version=7)
    connection.execute("DELETE FROM shop.photo WHERE id IN (7, 8)")
    connection.execute("UPDATE shop.photo SET id = 50 WHERE id = 19")
    wanted = [("a%", 1, key) for key in (1, 25, 32, 50)] + [("a%", 2, key) for key in (2, 9, 14, 20, 26, 33)]
    for threshold in ("0.95", "0.2"):
        by_coordinates, pairs = told("--threshold", threshold)
        connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM imgvec.photo_test_duplicate_run")
        connection.execute("DELETE FROM imgvec.photo_test_duplicate_run")
        by_vectors, all_pairs = told("--threshold", threshold)
        connection.execute("INSERT INTO imgvec.photo_test_duplicate_run SELECT * FROM kept; DROP TABLE kept")
        assert pairs == all_pairs and (threshold != "0.95" or [row[:3] for row in pairs] == wanted)
        assert by_coordinates["other_rows"] == by_vectors["other_rows"] == by_vectors["other_read"] == 31
    assert by_coordinates["other_read"] < 31


def test_a_following_run_of_the_other_and_too_many_changes_are_no_trap(
    connection: Connection,
    archive: Collection,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read() -> int:
        assert run(cli, [*command, "--json"]) == 0
        return int(json.loads(capsys.readouterr().out)["other_read"])

    assert read() == 30
    assert run(cli, ["duplicates", "photo_test"]) == 0
    put(connection, 3, 1, 0.05, version=9)
    assert run(cli, ["duplicates", "photo_test"]) == 0
    capsys.readouterr()
    # Rows of places 1 and 2 alone.
    assert read() == 11 and len(connection.execute(FOUND).fetchall()) == 11
    monkeypatch.setattr(run_state, "FEWEST_NEW", 2)
    for key in (4, 5, 6, 10):
        put(connection, key, 1, 0.05, version=10)
    assert read() == 30 and len(connection.execute(FOUND).fetchall()) == 15


def test_readers_see_pairs_whose_rows_both_sources_show(
    connection: Connection, archive: Collection, command: list[str]
) -> None:
    assert run(cli, command) == 0
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo, shop.upload")
    with new_role(connection, *grants) as role, as_role(connection, role):
        connection.execute("SET shop.below = 99")
        assert len(connection.execute(FOUND).fetchall()) == 10
        connection.execute("SET shop.below = 9")
        assert [row[2] for row in connection.execute(FOUND)] == [1, 7, 2, 8]
        rows = connection.execute("SELECT count(*) FROM imgvec.upload_test_against_photo_test").fetchone()
        assert rows == (4,)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["upload_test"], 2, "--against upload_test is the same collection"),
        (["nothing"], 1, '"nothing"'),
        (
            ["other_model"],
            2,
            "is of model test/96 (fingerprint unknown), other_model of test/another (unknown)",
        ),
        (["photo_test", "--threshold", "0"], 2, "the threshold is 0"),
        (["photo_test", "--max-pairs", "9"], 2, "10 pairs are within the threshold 0.95"),
        (["photo_" + "x" * 30], 1, "bytes; PostgreSQL's names have at most 63"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    connection: Connection,
    archive: Collection,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    make_collection(connection, name="other_model", model="test/another", dimensions=DIMENSIONS)
    make_collection(connection, name="photo_" + "x" * 30, dimensions=DIMENSIONS)
    assert run(cli, [*command[:3], *arguments]) == code
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_the_pairs_go_with_either_collection_and_with_its_name(
    connection: Connection, archive: Collection, command: list[str]
) -> None:
    left = sql.SQL(
        "SELECT relname FROM pg_class WHERE relname LIKE '%\\_against\\_%' AND relkind IN ('r', 'v')"
    )
    assert run(cli, command) == 0
    assert len(connection.execute(left).fetchall()) == 2
    renamed = rename_collection(connection, archive, "photo_two")
    assert connection.execute(left).fetchall() == []
    assert run(cli, [*command[:3], "photo_two"]) == 0
    drop_collection(connection, renamed)
    assert connection.execute(left).fetchall() == []
