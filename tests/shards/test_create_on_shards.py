"""A collection made on two shards by one command of their coordinator: all of it, or nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fresh_databases import Server, fresh_database

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import render
from imgvec_pg.shards import create_on_shards

CREATE = (
    "collection",
    "create",
    "item_test",
    "--source",
    "shop.item",
    "--image",
    "picture",
    "--model",
    "demo",
)
NAMES = ("left", "right")


def imgvec(dsn: str, *words: str) -> int:
    return run(cli, [*words, "--dsn", dsn])


@pytest.fixture(scope="module")
def databases(server: Server, template: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give a coordinator and two shards with parts of shop.item."""
    with ExitStack() as stack:
        here, left, right = (stack.enter_context(fresh_database(server, template)) for _ in range(3))
        for place, dsn in enumerate((left, right)):
            with connect(dsn) as connection:
                connection.execute(
                    "CREATE SCHEMA shop; CREATE TABLE shop.item (id bigint PRIMARY KEY, picture bytea)"
                )
                connection.execute(
                    "INSERT INTO shop.item SELECT i, 'x' FROM generate_series(%s::int, %s) AS i",
                    [1 + 10 * place, 10 + 10 * place],
                )
            assert imgvec(here, "shard", "add", NAMES[place], "--at", dsn) == 0
        yield here, (left, right)


@pytest.fixture
def shards(databases: tuple[str, tuple[str, str]]) -> Iterator[tuple[Connection, Connection]]:
    with connect(databases[1][0]) as left, connect(databases[1][1]) as right:
        yield left, right


def has_collection(connection: Connection) -> bool:
    made = connection.execute(
        "SELECT to_regclass('imgvec.item_test_embedding') IS NOT NULL, EXISTS (SELECT FROM imgvec.collection),"
        " EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'shop.item'::regclass AND NOT tgisinternal)"
    ).fetchone()
    assert made is not None and len(set(made)) == 1, "half a collection"
    return bool(made[0])


def test_one_command_makes_it_on_each_shard_and_spans_them(
    databases: tuple[str, tuple[str, str]],
    shards: tuple[Connection, Connection],
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = databases[0]
    assert imgvec(here, *CREATE, "--shards", "left,right", "--dry-run") == 0
    assert capsys.readouterr().out.count("nothing was changed") == 2
    assert not any(map(has_collection, shards))
    assert imgvec(here, *CREATE, "--shards", "left,right") == 0
    told = capsys.readouterr().out
    assert told.count("10 rows enqueued") == 2 and "item_test spans left, right" in told
    for shard in shards:
        assert has_collection(shard)
        assert shard.execute("SELECT waiting FROM imgvec.status").fetchone() == (10,)
    with connect(here) as coordinator:
        [(dimensions,)] = coordinator.execute("SELECT dimensions FROM imgvec.sharded_collection").fetchall()
        found = coordinator.execute("SELECT FROM imgvec.search_item_test(%s)", [str([1] * dimensions)])
        assert found.fetchall() == []
    assert imgvec(here, *CREATE, "--shards", "left,right") == 1
    assert "spans shards here" in capsys.readouterr().err
    assert all(map(has_collection, shards))
    assert imgvec(here, "shard", "unspan", "item_test") == 0
    assert imgvec(here, "shard", "span", "item_test", "--shards", "left,right") == 0
    with connect(here) as coordinator, coordinator.transaction(force_rollback=True):
        # As uninstalling and going back before revision 0010 do.
        coordinator.execute(render("shards/remove_servers.sql"))
        left = coordinator.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'imgvec'::regnamespace AND relname LIKE 'item_test%'"
        )
        assert left.fetchall() == []
        assert coordinator.execute("SELECT to_regproc('imgvec.near_item_test')").fetchone() == (None,)
    assert imgvec(here, "shard", "unspan", "item_test") == 0
    for dsn in databases[1]:
        assert imgvec(dsn, "collection", "drop", "item_test", "--yes") == 0


def test_nothing_is_left_where_one_shard_refuses(
    databases: tuple[str, tuple[str, str]],
    shards: tuple[Connection, Connection],
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, left, right = databases[0], *shards

    def refused(*words: str, names: str = "left,right", code: int = 1) -> str:
        assert imgvec(here, *CREATE, *words, "--shards", names) == code
        return capsys.readouterr().err

    right.execute("ALTER TABLE shop.item RENAME COLUMN picture TO image")
    try:
        told = refused()
        assert 'shard "right": ' in told and "nothing was changed on any shard" in told and "picture" in told
        assert not has_collection(left) and not has_collection(right)
    finally:
        right.execute("ALTER TABLE shop.item RENAME COLUMN image TO picture")
    assert 'shard "middle" does not exist' in refused(names="left,middle")
    assert "name at least one shard" in refused(names=",", code=2)
    assert "--adopt and --shards were given" in refused("--adopt", "shop.item.picture", code=2)
    with connect(here) as coordinator:
        coordinator.execute("CREATE TABLE imgvec.item_test_embedding (kept integer)")
        try:
            assert "a left-over is in the way of near_item_test" in refused()
            assert not has_collection(left) and not has_collection(right)
            assert coordinator.execute("SELECT count(*) FROM imgvec.sharded_collection").fetchone() == (0,)
        finally:
            coordinator.execute("DROP TABLE imgvec.item_test_embedding")
        coordinator.execute("ALTER SERVER imgvec_shard_right OPTIONS (SET dbname 'nowhere')")
        try:
            assert 'shard "right" cannot be reached from here' in refused()
            assert not has_collection(left)
        finally:
            database = right.info.dbname
            coordinator.execute(f"ALTER SERVER imgvec_shard_right OPTIONS (SET dbname '{database}')")


def test_an_address_that_leads_elsewhere_from_this_machine_is_refused(
    databases: tuple[str, tuple[str, str]],
    shards: tuple[Connection, Connection],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, (left, _) = databases
    monkeypatch.setattr(create_on_shards, "_login", lambda *_: left)
    assert imgvec(here, *CREATE, "--shards", "left,right") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert 'shard "right" cannot be reached from here: its address leads to another database' in line
    assert not any(map(has_collection, shards))


def test_a_key_of_a_type_that_the_coordinator_has_not_is_refused_in_one_line(
    databases: tuple[str, tuple[str, str]],
    shards: tuple[Connection, Connection],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for shard in shards:
        shard.execute(
            "CREATE TYPE shop.side AS ENUM ('a', 'b'); CREATE TABLE shop.sided (side shop.side PRIMARY KEY, picture bytea)"
        )
    try:
        create = [word.replace("shop.item", "shop.sided") for word in CREATE]
        assert imgvec(databases[0], *create, "--shards", "left,right") == 1
        [line] = capsys.readouterr().err.splitlines()
        assert 'key column "side" of item_test is of type shop.side' in line and "such as bigint" in line
        assert not any(map(has_collection, shards))
        for shard in databases[1]:
            assert imgvec(shard, *create) == 0
        capsys.readouterr()
        assert imgvec(databases[0], "shard", "span", "item_test", "--shards", "left,right") == 1
        [line] = capsys.readouterr().err.splitlines()
        assert 'key column "side" of item_test is of type shop.side' in line
        for shard in databases[1]:
            assert imgvec(shard, "collection", "drop", "item_test", "--yes") == 0
    finally:
        for shard in shards:
            shard.execute("DROP TABLE shop.sided; DROP TYPE shop.side")
