"""Databases in other encodings than UTF-8: text travels as UTF-8, and what the database cannot hold is refused in one line."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from colorshop import picture
from every_command import walk
from fresh_databases import Server
from psycopg import sql
from workers import failures

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect

ENCODINGS = ("LATIN1", "SQL_ASCII", "EUC_JP", "KOI8R")
# Words that each encoding has.
KNOWN = {"LATIN1": "grün", "SQL_ASCII": "grün 緑", "EUC_JP": "緑", "KOI8R": "зелёный"}
UNKNOWN = {"LATIN1": "緑", "EUC_JP": "한국", "KOI8R": "緑"}


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def encoded(server: Server, encoding: str) -> Iterator[str]:
    """Give a database in this encoding with nothing in it."""
    name = f"imgvec_test_in_{encoding.lower()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0").format(
                sql.Identifier(name), sql.Literal(encoding)
            )
        )
        try:
            yield server.dsn(name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"], indirect=True)
def test_every_command_works(encoded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walk(encoded, tmp_path, capsys)


def test_keys_paths_and_words_in_the_databases_letters_are_read_and_found(
    encoded: str, encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word = KNOWN[encoding]
    assert run(cli, ["migrate", "--dsn", encoded]) == 0
    (tmp_path / f"{word}.png").write_bytes(picture("lime"))
    with connect(encoded) as connection:
        connection.execute("CREATE TABLE public.photo (name text PRIMARY KEY, path text)")
        rows = [(word, f"{word}.png"), (f"{word} 2", f"not there {word}.png")]
        connection.cursor().executemany("INSERT INTO public.photo VALUES (%s, %s)", rows)
    create = [
        "collection",
        "create",
        "photo",
        "--source",
        "photo",
        "--image",
        "path",
        "--root",
        str(tmp_path),
    ]
    assert run(cli, [*create, "--model", "color-grid", "--dsn", encoded]) == 0
    # One row's picture is not there; it alone fails, and the message names the path.
    assert run(cli, ["backfill", "photo", "--dsn", encoded]) == 4
    capsys.readouterr()
    assert run(cli, ["failures", "photo", "--dsn", encoded]) == 0
    assert f"not there {word}.png" in capsys.readouterr().out
    assert run(cli, ["search", f"lime {word}", "--columns", "name,path", "--dsn", encoded]) == 0
    assert f"{word}.png" in capsys.readouterr().out
    assert run(cli, ["search", "--like", word, "--dsn", encoded]) == 0
    assert run(cli, ["verify", "--contents", "--dsn", encoded]) == 0
    assert run(cli, ["uninstall", "--yes", "--dsn", encoded]) == 0


def test_what_the_encoding_lacks_is_refused_in_one_line(
    encoded: str, encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if encoding not in UNKNOWN:
        pytest.skip("it takes any bytes")
    word = UNKNOWN[encoding]
    assert run(cli, ["migrate", "--dsn", encoded]) == 0
    with connect(encoded) as connection:
        connection.execute("CREATE TABLE public.photo (id integer PRIMARY KEY, content bytea)")
        connection.execute("INSERT INTO public.photo VALUES (1, %s), (2, 'no picture')", [picture("lime")])
    create = ["collection", "create", "photo", "--source", "photo", "--image", "content"]
    assert run(cli, [*create, "--model", "color-grid", "--dsn", encoded]) == 0
    assert run(cli, ["backfill", "photo", "--dsn", encoded]) == 4
    capsys.readouterr()
    # Words that the cache cannot hold are searched for all the same.
    assert run(cli, ["search", f"lime {word}", "--dsn", encoded]) == 0
    assert run(cli, ["search", "lime", "--where", f"'{word}' = 'x'", "--dsn", encoded]) in (1, 2)
    said = capsys.readouterr().err
    assert "unexpected" not in said and said.count("\n") == 1, said
    (tmp_path / f"{word}.png").write_bytes(picture("red"))
    (tmp_path / "plain.png").write_bytes(picture("blue"))
    assert run(cli, ["add", str(tmp_path), "--dsn", encoded]) == 4
    said = capsys.readouterr()
    assert "unexpected" not in said.err and word in said.out + said.err, said
    with connect(encoded) as connection:
        assert connection.execute("SELECT count(*) FROM imgvec.image").fetchone() == (1,)
        assert failures(connection).keys() == {2}
