"""Every command that asks a collection, over one that is split by tenant: it works, or says in one line why not."""

import json

import pytest
from colorshop import COLORS, picture
from tenantshop import make_tenants

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.integrity.rename import follow_columns
from imgvec_pg.store.registry import get_collection

TABLE = """
CREATE TABLE public.photo (tenant_id int, id int, name text, price numeric DEFAULT 1.5, content bytea,
    PRIMARY KEY (tenant_id, id));
"""
CREATE = (
    "--source",
    "public.photo",
    "--image",
    "content",
    "--model",
    "color-grid",
    "--partition-by",
    "tenant_id",
)
LIKE = '{"tenant_id": 1, "id": 1}'
WORKING = (
    ("status",),
    ("failures", "photo"),
    ("collection", "list"),
    ("collection", "show", "photo"),
    ("index", "show", "photo"),
    ("index", "rebuild", "photo", "--workers", "1", "--memory", "64MB"),
    ("index", "drop", "photo", "--yes"),
    ("index", "create", "photo"),
    ("recall", "photo", "--sample", "20"),
    ("recall", "photo", "--where", "tenant_id = 1", "--sample", "20"),
    ("search", "red shoes", "--where", "tenant_id = 1"),
    ("search", "--like", LIKE, "--where", "price < 100", "--json"),
    ("page", "red shoes", "-k", "3"),
    ("classify", "--labels", "red,blue,green", "--where", "price < 100"),
    ("verify", "photo"),
    ("verify", "--contents", "--repair"),
    ("collection", "reconcile", "photo"),
    ("retry", "photo"),
    ("duplicates", "photo"),
    ("collection", "alias", "shown", "photo"),
    ("search", "red", "--collection", "shown"),
    ("collection", "unalias", "shown"),
    ("index", "create", "photo", "--radius"),
    ("doctor",),
    ("migrate",),
)
REFUSED = {
    ("index", "tune", "photo", "--sample", "40", "--recall", "0.5"): "there is nothing to tune",
    ("index", "rebuild", "photo", "--quantize", "bit"): "--quantize none",
    ("index", "rebuild", "photo", "--method", "ivfflat"): "--hash N",
    ("index", "create", "photo"): "has a valid HNSW index",
}


def test_it_works_or_is_refused_in_one_line(
    connection: Connection,
    database: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    connection.execute(TABLE)
    for number in range(1, 65):
        connection.execute(
            "INSERT INTO public.photo (tenant_id, id, name, content) VALUES (%s, %s, 'x', %s)",
            [
                1 if number <= 40 else 2 if number <= 60 else 3,
                number,
                picture(COLORS[number % 8], (30 + number, 30)),
            ],
        )
    problems: list[str] = []

    def command(*arguments: str) -> str:
        code = run(cli, [*arguments, "--dsn", database])
        said = capsys.readouterr()
        if code or "unexpected" in said.err or "Traceback" in said.err:
            problems.append(
                f"imgvec {' '.join(arguments)}: exit {code}: {said.err.strip() or said.out[-300:]}"
            )
        return said.out

    command("collection", "create", "photo", *CREATE, "--list")
    command("collection", "partition", "photo", "--rows", "20")
    command("backfill", "photo")
    shown = json.loads(command("collection", "show", "photo", "--json"))
    assert shown["partition_by"] == "tenant_id"
    # The partitions were there before the fill, and their indexes come at its end.
    assert [state["index_name"] for state in shown["indexes"]] == [
        "photo_embedding_1_hnsw",
        "photo_embedding_2_hnsw",
    ]
    for arguments in WORKING:
        command(*arguments)
    folder = tmp_path_factory.mktemp("exported")
    command("export", "photo", str(folder / "vectors"))
    assert problems == []
    for arguments, expected in REFUSED.items():
        assert run(cli, [*arguments, "--dsn", database]) in (1, 2), arguments
        said = capsys.readouterr().err
        assert expected in said and len(said.strip().splitlines()) == 1, said
    found = json.loads(command("search", "--like", LIKE, "--where", "tenant_id = 1", "--json", "-k", "4"))
    assert len(found) == 4
    with connect(database) as other:
        other.execute("ALTER TABLE public.photo ALTER COLUMN tenant_id TYPE bigint")
    command("collection", "alter-key", "photo")
    command("index", "create", "photo")
    with connect(database) as other:
        other.execute("ALTER TABLE public.photo RENAME COLUMN tenant_id TO shop")
        follow_columns(other, get_collection(other, "photo"), {"tenant_id": "shop"})
    command("collection", "partition", "photo", "--tenant", "3")
    assert get_collection(connection, "photo").partition_by == "shop"
    command("verify", "photo")
    assert problems == []
    command("collection", "drop", "photo", "--yes")
    left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'imgvec'::regnamespace AND relname ~ '^photo_'"
    assert connection.execute(left).fetchone() == (0,)
    assert problems == []


def test_where_all_tenants_are_small_there_is_no_index_and_nothing_is_missing(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tenants(connection, {1: 30, 2: 3})
    remedy = "imgvec collection partition photo_test"
    for arguments in (("recall",), ("index", "create"), ("index", "rebuild")):
        assert run(cli, [*arguments, "photo_test", "--dsn", database]) == 1
        said = capsys.readouterr().err
        assert remedy in said and len(said.strip().splitlines()) == 1
    for arguments in (("index", "show", "photo_test"), ("doctor",), ("collection", "show", "photo_test")):
        assert run(cli, [*arguments, "--dsn", database]) == 0
        assert "imgvec collection partition" in capsys.readouterr().out
    assert connection.execute("SELECT index FROM imgvec.status").fetchone() == ("ready",)
    moved = ["collection", "partition", "photo_test", "--rows", "30", "--dsn", database]
    assert run(cli, moved) == 0
    assert connection.execute("SELECT index FROM imgvec.status").fetchone() == ("ready",)
    connection.execute("DROP INDEX imgvec.photo_test_embedding_1_hnsw")
    assert connection.execute("SELECT index FROM imgvec.status").fetchone() == ("none",)
