"""Searches among many keys, whose statement is larger than the sockets to a shard hold."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from fresh_databases import Server, fresh_database
from vectorstore import make_items, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect

NAMES = ("first", "second")
AMONG = (
    "SELECT count(*) FROM imgvec.search_item_test(%s, 20, partial => {},"
    " among => ARRAY(SELECT i::bigint FROM generate_series(1, 100000) AS i))"
)


@pytest.fixture(scope="module")
def coordinator(server: Server, template: str) -> Iterator[Connection]:
    with ExitStack() as stack:
        here, *there = (stack.enter_context(fresh_database(server, template)) for _ in range(3))
        for name, dsn in zip(NAMES, there, strict=True):
            with connect(dsn) as connection:
                make_items(connection, 100)
            assert run(cli, ["shard", "add", name, "--at", dsn, "--timeout-ms", "1500", "--dsn", here]) == 0
        words = ["shard", "span", "item_test", "--shards", ",".join(NAMES), "--dsn", here]
        assert run(cli, words) == 0
        yield stack.enter_context(connect(here))


def query() -> str:
    return str(vectors(1, 3)[0].tolist())


def session_of(coordinator: Connection, name: str) -> int:
    """Return the process behind the connection that is kept to a shard."""
    statement = (
        "SELECT pid FROM public.dblink(imgvec.shard_link(%s), 'SELECT pg_backend_pid()') AS r (pid integer)"
    )
    row = coordinator.execute(statement, [name]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_hundred_thousand_keys_do_not_wait_for_a_session_that_hangs(coordinator: Connection) -> None:
    assert coordinator.execute(AMONG.format("false"), [query()]).fetchone() == (20,)
    process = session_of(coordinator, "second")
    os.kill(process, signal.SIGSTOP)
    goes_on = threading.Timer(20, os.kill, [process, signal.SIGCONT])
    goes_on.start()
    try:
        began = time.monotonic()
        assert coordinator.execute(AMONG.format("true"), [query()]).fetchone() == (20,)
        assert time.monotonic() - began < 15
        way = coordinator.execute("SELECT imgvec.last_search_strategy()").fetchone()
        assert way is not None and way[0].endswith("(1 of 2 shards; away: second)")
    finally:
        goes_on.cancel()
        os.kill(process, signal.SIGCONT)
    assert coordinator.execute(AMONG.format("false"), [query()]).fetchone() == (20,)


def test_a_hundred_thousand_keys_go_to_a_shard_whose_kept_session_has_ended(
    coordinator: Connection, server: Server
) -> None:
    assert coordinator.execute(AMONG.format("false"), [query()]).fetchone() == (20,)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for name in NAMES:
            admin.execute("SELECT pg_terminate_backend(%s, 30000)", [session_of(coordinator, name)])
    assert coordinator.execute(AMONG.format("false"), [query()]).fetchone() == (20,)
