"""Servers that take no writes for a moment, as while a standby is promoted: waited for as one that restarts."""

import random
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from faults import charged_jobs, seconds_to_next_write, worker_at
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from standby import await_replay, connect_soon, run_primary_and_standby
from workers import NAME, change_picture, check, count, imgvec, make_table, queued_keys, running, wait_until

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.doctor.server_checks import check_server, read_server_facts

DRAW = random.Random(11)
HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name LIKE 'imgvec worker%' AND datname = current_database()"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("scope", ["DATABASE %I", "ROLE CURRENT_USER IN DATABASE %I"])
def test_a_database_that_only_reads_for_a_moment_is_waited_for(
    database: str,
    connection: Connection,
    root: Path,
    logs: Path,
    plugin_environment: dict[str, str],
    scope: str,
) -> None:
    make_table(connection, root, 20)

    def set_read_only(setting: str) -> None:
        connection.execute(
            f"DO $$ BEGIN EXECUTE format('ALTER {scope} {setting}', current_database()); END $$"
        )

    with worker_at(database, plugin_environment, logs) as worker:
        wait_until(lambda: queued_keys(connection) == 0, "the first fill")
        set_read_only("SET default_transaction_read_only = on")
        connection.execute(HANG_UP)
        wait_until(lambda: "is read-only" in worker.text() or not worker.is_alive(), "it to notice")
        change_picture(connection, root, 4, DRAW)
        assert worker.is_alive(), worker.text()
        with connect(database) as reading:
            facts = read_server_facts(reading)
        assert [f.level for f in check_server(facts) if "read_only" in f.met] == ["error"]
        refused = imgvec(database, plugin_environment, "retry", NAME)
        assert refused.returncode == 1
        assert "takes no writes" in refused.stderr and refused.stderr.count("\n") == 1
        set_read_only("RESET default_transaction_read_only")
        seconds_to_next_write(connection, root)
        wait_until(lambda: queued_keys(connection) == 0, "an empty queue")
    assert charged_jobs(connection) == 0
    assert not check(connection, root).problems


def test_work_follows_a_promotion(root: Path, logs: Path, plugin_environment: dict[str, str]) -> None:
    """By a DSN of several hosts, the standby first; and by a name that leads to the standby before it is promoted."""
    with ExitStack() as stack:
        primary, standby_dsn = stack.enter_context(run_primary_and_standby())
        before = stack.enter_context(connect(primary.dsn()))
        upgrade(before)
        make_table(before, root, 40)
        standby = stack.enter_context(connect_soon(standby_dsn))
        hosts = [conninfo_to_dict(dsn) for dsn in (standby_dsn, primary.dsn())]
        several = make_conninfo(
            primary.dsn(),
            host=",".join(str(each["host"]) for each in hosts),
            port=",".join(str(each.get("port", 5432)) for each in hosts),
        )
        # A command goes to the one that takes writes too, and a question to a standby where that is all there is.
        with connect(several) as chosen:
            assert chosen.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        with connect(make_conninfo(several, target_session_attrs="standby")) as chosen:
            assert chosen.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        with worker_at(several, plugin_environment, logs) as by_hosts:
            wait_until(lambda: queued_keys(before) == 0, "the first fill")
            await_replay(before, standby)
            primary.stop()
            early = imgvec(standby_dsn, plugin_environment, "retry", NAME)
            assert (early.returncode, "takes no writes" in early.stderr) == (1, True), early.stderr
            with pytest.raises(psycopg.Error):
                before.execute("SELECT 1")
            by_name = stack.enter_context(running(standby_dsn, plugin_environment, logs, "worker", NAME))
            wait_until(lambda: "is read-only" in by_name.text() or not by_name.is_alive(), "it to notice")
            standby.execute("SELECT pg_promote()")
            assert count(standby, "written") == 40
            seconds_to_next_write(standby, root)
            for number in range(4, 40):
                change_picture(standby, root, number, DRAW)
            wait_until(lambda: queued_keys(standby) == 0, "an empty queue")
            assert by_hosts.is_alive() and by_name.is_alive(), by_hosts.text() + by_name.text()
        assert charged_jobs(standby) == 0
        assert not check(standby, root).problems
