"""The main path through every command that asks a database, over one small table: what must work wherever it lies."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from asking import PATIENT, answering
from colorshop import COLORS, picture

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.store.registry import get_collection

TABLE = """
CREATE TABLE public.photo (id integer PRIMARY KEY, name text, taken timestamptz DEFAULT now(), price numeric DEFAULT 1.5,
    content bytea);
"""
CREATE = ("--source", "public.photo", "--image", "content", "--model", "color-grid")
FILLING = (
    ("migrate",),
    ("words", "setup"),
    ("collection", "create", "photo", *CREATE),
    ("backfill", "photo"),
)
ASKING = (
    ("status",),
    ("status", "--json"),
    ("failures", "photo"),
    ("collection", "list"),
    ("collection", "show", "photo"),
    ("index", "show", "photo"),
    ("index", "rebuild", "photo", "--workers", "1", "--memory", "64MB"),
    ("index", "drop", "photo", "--yes"),
    ("index", "create", "photo"),
    ("recall", "photo", "--sample", "20"),
    ("recall", "photo", "--where", "price < 100", "--sample", "20"),
    ("search", "red shoes", "--columns", "name,taken,price"),
    ("search", "--like", "1", "--where", "price < 100", "--json"),
    ("search", "--like", "1", "--max-percentile", "50"),
    ("page", "red shoes", "-k", "3"),
    ("recommend", "--liked", "1,2", "--disliked", "3"),
    ("recommend", "--mean-of", "id < 4"),
    ("classify", "--labels", "red,blue,green", "--where", "price < 100"),
    ("matrix", "1,2,3"),
    ("verify", "photo"),
    ("verify", "--contents", "--repair"),
    ("collection", "reconcile", "photo"),
    ("collection", "reconcile", "photo", "--contents"),
    ("retry", "photo"),
    ("collection", "create", "second", *CREATE, "--partitions", "2", "--bands", "4,3,2"),
    ("backfill", "second"),
    ("fuse", "red", "--collections", "photo,second"),
    ("collection", "alias", "shown", "photo"),
    ("collection", "switch", "shown", "--to", "second", "--yes"),
    ("collection", "switch", "shown", "--back", "--yes"),
    ("search", "red", "--collection", "shown"),
    ("collection", "unalias", "shown"),
    ("collection", "drop", "second", "--yes"),
    ("doctor",),
    ("doctor", "--query", "SELECT id FROM imgvec.near_photo_row(1) ORDER BY distance LIMIT 3"),
    ("model", "list"),
    ("migrate", "--database-defaults"),
)
LEAVING = (("words", "remove"), ("uninstall", "--yes"))


def make_photos(dsn: str) -> None:
    """Make the table with a picture of each colour; id 1 is red."""
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(TABLE)
        for number, color in enumerate(COLORS, 1):
            connection.execute(
                "INSERT INTO public.photo (id, name, content) VALUES (%s, %s, %s)",
                [number, color, picture(color)],
            )


def walk(
    dsn: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    between: Callable[[], object] = lambda: None,
    application: str | None = None,
) -> None:
    """Run all of it; each command must end with 0 and say nothing of an error.

    Args:
        folder: Where pictures of the built-in library are put.
        between: Called once all is filled.
        application: Where the application connects to, elsewhere than the commands.
    """
    refused: list[str] = []

    def command(*arguments: str) -> None:
        needs_database = arguments[0] != "model"
        code = run(cli, [*arguments, *(["--dsn", dsn] if needs_database else [])])
        said = capsys.readouterr()
        if code or "unexpected" in said.err or "Traceback" in said.err:
            refused.append(
                f"imgvec {' '.join(arguments)}: exit {code}: {said.err.strip() or said.out[-500:]}"
            )

    make_photos(application or dsn)
    for arguments in FILLING:
        command(*arguments)
    assert not refused, refused
    between()
    command("calibrate", "photo")
    for arguments in ASKING:
        command(*arguments)
    for color in COLORS[:3]:
        (folder / f"{color}.png").write_bytes(picture(color))
    command("add", str(folder))
    command("collection", "create", "image", "--library", "--model", "color-grid")
    command("backfill", "image")
    assert not refused, refused
    with connect(dsn) as connection:
        collection = get_collection(connection, "photo")
    with answering(dsn, collection), psycopg.connect(application or dsn, autocommit=True) as asking:
        asking.prepare_threshold = None
        asking.execute(PATIENT)
        nearest = "SELECT id FROM imgvec.near_photo_text('lime shoes') ORDER BY distance LIMIT 1"
        assert asking.execute(nearest).fetchone() == (3,)
        assert asking.execute(
            "SELECT id FROM imgvec.search_photo(imgvec.embedding_of('photo', 1), 1)"
        ).fetchone()
        asking.execute("UPDATE public.photo SET content = %s WHERE id = 2", [picture("lime")])
    command("backfill", "photo")
    command("verify", "--contents")
    for arguments in LEAVING:
        command(*arguments)
    assert not refused, refused
