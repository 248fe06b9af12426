"""Pods that start together each run `imgvec migrate`: what changes the schema waits for the others, and none fails."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from fresh_databases import Server, fresh_database

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.store.setup.grants import missing_roles

SCRIPT = Path(__file__).parents[1] / "support" / "at_once.py"


# How many at once and how often: `make chaos` has more of both.
def at_once(rounds: int, *pairs: tuple[str, str]) -> None:
    """Run (command, database) pairs in processes of their own, all from the same moment, and let none fail."""
    arguments = [f"{dsn}={command}" for command, dsn in pairs]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(rounds), *arguments], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def migrate(dsn: str) -> None:
    with connect(dsn) as connection:
        migrations.upgrade(connection)


@pytest.mark.parametrize("is_empty", [True, False])
def test_processes_that_migrate_at_once_all_succeed(empty_database: str, is_empty: bool) -> None:
    if not is_empty:
        migrate(empty_database)
    at_once(1 if is_empty else 2, *[("migrate", empty_database)] * 12)
    with connect(empty_database) as connection:
        assert migrations.current_revision(connection) == migrations.newest_revision()
        assert not missing_roles(connection)


def test_databases_of_a_cluster_may_migrate_and_uninstall_at_once(server: Server) -> None:
    with ExitStack() as stack:
        databases = [stack.enter_context(fresh_database(server)) for _ in range(3)]
        for _ in range(2):
            for dsn in databases:
                migrate(dsn)
            uninstalls = [("uninstall", dsn) for dsn in databases[:2]]
            at_once(1, *uninstalls, *[("migrate", databases[2])] * 3)
            with connect(databases[2]) as connection:
                connection.execute("SET ROLE imgvec_reader; SELECT FROM imgvec.status; RESET ROLE")


def has_words(dsn: str) -> bool:
    """Whether `imgvec words` can be set up: `make matrix` has servers without dblink."""
    with connect(dsn) as connection:
        found = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'dblink'").rowcount
    return bool(found)


def test_words_may_be_set_up_and_taken_away_beside_a_migration(empty_database: str) -> None:
    if not has_words(empty_database):
        pytest.skip("without dblink there are no words")
    migrate(empty_database)
    commands = ("migrate", "words", "words", "no-words", "migrate", "words", "migrate", "no-words")
    at_once(2, *[(command, empty_database) for command in commands])


def test_uninstall_beside_a_migration_leaves_the_schema_whole_or_gone(empty_database: str) -> None:
    for _ in range(2):
        commands = ("uninstall", "migrate", "uninstall", "migrate")
        at_once(2, *[(command, empty_database) for command in commands])
        with connect(empty_database) as connection:
            revision = migrations.current_revision(connection)
            there = connection.execute("SELECT FROM pg_namespace WHERE nspname = 'imgvec'").rowcount
            assert bool(there) == (revision is not None)
            if there:
                assert revision == migrations.newest_revision()
                assert not missing_roles(connection)
                connection.execute("SET ROLE imgvec_reader; SELECT FROM imgvec.status; RESET ROLE")


def test_a_migration_waits_for_another_whatever_the_limits_of_the_role(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        for limit in ("lock_timeout = 100", "statement_timeout = 300"):
            admin.execute(
                f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {limit}', current_database()); END $$"
            )
        other = "words" if has_words(empty_database) else "migrate"
        waiting = subprocess.Popen(
            [sys.executable, str(SCRIPT), "1", f"{empty_database}=migrate", f"{empty_database}={other}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        with admin.transaction():
            admin.execute("SELECT pg_advisory_xact_lock(1768777078, 0)")
            for _ in range(600):
                admin.execute("SELECT pg_sleep(0.1)")
                held = admin.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                if held.rowcount == 2:
                    break
            admin.execute("SELECT pg_sleep(0.7)")
        assert waiting.communicate(timeout=900)[1] == ""
        assert waiting.returncode == 0
