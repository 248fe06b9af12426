import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from memory_disk import make_server_directory

from imgvec_pg.cli.commands.server import server as command
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.errors import ConnectionFailedError, ServerError

CLIENT = """
import psycopg
with psycopg.connect() as connection:
    print(connection.execute("SHOW work_mem").fetchone()[0])
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = make_server_directory("imgvec-test-")
    monkeypatch.setenv("IMGVEC_HOME", str(path))
    yield path
    if (path / "server").exists():
        LocalServer(path / "server").stop()
    shutil.rmtree(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_server_is_started_queried_and_stopped(home: Path) -> None:
    assert isinstance(invoke("status").exception, ConnectionFailedError)
    assert isinstance(invoke("stop").exception, ServerError)
    started = invoke("start", "-c", "fsync=off", "-c", "work_mem=7MB")
    assert started.exit_code == 0, started.exception
    assert f"PostgreSQL runs in {home}" in started.stderr
    shell = f'{started.stdout}\nexec "$@"'
    outcome = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", CLIENT], capture_output=True, text=True, check=True
    )
    assert outcome.stdout == "7MB\n"
    assert f"in {home}" in invoke("status").stdout
    again = invoke("start")
    assert "was running" in again.stderr
    assert again.stdout == started.stdout
    with_settings = invoke("start", "-c", "work_mem=8MB")
    assert with_settings.exit_code == 0
    assert "a running server keeps its settings" in with_settings.stderr
    assert invoke("stop").stdout == f"stopped: {home}/server\n"
    assert invoke("stop").stdout == f"was not running: {home}/server\n"


def test_psql_runs_with_its_own_options(home: Path) -> None:
    directory = ["--directory", str(home / "server")]
    assert isinstance(invoke("psql", *directory).exception, ConnectionFailedError)
    assert invoke("start", *directory, "--set", "fsync=off").exit_code == 0
    program = "from imgvec_pg.cli.commands.server import server; server()"
    outcome = subprocess.run(
        [sys.executable, "-c", program, "psql", *directory, "-At", "-c", "SELECT current_user, 6 * 7"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGHOST": "nowhere.invalid", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1"},
    )
    assert (outcome.stdout, outcome.stderr) == ("postgres|42\n", "")


def test_setting_without_a_value_is_a_usage_error(home: Path) -> None:
    outcome = invoke("start", "-c", "fsync")
    assert outcome.exit_code == 2
    assert "not of the form name=value" in outcome.stderr
    assert not (home / "server").exists()


@pytest.mark.parametrize("name", [None, *command.commands])
def test_every_command_has_help_and_an_example(name: str | None) -> None:
    outcome = invoke(*([name] if name else []), "--help")
    assert outcome.exit_code == 0
    assert "Example:\n" in outcome.stdout
    assert "imgvec server" in outcome.stdout.split("Example:")[1]
