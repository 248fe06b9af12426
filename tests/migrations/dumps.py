"""pg_dump, pg_restore and psql of the wheel or of the machine, on any database."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.binaries import find_binaries

ENVIRONMENT = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


def run_tool(tool: str, dsn: str, *arguments: str, stdin: str | None = None) -> str:
    """Run one of PostgreSQL's programs on a database and return its output."""
    program = shutil.which(tool) if os.environ.get("IMGVEC_TEST_DSN") else str(find_binaries().program(tool))
    if program is None:
        pytest.skip(f"{tool} of the given server's version is not installed")
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
