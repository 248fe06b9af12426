"""docs/howto/production.md: its SQL runs, its commands work, and its numbers are those of the code."""

import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from imgvec_faulty_embedder import FaultyGrid
from pageblocks import DOCS, example, read_blocks
from workers import NAME, imgvec, make_table, wait_until

from imgvec_pg.backfill import backoff, claiming, others_at_work, throttle
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.main import cli
from imgvec_pg.cli.throttle_options import AUTO, WORKER_NICE, WORKER_SHARE_PERCENT
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
    params = params_of(worker)
    assert [hours.text for hours in params["pause_when"]] == ["mon-fri 09:00-17:30", "sun 02:00-04:00"]
    assert (params["rate"], params["max_replica_lag_seconds"]) == (20.0, 5.0)
    assert params["server_share_percent"] == 2.0
    with example(lowest):
        before, arguments = shlex.split(lowest)[:2], shlex.split(lowest)[3:]
        subprocess.run([*before, "true"], check=True)
        params = params_of(arguments)
        assert (params["nice"], params["server_share_percent"]) == (19, AUTO)


def params_of(arguments: list[str]) -> dict[str, Any]:
    """Return what `imgvec worker ...` of the page is asked for."""
    command = cli.get_command(None, arguments[0])  # type: ignore[arg-type]
    assert command is not None
    return command.make_context("worker", arguments[1:]).params


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
        f"by themselves: `--server-share {AUTO}` and `--nice {WORKER_NICE}`",
        f"`auto` is {WORKER_SHARE_PERCENT:g} % of the time",
        f"more than {others_at_work.TRANSACTIONS_PER_SECOND:g} transactions a second",
        f"holds back within {others_at_work.LOOK_SECONDS:g} s; after"
        f" {others_at_work.QUIET_LOOKS * others_at_work.LOOK_SECONDS:g} s without them",
        f"wait for {throttle.BEHIND_SECONDS:.0f} s than that lets through",
        f"After {throttle.SAVED_SECONDS / WORKER_SHARE_PERCENT * 100:.0f} s of rest beside others a second",
        f"taken by {throttle.KEYS_AT_A_SHARE}, in statements",
    ],
)
def test_its_numbers_are_those_of_the_code(said: str) -> None:
    assert said in PAGE.read_text()
    assert MAX_DEATHS == 4
