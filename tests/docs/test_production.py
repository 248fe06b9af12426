"""docs/howto/production.md: its SQL runs, its commands work, and its numbers are those of the code."""

import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from imgvec_faulty_embedder import FaultyGrid
from pageblocks import DOCS, example, read_blocks
from workers import NAME, imgvec, make_table, wait_until

from imgvec_pg.backfill import backoff, claiming
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.main import cli
from imgvec_pg.database import timeouts
from imgvec_pg.database.connect import Connection
from imgvec_pg.settings import LEASE_SECONDS
from imgvec_pg.store import transactions
from imgvec_pg.store.queue.jobs import MAX_DEATHS

PAGE = DOCS / "howto" / "production.md"


def test_its_query_shows_a_worker_s_sessions(database: str, connection: Connection, tmp_path: Path) -> None:
    make_table(connection, tmp_path, 2)
    (query,) = [block.text for block in read_blocks(PAGE) if block.language == "sql"]
    worker = Worker(database, NAME, FaultyGrid(), PipelineOptions(root=tmp_path, follow=True))
    thread = threading.Thread(target=worker.run)
    expected = {f"imgvec worker {part}" for part in ("read", "write", "heartbeat", "answers")}

    def sessions() -> set[str]:
        return {row[1] for row in connection.execute(query)}

    thread.start()
    try:
        wait_until(lambda: sessions() >= expected, "its sessions")
    finally:
        worker.request_stop()
        thread.join()


def test_its_commands_are_understood(
    database: str, connection: Connection, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    make_table(connection, tmp_path, 2)
    block, lowest = [block.text for block in read_blocks(PAGE) if block.language == ""]
    backfill, worker = (shlex.split(line)[1:] for line in block.splitlines() if line)
    done = imgvec(
        database, plugin_environment, *[NAME if word == "product_clip" else word for word in backfill]
    )
    with example(block):
        assert done.returncode == 0, done.stderr
    command = cli.get_command(None, worker[0])  # type: ignore[arg-type]
    assert command is not None
    context = command.make_context("worker", worker[1:])
    assert [hours.text for hours in context.params["pause_when"]] == [
        "mon-fri 09:00-17:30",
        "sun 02:00-04:00",
    ]
    assert (context.params["rate"], context.params["max_replica_lag_seconds"]) == (20.0, 5.0)
    assert context.params["server_share_percent"] == 2.0
    ran = lowest.replace("imgvec worker product_clip", f"{sys.executable} -m imgvec_pg backfill {NAME}")
    with example(lowest):
        assert ran != lowest
        environment = {**plugin_environment, "IMGVEC_DSN": database}
        subprocess.run(ran, shell=True, check=True, timeout=900, env=environment)  # noqa: S602 - the page's own line


@pytest.mark.parametrize(
    "said",
    [
        f"{transactions.LOCK_TIMEOUT_MS} ms, or a quarter",
        f"| {transactions.STATEMENT_MS // 1000} s; a write",
        f"{transactions.IDLE_IN_TRANSACTION_MS // 1000} s: a worker that is stopped",
        f"({LEASE_SECONDS:.0f} s; `IMGVEC_LEASE_SECONDS`)",
        f"at most {backoff.PAUSE_SECONDS[1]:.0f} s between attempts, for {backoff.GIVE_UP_AFTER_SECONDS / 60:.0f} minutes",
        f"takes {timeouts.SILENCE_SECONDS:.0f} s of silence",
        f"alone for {claiming.COME_BACK_SECONDS:.0f} s",
    ],
)
def test_its_numbers_are_those_of_the_code(said: str) -> None:
    assert said in PAGE.read_text()
    assert MAX_DEATHS == 4
