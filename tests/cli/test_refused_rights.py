"""A role that lacks a right is told the one it lacks, wherever PostgreSQL refused it."""

from collections.abc import Iterator

import pytest
from colorshop import make_shop
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import ConnectionFailedError


@pytest.fixture
def stranger(connection: Connection, database: str) -> Iterator[str]:
    """Give the connection string of a role that may do nothing."""
    name = f"imgvec_test_stranger_{connection.info.backend_pid}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
    dsn = make_conninfo(database, user=name, password="x")
    try:
        connect(dsn).close()
        yield dsn
    except ConnectionFailedError:
        pytest.skip("the server asks this role for another login")
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def worker(connection: Connection, stranger: str) -> str:
    """Give that of one that is a worker and may read the shop, but not what policies hide."""
    make_shop(connection)
    role = sql.Identifier(f"imgvec_test_stranger_{connection.info.backend_pid}")
    connection.execute(sql.SQL("GRANT imgvec_worker TO {}").format(role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA shop TO {}").format(role))
    connection.execute(sql.SQL("GRANT SELECT ON shop.product TO {}").format(role))
    connection.execute("ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY")
    return stranger


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(cli, list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("imgvec: ")
    return error


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["migrate"], "owner of the schema imgvec, or CREATE on a database"),
        (["uninstall", "--yes"], "must own the schema imgvec and the sources; nothing was changed"),
    ],
)
def test_a_stranger_is_told_who_may(
    stranger: str, capsys: pytest.CaptureFixture[str], command: list[str], needed: str
) -> None:
    error = refusal(capsys, *command, "--dsn", stranger)
    assert needed in error and "imgvec_worker" not in error


def test_a_worker_may_not_uninstall(worker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must own the" in refusal(capsys, "uninstall", "--yes", "--dsn", worker)


@pytest.mark.parametrize(
    "command",
    [
        ["collection", "reconcile", "product_color"],
        ["verify", "product_color"],
        ["backfill", "product_color", "--device", "cpu"],
    ],
)
def test_a_worker_that_policies_hide_rows_from_is_told_of_bypassrls(
    connection: Connection, worker: str, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    connection.execute("UPDATE shop.product SET picture = 'x' WHERE id = 1")
    assert "BYPASSRLS" in refusal(capsys, *command, "--dsn", worker)


def test_a_worker_verifies_and_repairs_what_nothing_is_hidden_of(connection: Connection, worker: str) -> None:
    connection.execute("ALTER TABLE shop.product DISABLE ROW LEVEL SECURITY")
    connection.execute("DELETE FROM imgvec.product_color_embedding WHERE id = 1")
    assert run(cli, ["verify", "--dsn", worker]) == 4
    assert run(cli, ["verify", "--repair", "--dsn", worker]) == 0
    assert run(cli, ["verify", "--dsn", worker]) == 0


def test_a_reader_may_watch_and_is_told_what_filling_takes(
    connection: Connection, stranger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shop(connection)
    role = sql.Identifier(f"imgvec_test_stranger_{connection.info.backend_pid}")
    connection.execute(sql.SQL("GRANT imgvec_reader TO {}").format(role))
    for command in ("status", "failures"):
        assert run(cli, [command, "--dsn", stranger]) == 0
    assert "to fill takes imgvec_worker" in refusal(capsys, "retry", "--dsn", stranger)
