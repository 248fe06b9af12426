"""A collection over three databases, searched through a fourth, against the same rows in one."""

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pytest
from fresh_databases import Server, fresh_database
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from socket_relay import SocketRelay, socket_relay
from vectorstore import DIMENSIONS, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

ROWS = 900
NAMES = ("east", "north", "west")
TENANT = "app.tenant"


@dataclass
class Cluster:
    """Connection strings, and each row's vector by its key."""

    coordinator: str
    shards: dict[str, str]
    whole: str


def fill(dsn: str, keys: list[int], *, name: str = "item_test", model: str = "test/48") -> None:
    """Make shop.item of these keys with its collection; every tenth picture is that of key 10, the others each their own."""
    with connect(dsn) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.item (tenant integer, id bigint, picture bytea, PRIMARY KEY (id, tenant))"
        )
        connection.execute(
            "INSERT INTO shop.item SELECT i %% 3, i, 'x' FROM unnest(%s::bigint[]) AS i", [keys]
        )
        made = create_collection(
            connection, CollectionSpec(name, "shop.item", ["picture"], model, DIMENSIONS, True)
        )
        everything = vectors(ROWS)
        with connection.cursor().copy(
            sql.SQL("COPY {} (id, tenant, embedding, version, content_hash, precision) FROM STDIN").format(
                sql.Identifier("imgvec", made.embedding_table)
            )
        ) as copy:
            for key in keys:
                picture = 10 if key % 10 == 0 else key
                vector = str(everything[picture - 1].tolist())
                copy.write_row((key, key % 3, vector, 1, picture.to_bytes(4, "big"), "fp32"))
        connection.execute("GRANT imgvec_reader TO CURRENT_USER")


def imgvec(dsn: str, *words: str) -> int:
    return run(cli, [*words, "--dsn", dsn])


@pytest.fixture(scope="module")
def cluster(server: Server, template: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        made = Cluster(
            stack.enter_context(fresh_database(server, template)),
            {name: stack.enter_context(fresh_database(server, template)) for name in NAMES},
            stack.enter_context(fresh_database(server, template)),
        )
        fill(made.whole, list(range(1, ROWS + 1)))
        for place, (name, dsn) in enumerate(made.shards.items()):
            fill(dsn, list(range(1 + place, ROWS + 1, 3)))
            assert imgvec(made.coordinator, "shard", "add", name, "--at", dsn) == 0
        spanned = imgvec(
            made.coordinator,
            "shard",
            "span",
            "item_test",
            "--shards",
            ",".join(NAMES),
            "--pass-setting",
            TENANT,
        )
        assert spanned == 0
        yield made


@pytest.fixture
def coordinator(cluster: Cluster) -> Iterator[Connection]:
    with connect(cluster.coordinator) as connection:
        yield connection


def query(seed: int = 3) -> str:
    return str(vectors(1, seed)[0].tolist())


def rows(connection: Connection, statement: str, *values: object) -> list[tuple[object, ...]]:
    return connection.execute(statement, values or None).fetchall()  # type: ignore[arg-type]


def way(connection: Connection) -> str:
    return str(rows(connection, "SELECT imgvec.last_search_strategy()")[0][0])


@contextmanager
def away(cluster: Cluster, name: str, server: Server) -> Iterator[None]:
    """Have a shard's database end all sessions and take no new ones."""
    database = sql.Identifier(str(conninfo_to_dict(cluster.shards[name])["dbname"]))
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        end_sessions(connection, cluster, name)
        try:
            yield
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


def end_sessions(connection: psycopg.Connection, cluster: Cluster, name: str) -> None:
    """End them, and see that they have gone."""
    database = conninfo_to_dict(cluster.shards[name])["dbname"]
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        [database],
    ).fetchall()
    assert all(row[0] for row in ended)


SHAPES = {
    "all": "SELECT * FROM imgvec.search_item_test(%s, 20)",
    "more than there are": "SELECT * FROM imgvec.search_item_test(%s, 2000)",
    "among": "SELECT * FROM imgvec.search_item_test(%s, 20, ARRAY(SELECT ROW(i, i %% 3)::imgvec.item_test_key"
    " FROM generate_series(1, 900, 7) AS i))",
    "among few": "SELECT * FROM imgvec.search_item_test(%s, 20, ARRAY[ROW(5, 2), ROW(7, 1)]::imgvec.item_test_key[])",
    "among none": "SELECT * FROM imgvec.search_item_test(%s, 20, ARRAY[]::imgvec.item_test_key[])",
    "different pictures": "SELECT * FROM imgvec.search_item_test(%s, 900, distinct_pictures => true)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_answers_as_one_server_does(cluster: Cluster, coordinator: Connection, shape: str) -> None:
    with connect(cluster.whole) as whole:
        for seed in (3, 4):
            expected = rows(whole, SHAPES[shape], query(seed))
            assert rows(coordinator, SHAPES[shape], query(seed)) == expected
    assert way(coordinator) == "exact (3 of 3 shards)"


def test_ten_rows_of_one_picture_on_three_shards_are_one(coordinator: Connection) -> None:
    [(found, distance)] = rows(
        coordinator,
        "SELECT id, distance FROM imgvec.search_item_test(%s, 1, distinct_pictures => true)",
        str(vectors(ROWS)[9].tolist()),
    )
    assert (found, distance) == (10, pytest.approx(0, abs=1e-3))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("(%s, 0)", "k must be 1 to 10000, not 0"),
        ("('[1,2]')", "the query vector has 2 dimensions, the collection 48"),
        ("(%s, 5, NULL)", "among is NULL, which is no list of keys"),
        ("(%s, 5, partial => NULL)", "partial is NULL"),
        ("(%s, 5, distinct_pictures => NULL)", "distinct_pictures is NULL"),
    ],
)
def test_bad_arguments_are_told_as_by_one_server(coordinator: Connection, call: str, told: str) -> None:
    values = [query()] if "%s" in call else []
    with pytest.raises(psycopg.Error, match=told):
        rows(coordinator, f"SELECT * FROM imgvec.search_item_test{call}", *values)


def test_the_vector_of_a_row_comes_from_the_shard_that_has_it(
    cluster: Cluster, coordinator: Connection
) -> None:
    statement = "SELECT imgvec.embedding_of('item_test', '{\"id\": 5, \"tenant\": 2}')::text"
    with connect(cluster.whole) as whole:
        assert rows(coordinator, statement) == rows(whole, statement)
    with pytest.raises(psycopg.errors.NoDataFound, match='"item_test" has no embedding for key'):
        rows(coordinator, statement.replace("5", "5000"))


def test_a_shard_that_is_away_raises_with_its_name_and_the_next_answer_is_whole(
    cluster: Cluster, coordinator: Connection, server: Server
) -> None:
    expected = rows(coordinator, SHAPES["all"], query())
    with away(cluster, "north", server):
        for _ in range(3):
            # By a connection that is kept, at first, and by none.
            with pytest.raises(psycopg.Error, match='shard "north" is away') as raised:
                rows(coordinator, SHAPES["all"], query())
            assert "is not currently accepting connections" in str(raised.value.diag.message_primary)
        assert "partial => true" in str(raised.value)
        partial = rows(coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query())
        assert len(partial) == 20 and not {row[0] % 3 for row in partial} & {2}  # type: ignore[operator]
        assert way(coordinator) == "exact (2 of 3 shards; away: north)"
    assert rows(coordinator, SHAPES["all"], query()) == expected


def test_a_kept_connection_that_died_meanwhile_is_opened_again(
    cluster: Cluster, coordinator: Connection, server: Server
) -> None:
    expected = rows(coordinator, SHAPES["all"], query())
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for name in NAMES:
            end_sessions(admin, cluster, name)
            assert rows(coordinator, SHAPES["all"], query()) == expected
            assert way(coordinator) == "exact (3 of 3 shards)"


def test_a_key_that_no_shard_has_is_told_so_after_a_kept_connection_died(
    cluster: Cluster, coordinator: Connection, server: Server
) -> None:
    statement = "SELECT imgvec.embedding_of('item_test', '{\"id\": 5000, \"tenant\": 2}')"
    rows(coordinator, SHAPES["all"], query())
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        end_sessions(admin, cluster, "north")
    with pytest.raises(psycopg.errors.NoDataFound, match="has no embedding for key"):
        rows(coordinator, statement)


def test_all_shards_away_is_no_empty_answer(
    cluster: Cluster, coordinator: Connection, server: Server
) -> None:
    with ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(away(cluster, name, server))
        with pytest.raises(psycopg.Error, match="no shard of item_test answers"):
            rows(coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query())


def test_a_search_that_was_cancelled_leaves_nothing_to_the_next(
    cluster: Cluster, coordinator: Connection
) -> None:
    expected = rows(coordinator, SHAPES["all"], query(5))
    with stopped_session(cluster, coordinator, "west"):
        coordinator.execute("SET statement_timeout = 200")
        with pytest.raises(psycopg.errors.QueryCanceled):
            rows(coordinator, SHAPES["all"], query(4))
        coordinator.execute("RESET statement_timeout")
    assert rows(coordinator, SHAPES["all"], query(5)) == expected


def test_a_shard_that_hangs_is_away_after_its_time(cluster: Cluster, coordinator: Connection) -> None:
    expected = rows(coordinator, SHAPES["all"], query())
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 400 WHERE name = 'west'")
    try:
        with stopped_session(cluster, coordinator, "west"):
            began = time.monotonic()
            partial = rows(
                coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query()
            )
            assert time.monotonic() - began > 0.4
        assert len(partial) == 20
        assert way(coordinator) == "exact (2 of 3 shards; away: west)"
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000 WHERE name = 'west'")
    assert rows(coordinator, SHAPES["all"], query()) == expected


@contextmanager
def slow_refusal(cluster: Cluster, coordinator: Connection, name: str, seconds: float) -> Iterator[None]:
    """Have a shard's address take connections, say nothing and end them after a while."""
    place = conninfo_to_dict(cluster.shards[name])
    folder = Path(tempfile.mkdtemp(prefix="imgvec-slow-", dir="/tmp"))
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        path = folder / f".s.PGSQL.{place.get('port', 5432)}"
        listening.bind(str(path))
        path.chmod(0o777)
        listening.listen()

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    time.sleep(seconds)
                    client.close()

        threading.Thread(target=refuse, daemon=True).start()
        alter = f"ALTER SERVER imgvec_shard_{name} OPTIONS (SET host '%s')"
        coordinator.execute(alter % folder)  # type: ignore[arg-type]
        try:
            yield
        finally:
            coordinator.execute(alter % place["host"])  # type: ignore[arg-type]
            listening.shutdown(socket.SHUT_RDWR)
            shutil.rmtree(folder, ignore_errors=True)


def test_a_shard_that_is_long_in_refusing_takes_nothing_of_the_time_of_others(
    cluster: Cluster, coordinator: Connection
) -> None:
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 1500")
    try:
        # The one that is asked first: the others are asked after their time, counted from the beginning.
        with slow_refusal(cluster, coordinator, "east", 2):
            found = rows(
                coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query()
            )
        assert way(coordinator) == "exact (2 of 3 shards; away: east)" and len(found) == 20
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000")


def test_a_connection_opened_again_behind_a_shard_that_hangs_has_its_own_time(
    cluster: Cluster, coordinator: Connection, server: Server
) -> None:
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 1500")
    try:
        with (
            stopped_session(cluster, coordinator, "east"),
            psycopg.connect(server.dsn(), autocommit=True) as admin,
        ):
            end_sessions(admin, cluster, "north")
            rows(coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query())
        assert way(coordinator) == "exact (2 of 3 shards; away: east)"
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000")


@contextmanager
def relayed(cluster: Cluster, coordinator: Connection, *names: str) -> Iterator[list[SocketRelay]]:
    """Have the coordinator ask shards through relays."""
    with ExitStack() as stack:
        relays = []
        for name in names:
            place = conninfo_to_dict(cluster.shards[name])
            target = Path(str(place["host"])) / f".s.PGSQL.{place.get('port', 5432)}"
            relay = stack.enter_context(socket_relay(target, b"imgvec.search_item_test("))
            alter = f"ALTER SERVER imgvec_shard_{name} OPTIONS (SET host '%s')"
            coordinator.execute(alter % relay.folder)  # type: ignore[arg-type]
            stack.callback(coordinator.execute, alter % place["host"])
            relays.append(relay)
        yield relays


def test_all_shards_are_asked_once_before_any_answer_is_waited_for(
    cluster: Cluster, coordinator: Connection
) -> None:
    """Each answer is held until all shards have been asked: a delay of the network is waited for once."""
    expected = rows(coordinator, SHAPES["all"], query())
    with relayed(cluster, coordinator, *NAMES) as relays:
        all_asked = threading.Event()

        def wait_for_all() -> None:
            if all(relay.asked for relay in relays):
                all_asked.set()
            all_asked.wait(50)

        for relay in relays:
            relay.before_answer = wait_for_all
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 60000")
        try:
            assert rows(coordinator, SHAPES["all"], query()) == expected
            assert all_asked.is_set() and [relay.asked for relay in relays] == [1, 1, 1]
        finally:
            coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000")


@pytest.mark.parametrize("share", [0, 0.2, 0.6, 0.98])
def test_an_answer_that_ends_half_way_is_asked_for_again_or_told(
    cluster: Cluster, coordinator: Connection, share: float
) -> None:
    expected = rows(coordinator, SHAPES["all"], query())
    with relayed(cluster, coordinator, "north") as [relay]:
        relay.answer_bytes = 1 << 20
        assert rows(coordinator, SHAPES["all"], query()) == expected
        whole = (1 << 20) - relay.answer_bytes
        assert whole > 500
        # The connection of before: it may have died meanwhile, so another is opened, whose answer ends half way too.
        relay.answer_bytes, relay.asked = int(share * whole), 0
        with pytest.raises(psycopg.Error, match='shard "north" is away'):
            rows(coordinator, SHAPES["all"], query())
        assert relay.asked == 2
        relay.answer_bytes = int(share * whole)
        found = rows(coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query())
        assert len(found) == 20 and way(coordinator) == "exact (2 of 3 shards; away: north)"
        relay.answer_bytes = None
        assert rows(coordinator, SHAPES["all"], query()) == expected


def test_a_row_s_vector_is_asked_anew_where_the_kept_session_hangs(
    cluster: Cluster, coordinator: Connection
) -> None:
    statement = "SELECT imgvec.embedding_of('item_test', '{\"id\": 6, \"tenant\": 0}')::text"
    expected = rows(coordinator, statement)
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 100 WHERE name = 'west'")
    try:
        with stopped_session(cluster, coordinator, "west"):
            coordinator.execute("SET statement_timeout = '60s'")
            assert rows(coordinator, statement) == expected
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000 WHERE name = 'west'")


def test_a_search_that_is_bounded_by_the_session_s_own_time_answers_as_one_that_looks(
    cluster: Cluster, coordinator: Connection
) -> None:
    expected = rows(coordinator, SHAPES["all"], query())
    for timeout, may_block in (("0", False), ("1min", False), ("4900ms", True), ("5s", True)):
        options = f"-c statement_timeout={timeout}"
        with psycopg.connect(cluster.coordinator, autocommit=True, options=options) as session:
            [(told,)] = rows(session, "SELECT imgvec.may_block(ARRAY[9000, 5000])")
            assert told is (may_block and session.info.server_version >= 170000)
            assert rows(session, SHAPES["all"], query()) == expected


def test_a_time_that_a_function_sets_ends_nothing_so_a_shard_that_hangs_is_looked_for(
    cluster: Cluster, coordinator: Connection
) -> None:
    """PostgreSQL's clock runs from the beginning of the statement, by what held then."""
    coordinator.execute(
        "CREATE FUNCTION public.bounded(query public.halfvec) RETURNS bigint LANGUAGE sql SET statement_timeout = '300ms'"
        " AS 'SELECT count(*) FROM imgvec.search_item_test(query, 20, partial => true)'"
    )
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 400 WHERE name = 'west'")
    try:
        with stopped_session(cluster, coordinator, "west"):
            coordinator.execute("SET statement_timeout = '60s'")
            assert rows(coordinator, "SELECT public.bounded(%s)", query()) == [(20,)]
        assert way(coordinator) == "exact (2 of 3 shards; away: west)"
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000 WHERE name = 'west'")
        coordinator.execute("DROP FUNCTION public.bounded")


def test_a_row_is_found_though_the_shard_that_is_asked_first_is_out_of_time(
    cluster: Cluster, coordinator: Connection
) -> None:
    statement = "SELECT imgvec.embedding_of('item_test', '{\"id\": 5, \"tenant\": 2}')::text"
    expected = rows(coordinator, statement)
    coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 400")
    coordinator.execute("SELECT imgvec.close_shards()")
    try:
        # Whichever has the row, and whichever is asked first.
        for name in NAMES:
            with connect(cluster.shards[name]) as shard, shard.transaction():
                shard.execute("LOCK imgvec.item_test_embedding IN ACCESS EXCLUSIVE MODE")
                try:
                    found: object = rows(coordinator, statement)
                except psycopg.Error as error:
                    found = str(error)
                assert found == expected or f'shard "{name}"' in str(found)
    finally:
        coordinator.execute("UPDATE imgvec.shard SET timeout_ms = 5000")


def test_how_far_the_index_is_read_is_the_asking_session_s(cluster: Cluster, coordinator: Connection) -> None:
    """As on one server, where SET hnsw.ef_search holds for search_*; and it stays with no later search."""
    rows(coordinator, SHAPES["all"], query())
    on_link = "SELECT r.v FROM public.dblink(imgvec.shard_link('north'), %s) AS r (v text)"
    [(process,)] = rows(coordinator, on_link, "SELECT pg_backend_pid()")
    for value, is_sent in (("200", True), ("40", False)):
        coordinator.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(value)))
        rows(coordinator, SHAPES["all"], query())
        with connect(cluster.shards["north"]) as north:
            [(sent,)] = rows(north, "SELECT query FROM pg_stat_activity WHERE pid = %s", process)
        assert ("set_config('hnsw.ef_search', '200', true)" in str(sent)) is is_sent
        assert rows(coordinator, on_link, "SELECT current_setting('hnsw.ef_search')") == [("40",)]


def test_a_search_cancelled_on_a_shard_is_that_shard_s_error(
    cluster: Cluster, coordinator: Connection
) -> None:
    body = "CREATE OR REPLACE FUNCTION imgvec.last_search_strategy() RETURNS text LANGUAGE plpgsql AS"
    with connect(cluster.shards["north"]) as north:
        [(definition,)] = rows(
            north, "SELECT pg_get_functiondef('imgvec.last_search_strategy()'::regprocedure)"
        )
        north.execute(f"{body} 'BEGIN RAISE query_canceled; END'")
        try:
            with pytest.raises(psycopg.errors.QueryCanceled, match='shard "north" is away'):
                rows(coordinator, SHAPES["all"], query())
            partial = rows(
                coordinator, "SELECT * FROM imgvec.search_item_test(%s, 20, partial => true)", query()
            )
            assert len(partial) == 20 and way(coordinator) == "exact (2 of 3 shards; away: north)"
        finally:
            north.execute(str(definition))


@contextmanager
def stopped_session(cluster: Cluster, coordinator: Connection, name: str) -> Iterator[None]:
    """Stop the process behind the connection that a session keeps to a shard."""
    rows(coordinator, SHAPES["all"], query())
    statement = (
        "SELECT pid FROM public.dblink(imgvec.shard_link(%s), 'SELECT pg_backend_pid()') AS r (pid integer)"
    )
    row = coordinator.execute(statement, [name]).fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(row[0], signal.SIGCONT)


def test_row_security_of_a_shard_follows_the_setting_that_is_passed(
    cluster: Cluster, coordinator: Connection
) -> None:
    statement = "SELECT pg_catalog.current_setting('app.tenant', true)"
    for tenant in ("7", "it's", ""):
        coordinator.execute("SELECT set_config(%s, %s, false)", [TENANT, tenant])
        rows(coordinator, SHAPES["all"], query())
        link = "SELECT r.v FROM public.dblink(imgvec.shard_link('east'), %s) AS r (v text)"
        assert rows(coordinator, link, statement) == [(tenant,)]


def test_searches_again_and_again_are_whole(coordinator: Connection) -> None:
    generator = np.random.default_rng(1)
    for _ in range(50):
        k = int(generator.integers(1, 200))
        found = rows(coordinator, f"SELECT id FROM imgvec.search_item_test(%s, {k})", query(k))
        assert len({row[0] for row in found}) == k


def test_a_list_shows_every_part(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    assert imgvec(cluster.coordinator, "shard", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "shard",
        "address",
        "collection",
        "embedded",
        "waiting",
        "failed",
        "index",
    ]
    assert [line.split()[0] for line in lines[1:]] == list(NAMES)
    assert all("item_test" in line and "300" in line for line in lines[1:])
    with away(cluster, "east", server):
        assert imgvec(cluster.coordinator, "shard", "list") == 1
    assert 'shard "east" gives no answer' in capsys.readouterr().err


def test_doctor_says_which_shard_is_away_or_has_changed(
    cluster: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imgvec(cluster.coordinator, "doctor") == 0
    told = capsys.readouterr().out
    assert "the shards of item_test answer and describe it alike" in told and "no collection yet" not in told
    with away(cluster, "east", server):
        assert imgvec(cluster.coordinator, "doctor") == 1
        assert 'item_test: shard "east" gives no answer' in capsys.readouterr().out
    with connect(cluster.shards["west"]) as west:
        west.execute("UPDATE imgvec.collection SET prompt = 'a sketch of {}'")
        try:
            assert imgvec(cluster.coordinator, "doctor") == 1
            assert "item_test differs between shards: prompt" in capsys.readouterr().out
        finally:
            west.execute("UPDATE imgvec.collection SET prompt = '{}'")
    assert imgvec(cluster.coordinator, "doctor") == 0


DIFFERENT = {
    "fingerprint": (
        "UPDATE imgvec.model SET fingerprint = encode(sha256(current_database()::text::bytea), 'hex')",
        "UPDATE imgvec.model SET fingerprint = NULL",
    ),
    "rendering": (
        "UPDATE imgvec.collection SET rendering = rendering - 1",
        "UPDATE imgvec.collection SET rendering = rendering + 1",
    ),
    "model": (
        "UPDATE imgvec.model SET name = 'test/other'",
        "UPDATE imgvec.model SET name = 'test/48'",
    ),
    "pgvector": (
        "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'",
        "UPDATE pg_extension SET extversion = {version} WHERE extname = 'vector'",
    ),
}


@pytest.mark.parametrize("part", DIFFERENT)
def test_a_shard_that_differs_is_refused_by_what_differs(
    cluster: Cluster, coordinator: Connection, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    change, undo = DIFFERENT[part]
    span = ("shard", "span", "item_test", "--shards", ",".join(NAMES), "--pass-setting", TENANT)
    # A model that no worker has loaded has no fingerprint: of two that have one, they must agree.
    changed = ("east", "west") if part == "fingerprint" else ("west",)
    [(version,)] = rows(coordinator, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    try:
        for name in changed:
            with connect(cluster.shards[name]) as shard:
                shard.execute(change)  # type: ignore[arg-type]
        assert imgvec(cluster.coordinator, *span) == 1
        told = capsys.readouterr().err
        assert (
            f"item_test differs between shards: {part} is" in told and "on east" in told and "on west" in told
        )
        assert imgvec(cluster.coordinator, "doctor") == 1
        assert f"item_test differs between shards: {part}" in capsys.readouterr().out
    finally:
        for name in changed:
            with connect(cluster.shards[name]) as shard:
                shard.execute(sql.SQL(undo).format(version=sql.Literal(version)))  # type: ignore[arg-type]
    assert imgvec(cluster.coordinator, *span) == 0


@pytest.mark.parametrize(
    ("part", "told"),
    [("model", "is of test/other there, and was of test/48"), ("fingerprint", "is of other weights there")],
)
def test_a_shard_whose_model_changed_is_not_merged_for_longer_than_a_minute(
    cluster: Cluster, coordinator: Connection, part: str, told: str
) -> None:
    search = "SELECT * FROM imgvec.search_item_test(%s)"
    whole = rows(coordinator, search, query())
    coordinator.execute("UPDATE imgvec.sharded_collection SET fingerprint = 'a'")
    change, undo = DIFFERENT[part]
    try:
        with connect(cluster.shards["west"]) as shard:
            shard.execute(change)  # type: ignore[arg-type]
        # The last look was less than a minute ago.
        coordinator.execute("SELECT set_config('imgvec.models_seen_item_test', '0', false)")
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match=f'shard "west": item_test {told}'
        ):
            coordinator.execute(search, [query()])
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            coordinator.execute("SELECT * FROM imgvec.search_item_test(%s, partial => true)", [query()])
    finally:
        with connect(cluster.shards["west"]) as shard:
            shard.execute(undo)  # type: ignore[arg-type]
        coordinator.execute("UPDATE imgvec.sharded_collection SET fingerprint = NULL")
    assert rows(coordinator, search, query()) == whole
    assert way(coordinator).endswith("(3 of 3 shards)")


def test_the_command_shows_keys_and_says_what_is_not_whole(
    cluster: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("shard", "search", "item_test", "--like", '{"id": 5, "tenant": 2}', "-k", "3")
    assert imgvec(cluster.coordinator, *words) == 0
    header, nearest, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["distance", "id", "tenant"] and nearest.split()[1:] == ["5", "2"]
    with away(cluster, "west", server):
        assert imgvec(cluster.coordinator, *words) == 1
        assert 'shard "west" is away' in capsys.readouterr().err
        assert imgvec(cluster.coordinator, *words, "--partial", "--json") == 0
        shown = capsys.readouterr()
        assert len(json.loads(shown.out)) == 3
        assert shown.err.strip() == "not whole: exact (2 of 3 shards; away: west)"
    assert imgvec(cluster.coordinator, "shard", "search", "other", "red") == 1
    assert 'no collection "other" spans shards' in capsys.readouterr().err


def test_imgvec_search_asks_the_shards_of_a_coordinator(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    like = ("--like", '{"id": 5, "tenant": 2}', "-k", "3")
    for named in ((), ("--collection", "item_test")):
        assert imgvec(cluster.coordinator, "search", *named, *like) == 0
        header, nearest, second, _ = capsys.readouterr().out.splitlines()
        assert header.split() == ["distance", "id", "tenant"] and nearest.split()[1:] == ["5", "2"]
    limit = str((float(nearest.split()[0]) + float(second.split()[0])) / 2)
    assert imgvec(cluster.coordinator, "search", *like, "--max-distance", limit, "--json") == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["key"] == {"id": 5, "tenant": 2} and found["strategy"] == "exact (3 of 3 shards)"
    for option in (("--where", "tenant = 1"), ("--html", "x.html"), ("--plus", "1", "red")):
        assert imgvec(cluster.coordinator, "search", *like, *option) == 2
        assert f"the rows of item_test lie on shards: {option[0]} cannot" in capsys.readouterr().err


def test_what_cannot_ask_shards_says_so_in_one_line(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("backfill", "item_test"),
        ("index", "show", "item_test"),
        ("index", "tune", "item_test"),
        ("browse", "item_test", "--port", "0"),
        ("page", "red", "--collection", "item_test"),
    ):
        assert imgvec(cluster.coordinator, *words) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert (
            'the rows of "item_test" lie on other servers' in line
            and "imgvec search --collection item_test" in line
        )


WITHOUT_THE_THIRD = """
ALTER FUNCTION imgvec.search_item_test RENAME TO search_whole;
CREATE FUNCTION imgvec.search_item_test(query public.halfvec, k integer)
RETURNS TABLE (id bigint, tenant integer, distance float8)
LANGUAGE sql AS $$
SELECT w.id, w.tenant, w.distance FROM imgvec.search_whole(query, k) WITH ORDINALITY AS w WHERE w.ordinality <> 3
$$;
"""


def test_recall_is_of_each_shard_and_of_the_merged_answers(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured() -> dict[str | None, dict[str, float]]:
        assert (
            imgvec(
                cluster.coordinator, "recall", "item_test", "--sample", "30", "--ef-search", "20", "--json"
            )
            == 0
        )
        found = json.loads(capsys.readouterr().out)
        assert found["questions"] == 30 and found["shards"] == list(NAMES) and found["k"] == 10
        [setting] = found["settings"]
        assert setting["ef_search"] == 20
        return {part["shard"]: part for part in setting["parts"]}

    whole = measured()
    assert list(whole) == [*NAMES, None]
    assert all(part["recall"] == 1 and not part["short"] for part in whole.values())
    assert whole["west"]["strategy"] == "exact" and whole[None]["strategy"] == "exact (3 of 3 shards)"
    with connect(cluster.shards["west"]) as west:
        west.execute(WITHOUT_THE_THIRD)
        try:
            less = measured()
        finally:
            west.execute(
                "DROP FUNCTION imgvec.search_item_test; ALTER FUNCTION imgvec.search_whole RENAME TO search_item_test"
            )
    # Of ten rows one is missed, but for queries whose nearest are all copies of one picture.
    assert 0.9 <= less["west"]["recall"] < 0.95
    assert less["east"]["recall"] == less["north"]["recall"] == 1
    assert less["west"]["recall"] < less[None]["recall"] < 1
    assert imgvec(cluster.coordinator, "recall", "item_test", "--sample", "30") == 0
    assert "all, merged" in capsys.readouterr().out
    assert imgvec(cluster.coordinator, "recall", "item_test", "--where", "id > 3", "--probes", "2") == 2
    assert "--where, --probes cannot be had from here" in capsys.readouterr().err


def test_a_shard_whose_functions_are_gone_says_what_to_do(cluster: Cluster, coordinator: Connection) -> None:
    with connect(cluster.shards["west"]) as west:
        west.execute("ALTER FUNCTION imgvec.search_item_test RENAME TO search_whole")
        try:
            with pytest.raises(psycopg.errors.UndefinedFunction, match='shard "west": function') as raised:
                rows(coordinator, SHAPES["all"], query())
        finally:
            west.execute("ALTER FUNCTION imgvec.search_whole RENAME TO search_item_test")
    assert "run imgvec migrate there" in str(raised.value.diag.message_hint)
    assert len(rows(coordinator, SHAPES["all"], query())) == 20


def test_recall_names_a_shard_that_is_away(
    cluster: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with away(cluster, "west", server):
        assert imgvec(cluster.coordinator, "recall", "item_test") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert 'shard "west" gives no answer' in line


def test_a_coordinator_s_lists_say_where_its_collections_lie(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imgvec(cluster.coordinator, "collection", "list") == 0
    assert capsys.readouterr().out == (
        "no collection in this database itself; on shards: item_test (imgvec shard list)\n"
    )
    assert imgvec(cluster.coordinator, "backfill") == 1
    assert "there is no collection in this database itself; on shards: item_test" in capsys.readouterr().err


def test_status_has_a_line_for_each_shard(
    cluster: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in ((), ("item_test",)):
        assert imgvec(cluster.coordinator, "status", *named) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [" ".join(line.split()[:3]) for line in lines[1:]] == [
            f"item_test on {name}" for name in NAMES
        ]
        assert all(line.split()[3:6] == ["shop.item", "test/48", "300"] for line in lines[1:])
    with away(cluster, "east", server):
        assert imgvec(cluster.coordinator, "status", "--json") == 1
        told = capsys.readouterr()
        assert [row["shard"] for row in json.loads(told.out)] == ["north", "west"]
        assert 'shard "east" gives no answer' in told.err
    with connect(cluster.shards["west"]) as west:
        west.execute("UPDATE imgvec.collection SET name = 'elsewhere'")
        try:
            assert imgvec(cluster.coordinator, "status") == 1
            assert 'shard "west" has no collection "item_test" any more' in capsys.readouterr().err
        finally:
            west.execute("UPDATE imgvec.collection SET name = 'item_test'")
    assert imgvec(cluster.coordinator, "status", "other") == 1
    assert "there is no collection in this database itself; on shards: item_test" in capsys.readouterr().err


def test_verify_finds_a_key_that_two_shards_have(
    cluster: Cluster, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in ((), ("item_test",)):
        assert imgvec(cluster.coordinator, "verify", *named) == 0
        assert "item_test: no key twice; 900 embedded on east, north, west" in capsys.readouterr().out
    keys = ((4, 1), (7, 1))
    with connect(cluster.shards["west"]) as west:
        for key in keys:
            west.execute("INSERT INTO shop.item (id, tenant, picture) VALUES (%s, %s, 'x')", key)
            west.execute(
                "INSERT INTO imgvec.item_test_embedding (id, tenant, embedding, version, content_hash, precision)"
                " VALUES (%s, %s, %s, 1, 'x', 'fp32')",
                [*key, str(vectors(1, key[0])[0].tolist())],
            )
        try:
            assert imgvec(cluster.coordinator, "verify") == 4
            told = capsys.readouterr().out
            assert "item_test: NOT in step; 902 embedded" in told
            assert (
                '2  lie on two shards, which a search finds twice: {"id": 4, "tenant": 1} (east, west)'
                in told
            )
            assert imgvec(cluster.coordinator, "verify", "item_test", "--json") == 4
            [found] = json.loads(capsys.readouterr().out)
            [difference] = found["differences"]
            assert (difference["kind"], difference["rows"]) == ("key_on_two_shards", 2)
            assert difference["examples"][1] == {"key": {"id": 7, "tenant": 1}, "shards": ["east", "west"]}
        finally:
            west.execute("DELETE FROM shop.item WHERE id IN (4, 7)")
    assert imgvec(cluster.coordinator, "verify") == 0
    with away(cluster, "north", server):
        assert imgvec(cluster.coordinator, "verify") == 4
        assert 'item_test: NOT verified; shard "north" gives no answer' in capsys.readouterr().out
        assert imgvec(cluster.coordinator, "verify", "item_test") == 1


def test_bad_requests_are_refused_and_change_nothing(
    cluster: Cluster, server: Server, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str) -> str:
        assert imgvec(cluster.coordinator, "shard", *words) != 0
        return capsys.readouterr().err

    east = cluster.shards["east"]
    assert 'a shard "east" is there already' in told("add", "east", "--at", east)
    assert 'this database is shard "east" already' in told("add", "east2", "--at", east)
    assert "no connection string" in told("add", "south", "--at", "nonsense")
    assert "gives no answer" in told("add", "south", "--at", east + " connect_timeout=2 port=1")
    assert "item_test spans shard east" in told("remove", "east")
    assert "named twice" in told("span", "item_test", "--shards", "east,east")
    assert 'shard "south" does not exist' in told("span", "item_test", "--shards", "east,south")
    assert 'no collection "other"' in told("span", "other", "--shards", "east")
    assert "no setting of an application" in told(
        "span", "item_test", "--shards", "east", "--pass-setting", "role"
    )
    assert 'no collection "other" spans shards' in told("unspan", "other")
    for setting in ("app.te'nant", "app.x y", "tenant"):
        assert f'"{setting}" is no setting' in told(
            "span", "item_test", "--shards", "east", "--pass-setting", setting
        )
    assert "this database is the coordinator itself" in told("add", "self", "--at", cluster.coordinator)
    assert '"EU" cannot name a shard' in told("add", "EU", "--at", east)
    assert "--at names a service" in told("add", "south", "--at", "service=eu dbname=shop")
    for parameter in ("client_encoding=latin1", "replication=database"):
        assert "that no foreign server takes" in told("add", "south", "--at", f"{east} {parameter}")
    maintenance = make_conninfo(east, dbname="postgres")
    assert "run imgvec migrate there" in told("add", "south", "--at", maintenance)
    # Nobody to log in as is named.
    assert "Connection refused" in told("add", "south", "--at", "host=127.0.0.1 port=1 dbname=shop")
    with fresh_database(server, template) as other:
        fill(other, [1, 2, 3], model="another/48")
        assert imgvec(cluster.coordinator, "shard", "add", "south", "--at", other) == 0
        capsys.readouterr()
        assert 'model is "test/48" on east and "another/48" on south' in told(
            "span", "item_test", "--shards", "east,south"
        )
        assert imgvec(cluster.coordinator, "shard", "remove", "south") == 0
    with connect(cluster.coordinator) as connection:
        found = rows(
            connection,
            "SELECT name FROM imgvec.shard UNION SELECT srvname FROM pg_foreign_server ORDER BY 1",
        )
    assert {row[0] for row in found} == {*NAMES, *(f"imgvec_shard_{name}" for name in NAMES)}


def test_a_name_that_spans_shards_is_no_collection_s_nor_alias_s(
    cluster: Cluster, coordinator: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator.execute("CREATE TABLE public.photo (id bigint PRIMARY KEY, picture bytea)")
    try:
        create = ("--source", "public.photo", "--image", "picture", "--model", "demo")
        assert imgvec(cluster.coordinator, "collection", "create", "item_test", *create) == 1
        assert "imgvec shard unspan item_test" in capsys.readouterr().err
        assert imgvec(cluster.coordinator, "collection", "create", "photo_test", *create) == 0
        assert imgvec(cluster.coordinator, "collection", "alias", "item_test", "photo_test") == 1
        assert "imgvec shard unspan item_test" in capsys.readouterr().err
    finally:
        assert imgvec(cluster.coordinator, "collection", "drop", "photo_test", "--yes") == 0
        coordinator.execute("DROP TABLE public.photo")
    assert len(rows(coordinator, SHAPES["all"], query())) == 20


def test_a_shard_that_is_not_registered_any_more_is_missed(coordinator: Connection) -> None:
    with coordinator.transaction(force_rollback=True):
        coordinator.execute("DELETE FROM imgvec.shard WHERE name = 'north'")
        for partial in ("false", "true"):
            with (
                pytest.raises(psycopg.errors.UndefinedObject, match='shard "north" of item_test is gone'),
                coordinator.transaction(),
            ):
                rows(
                    coordinator,
                    f"SELECT * FROM imgvec.search_item_test(%s, 5, partial => {partial})",
                    query(),
                )
    assert len(rows(coordinator, SHAPES["all"], query())) == 20


@pytest.mark.parametrize("extension", ["vector", "dblink"])
def test_migrating_heals_what_a_moved_extension_broke(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], extension: str
) -> None:
    statement = "SELECT imgvec.embedding_of('item_test', '{\"id\": 5, \"tenant\": 2}')::text"
    with connect(cluster.coordinator) as before:
        expected = rows(before, SHAPES["all"], query()), rows(before, statement)
        before.execute(f"CREATE SCHEMA ext; ALTER EXTENSION {extension} SET SCHEMA ext")
    try:
        with connect(cluster.coordinator) as broken, pytest.raises(psycopg.Error):
            rows(broken, SHAPES["all"], query())
        assert imgvec(cluster.coordinator, "doctor") == 1
        assert (
            "functions of the search over shards are not as this release makes them"
            in capsys.readouterr().out
        )
        assert imgvec(cluster.coordinator, "migrate") == 0
        assert "functions of the search over shards were made again" in capsys.readouterr().out
        with connect(cluster.coordinator) as healed:
            assert (rows(healed, SHAPES["all"], query()), rows(healed, statement)) == expected
        assert imgvec(cluster.coordinator, "doctor") == 0
    finally:
        with connect(cluster.coordinator) as connection:
            connection.execute(f"ALTER EXTENSION {extension} SET SCHEMA public; DROP SCHEMA ext")
        assert imgvec(cluster.coordinator, "migrate") == 0


def test_a_coordinator_without_dblink_says_so_and_can_be_undone(
    server: Server, template: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with fresh_database(server, template) as other:
        assert imgvec(other, "shard", "add", "east", "--at", cluster.shards["east"]) == 0
        assert imgvec(other, "shard", "span", "item_test", "--shards", "east") == 0
        with connect(other) as connection:
            connection.execute("DROP EXTENSION dblink")
        capsys.readouterr()
        for words in (("shard", "list"), ("doctor",)):
            assert imgvec(other, *words) == 1
            told = capsys.readouterr()
            assert "run CREATE EXTENSION dblink in this database, then: imgvec migrate" in told.out + told.err
        with connect(other) as connection:
            connection.execute("CREATE SCHEMA ext; CREATE EXTENSION dblink SCHEMA ext")
        assert imgvec(other, "migrate") == 0
        with connect(other) as connection:
            assert len(rows(connection, SHAPES["all"], query())) == 20
            connection.execute("DROP EXTENSION dblink")
        assert imgvec(other, "shard", "unspan", "item_test") == 0
        assert imgvec(other, "shard", "remove", "east") == 0
        assert imgvec(other, "uninstall", "--yes") == 0


def test_foreign_tables_of_the_application_are_not_dropped_with_a_shard(
    server: Server, template: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with fresh_database(server, template) as other:
        assert imgvec(other, "shard", "add", "east", "--at", cluster.shards["east"]) == 0
        with connect(other) as connection:
            connection.execute(
                "CREATE FOREIGN TABLE public.offer (id bigint) SERVER imgvec_shard_east"
                " OPTIONS (schema_name 'shop', table_name 'item')"
            )
        for words in (("shard", "remove", "east"), ("uninstall", "--yes")):
            assert imgvec(other, *words) == 1
            assert "offer depends on server imgvec_shard_east" in capsys.readouterr().err
        with connect(other) as connection:
            assert rows(connection, "SELECT count(*) FROM public.offer") == [(300,)]
            connection.execute("DROP FOREIGN TABLE public.offer")
        assert imgvec(other, "shard", "remove", "east") == 0


def test_a_schema_of_before_is_to_be_migrated(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(empty_database) as connection:
        upgrade(connection, "imgvec_0009")
    for words in (
        ("list",),
        ("add", "east", "--at", "dbname=shop"),
        ("span", "item_test", "--shards", "east"),
        ("search", "item_test", "--like", "1"),
        ("unspan", "item_test"),
        ("remove", "east"),
    ):
        assert imgvec(empty_database, "shard", *words) == 1
        assert (
            capsys.readouterr().err
            == "imgvec: this database's schema has no shards yet; run: imgvec migrate\n"
        )
    assert imgvec(empty_database, "migrate") == 0
    assert imgvec(empty_database, "shard", "list") == 0
