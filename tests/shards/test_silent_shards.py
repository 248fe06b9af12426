"""A shard's machine that says nothing: commands and searches end with its name, whatever the network does."""

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest
from fresh_databases import Server, fresh_database
from memory_disk import make_server_directory
from psycopg.conninfo import conninfo_to_dict
from vectorstore import make_items, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade


@pytest.fixture(scope="module")
def hanging(server: Server, template: str) -> Iterator[tuple[str, int]]:
    """Give a coordinator of two shards, of which one has a server of its own, and that server's process."""
    directory = make_server_directory("imgvec-silent-")
    try:
        with ExitStack() as stack:
            here, near = (stack.enter_context(fresh_database(server, template)) for _ in range(2))
            far = stack.enter_context(LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True))
            process = far.status().pid
            assert process is not None
            with connect(far.dsn()) as connection:
                upgrade(connection)
            for name, dsn in (("far", far.dsn()), ("near", near)):
                with connect(dsn) as connection:
                    make_items(connection, 20)
                assert (
                    run(cli, ["shard", "add", name, "--at", dsn, "--timeout-ms", "500", "--dsn", here]) == 0
                )
            assert run(cli, ["shard", "span", "item_test", "--shards", "far,near", "--dsn", here]) == 0
            yield here, process
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize(
    "words",
    [
        ("shard", "list"),
        ("status",),
        ("doctor",),
        ("verify",),
        ("recall", "item_test"),
        ("shard", "span", "item_test", "--shards", "far,near"),
    ],
)
def test_a_command_ends_though_the_shard_s_server_hangs(
    hanging: tuple[str, int], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    here, process = hanging
    os.kill(process, signal.SIGSTOP)
    goes_on = threading.Timer(60, os.kill, [process, signal.SIGCONT])
    goes_on.start()
    try:
        began = time.monotonic()
        assert run(cli, [*words, "--dsn", here]) in (1, 4)
        assert time.monotonic() - began < 40
    finally:
        goes_on.cancel()
        os.kill(process, signal.SIGCONT)
    told = capsys.readouterr()
    assert 'shard "far" gives no answer within 6 s' in told.out + told.err


@contextmanager
def deaf_port() -> Iterator[int]:
    """Give a port whose queue is full, so that who connects hears nothing, as from a machine that is gone."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listening.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


def test_a_search_ends_though_nothing_comes_back_from_a_shard_s_machine(hanging: tuple[str, int]) -> None:
    with connect(hanging[0]) as coordinator, deaf_port() as port:
        place = conninfo_to_dict(
            " ".join(
                f"{name}={value}"
                for name, value in coordinator.execute(
                    "SELECT o.option_name, o.option_value FROM pg_foreign_server, pg_options_to_table(srvoptions) AS o"
                    " WHERE srvname = 'imgvec_shard_far' AND o.option_name IN ('host', 'port')"
                )
            )
        )
        alter = "ALTER SERVER imgvec_shard_far OPTIONS (SET host '{}', SET port '{}')"
        coordinator.execute(alter.format("127.0.0.1", port))  # type: ignore[arg-type]
        try:
            coordinator.execute("SET statement_timeout = '30s'")
            with pytest.raises(psycopg.Error, match='shard "far" is away'):
                coordinator.execute(
                    "SELECT * FROM imgvec.search_item_test(%s, 5)", [str(vectors(1)[0].tolist())]
                )
        finally:
            coordinator.execute(alter.format(place["host"], place["port"]))  # type: ignore[arg-type]
