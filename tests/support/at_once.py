"""Run imgvec's commands in processes that begin at the same moment: `at_once.py ROUNDS DSN=COMMAND DSN=COMMAND…`.

The processes are forked from one that has imported everything, so that the first does not end before the last begins.
Prints a line for each that failed and exits with their number.
IMGVEC_TEST_SQL names a folder to take instead of sql/, IMGVEC_TEST_RACE_TRIES how often one that met another tries again.
"""

import os
import sys
import time
from pathlib import Path

# Whatever the commands import late: a fork that imports is late itself.
import alembic.command  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

from imgvec_pg.cli.commands import migrate, uninstall, words
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database import migrations, sql_templates

MODULES = (migrate, uninstall, words)
COMMANDS = {
    "migrate": ["migrate"],
    "uninstall": ["uninstall", "--yes"],
    "words": ["words", "setup"],
    "no-words": ["words", "remove"],
}


def start(dsn: str, command: str, begins_at: float) -> int:
    """Fork a process that runs the command when the moment has come, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    time.sleep(max(0, begins_at - time.monotonic()))
    code = run(cli, [*COMMANDS[command], "--dsn", dsn])
    sys.stderr.flush()
    os._exit(code)


def main(rounds: int, wanted: list[tuple[str, str]]) -> int:
    """Run all of them so many times."""
    failed = 0
    for _ in range(rounds):
        begins_at = time.monotonic() + 0.05 + len(wanted) * 0.01
        pids = {start(dsn, command, begins_at): command for dsn, command in wanted}
        for pid, command in pids.items():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code:
                failed += 1
                print(f"{command}: exit {code}")
    return failed


if __name__ == "__main__":
    migrations.RACE_TRIES = int(os.environ.get("IMGVEC_TEST_RACE_TRIES", migrations.RACE_TRIES))
    if changed := os.environ.get("IMGVEC_TEST_SQL"):
        shipped = sql_templates.shipped_directory
        sql_templates.shipped_directory = lambda name: Path(changed) if name == "sql" else shipped(name)
    pairs = [tuple(argument.rsplit("=", 1)) for argument in sys.argv[2:]]
    sys.exit(min(main(int(sys.argv[1]), pairs), 99))  # type: ignore[arg-type]
