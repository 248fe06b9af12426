"""What a shell is told could follow."""

import os
import subprocess
import sys
import time

import pytest
from colorshop import make_shop, request
from psycopg.conninfo import conninfo_to_dict
from test_main import MODELS

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.collection_ddl import create_collection

# Prints what was completed, and on stderr which modules that took.
COMPLETE = """
import sys
from imgvec_pg.cli.main import cli
try:
    cli.main(prog_name="imgvec")
finally:
    print(",".join(sorted(sys.modules)), file=sys.stderr)
"""


def complete(typed: str, dsn: str) -> tuple[list[str], set[str]]:
    """Return what could follow what was typed, and the modules imported; nothing else may be printed."""
    words = typed.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE],
        env={
            **os.environ,
            "IMGVEC_DSN": dsn,
            "COMP_WORDS": f"imgvec {typed}",
            "COMP_CWORD": str(len(words)),
            "_IMGVEC_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()
    assert len(said) == 1, done.stderr
    # click ends an empty answer with a line of its own.
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line], set(said[0].split(","))


@pytest.fixture
def shop(connection: Connection) -> Connection:
    make_shop(connection)
    create_collection(connection, request("posters"))
    create_alias(connection, "product", "product_color")
    return connection


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("backfill p", ["posters", "product", "product_color"]),
        ("search --collection pr", ["product", "product_color"]),
        ("worker --collections posters,product_", ["posters,product_color"]),
        ("collection show po", ["posters"]),
        ("index show po", ["posters"]),
        ("recall po", ["posters"]),
        ("collection switch ", ["product"]),
        ("collection unalias ", ["product"]),
        ("collection alias new po", ["posters"]),
        ("collection switch product --to po", ["posters"]),
        ("collection switch product --to ViT-B-32/l", ["ViT-B-32/laion2b_s34b_b79k"]),
        ("collection create x --model de", ["demo"]),
        ("model show ViT-B-32/l", ["ViT-B-32/laion2b_s34b_b79k"]),
        ("backfill zzz", []),
        # Names that are to be new.
        ("collection create p", []),
        ("collection alias p", []),
        ("comp", ["completion"]),
    ],
)
def test_names_are_completed(shop: Connection, database: str, typed: str, expected: list[str]) -> None:
    found, modules = complete(typed, database)
    assert found == expected
    assert modules.isdisjoint(MODELS)


@pytest.mark.parametrize(
    "dsn",
    [
        "host=/nonexistent",
        "nonsense that is no connection string",
        "host=127.0.0.1 port=1",
        "host=192.0.2.1",  # RFC 5737: no packet ever comes back
    ],
)
def test_without_a_database_nothing_is_completed_and_nothing_said(dsn: str) -> None:
    began = time.monotonic()
    assert complete("backfill p", dsn)[0] == []
    assert time.monotonic() - began < 60  # half a second, and what a busy machine takes to start Python


def test_a_database_without_the_schema_is_silent(empty_database: str) -> None:
    assert complete("backfill p", empty_database)[0] == []


def test_a_dsn_that_was_typed_is_asked(shop: Connection, database: str) -> None:
    given = conninfo_to_dict(database)
    database_name = given.pop("dbname")
    url = f"postgresql:///{database_name}?" + "&".join(f"{name}={value}" for name, value in given.items())
    assert complete(f"backfill --dsn {url} po", "host=/nonexistent")[0] == ["posters"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_IMGVEC_COMPLETE={shell}_complete" in script and "imgvec" in script
    assert run(cli, ["completion", "csh"]) == 2
