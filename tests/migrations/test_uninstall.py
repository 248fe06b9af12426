from pathlib import Path

import psycopg
import pytest
from colorshop import COLORS, embedding, make_shop, request
from dumps import dump_schema, dump_to_file, restore, run_tool

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.integrity.reconcile import list_source

APPLICATION = """
CREATE SCHEMA shop;
CREATE TABLE shop.product (id int PRIMARY KEY, name text NOT NULL, picture bytea);
CREATE TABLE shop."Photo Album" (tenant int, id uuid, path text, PRIMARY KEY (tenant, id)) PARTITION BY LIST (tenant);
CREATE TABLE shop.album_1 PARTITION OF shop."Photo Album" FOR VALUES IN (1);
CREATE TABLE shop.album_2 PARTITION OF shop."Photo Album" FOR VALUES IN (2);
ALTER TABLE shop."Photo Album" ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON shop."Photo Album" USING (tenant = 1);
CREATE VIEW shop.shown AS SELECT id, picture FROM shop.product;
CREATE FUNCTION shop.noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER mine AFTER INSERT ON shop.product FOR EACH STATEMENT EXECUTE FUNCTION shop.noop();
"""


def make_collections(connection: Connection) -> None:
    create_collection(connection, request("products", partitions=2))
    create_collection(
        connection,
        request("albums", 'shop."Photo Album"', image=["path"], root="/srv", foreign_key=False),
    )
    create_collection(connection, request("shown", "shop.shown", key=["id"], foreign_key=False))
    build_index(connection, create_collection(connection, request("again")))


@pytest.mark.parametrize("has_extension", [True, False])
def test_uninstall_leaves_the_database_as_it_was(
    empty_database: str, capsys: pytest.CaptureFixture[str], has_extension: bool
) -> None:
    with connect(empty_database) as connection:
        connection.execute(APPLICATION)
        if has_extension:
            connection.execute("CREATE EXTENSION vector")
        before = dump_schema(empty_database)
        assert run(cli, ["migrate", "--dsn", empty_database]) == 0
        make_collections(connection)
        assert dump_schema(empty_database) != before
        assert run(cli, ["uninstall", "--yes", "--dsn", empty_database]) == 0
    assert dump_schema(empty_database) == before
    output = capsys.readouterr().out
    assert "dropped collection albums" in output
    assert ("left extension vector: imgvec migrate did not create it" in output) == has_extension


@pytest.mark.parametrize("has_extension", [True, False])
def test_uninstall_after_printed_sql_leaves_the_database_as_it_was(
    empty_database: str, capsys: pytest.CaptureFixture[str], has_extension: bool
) -> None:
    if has_extension:
        with connect(empty_database) as connection:
            connection.execute("CREATE EXTENSION vector")
    before = dump_schema(empty_database)
    assert run(cli, ["migrate", "--sql"]) == 0
    printed = capsys.readouterr().out
    run_tool("psql", empty_database, "-X", "-v", "ON_ERROR_STOP=1", stdin=printed)
    assert run(cli, ["uninstall", "--yes", "--dsn", empty_database]) == 0
    assert dump_schema(empty_database) == before
    done = "left extension vector" if has_extension else "dropped extension vector"
    assert done in capsys.readouterr().out


def test_uninstall_where_nothing_is_installed_says_so(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["uninstall", "--dsn", empty_database]) == 0
    assert "has no schema imgvec; nothing to remove" in capsys.readouterr().out


def test_uninstall_finishes_what_a_broken_schema_is_left_with(connection: Connection, database: str) -> None:
    connection.execute("DROP TABLE imgvec.collection CASCADE")
    assert run(cli, ["uninstall", "--yes", "--dsn", database]) == 0


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW shop.near AS SELECT * FROM imgvec.near_product_color(NULL)", "view shop.near"),
        ("CREATE VIEW shop.models AS SELECT name FROM imgvec.model", "view shop.models"),
        ("CREATE TABLE shop.fan (image bigint REFERENCES imgvec.image)", "constraint fan_image_fkey"),
        (
            "CREATE FUNCTION shop.jobs() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM imgvec.job; END",
            "function shop.jobs()",
        ),
    ],
)
def test_uninstall_never_takes_the_applications_objects_along(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str], statement: str, named: str
) -> None:
    make_shop(connection)
    connection.execute(statement)
    before = dump_schema(database)
    assert run(cli, ["uninstall", "--yes", "--dsn", database]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err and captured.err.endswith("Nothing was changed\n")
    assert dump_schema(database) == before


def test_uninstall_waits_no_longer_than_it_should_and_changes_nothing(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shop(connection)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE shop.product IN SHARE MODE")
        assert run(cli, ["uninstall", "--yes", "--dsn", database, "--lock-timeout", "100"]) == 1
    assert "holds a lock on the table for longer than 100 ms; nothing was changed" in capsys.readouterr().err
    assert migrations.current_revision(connection) is not None


def test_dropping_waits_for_readers_no_longer_than_it_should(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shop(connection)
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM shop.product")
        command = ["collection", "drop", "product_color", "--yes", "--dsn", database, "--lock-timeout", "100"]
        assert run(cli, command) == 1
        assert "for longer than 100 ms; nothing was changed" in capsys.readouterr().err
        assert run(cli, ["uninstall", "--yes", "--dsn", database, "--lock-timeout", "100"]) == 1
        other.rollback()
        assert run(cli, command) == 0


ANSWERS = {
    "near": "SELECT id, round(distance::numeric, 3) FROM imgvec.near_product_color(%(query)s) ORDER BY distance, id",
    "near_row": "SELECT id, round(distance::numeric, 3) FROM imgvec.near_product_color_row(1) ORDER BY distance, id",
    "search": "SELECT id, round(distance::numeric, 3) FROM imgvec.search_product_color(%(query)s, 5, ARRAY[1, 2, 3])",
    "joined": "SELECT p.name FROM imgvec.near_product_color(%(query)s) n JOIN shop.product p USING (id)"
    " WHERE p.in_stock ORDER BY n.distance, p.id LIMIT 3",
    "stored": "SELECT imgvec.embedding_of('product_color', 3)::text",
}


def answers(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    query = {"query": str(embedding("red").tolist())}
    return {name: connection.execute(statement, query).fetchall() for name, statement in ANSWERS.items()}


def sameness(dump: str) -> str:
    """Return a dump without parentheses: a CHECK read back from its own text has fewer."""
    return dump.replace("(", "").replace(")", "")


def test_a_restored_dump_answers_as_before_and_goes_on_filing(
    connection: Connection, database: str, empty_database: str, tmp_path: Path
) -> None:
    collection = make_shop(connection)
    list_source(connection, collection)
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY")
    connection.execute(
        "CREATE TABLE shop.pair (a int, b text, picture bytea, PRIMARY KEY (a, b)) PARTITION BY HASH (a)"
    )
    connection.execute(
        "CREATE TABLE shop.pair_0 PARTITION OF shop.pair FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    create_collection(connection, request("pairs", "shop.pair", partitions=2))
    build_index(connection, collection)
    before = answers(connection)
    assert len(before["near"]) == len(COLORS)
    file = tmp_path / "dump"
    dump_to_file(database, file)
    restore(empty_database, file)
    with connect(empty_database) as restored:
        assert answers(restored) == before
        assert migrations.current_revision(restored) == migrations.newest_revision()
        migrations.check_models(restored)
        restored.execute("UPDATE shop.product SET picture = 'new' WHERE id = 2")
        restored.execute("INSERT INTO shop.pair VALUES (1, 'b', 'x')")
        enqueued = restored.execute("SELECT keys FROM imgvec.job ORDER BY id").fetchall()
        assert enqueued == [([{"id": 2}],), ([{"a": 1, "b": "b"}],)]
        restored.execute("DELETE FROM shop.product WHERE id = 1")
        assert (1,) not in [row[:1] for row in answers(restored)["near"]]
        assert sameness(dump_schema(empty_database)) == sameness(dump_schema(database))
