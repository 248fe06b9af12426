"""The worker and its commands, end to end: real processes on a real PostgreSQL, and a model worked out by hand."""

import dataclasses
import io
import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from imgvec_faulty_embedder import BREAKER, KILLER, NOT_A_NUMBER, RAISER, FaultyGrid, load
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from workers import (
    NAME,
    ONE_THREAD,
    STAGED,
    Running,
    change_picture,
    check,
    count,
    failures,
    make_table,
    picture,
    put_file,
    queued_keys,
    random_picture,
    running,
    wait_until,
)

from imgvec_pg.backfill import backoff, heartbeat, pipeline
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.cli.throttle_options import WORKER_NICE
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import ConnectionFailedError, ModelError
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index, index_states
from imgvec_pg.store.integrity import pages
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import get_collection

DRAW = random.Random(7)


@dataclass(frozen=True)
class Shop:
    """A database with the table photo, its files, and how commands are run on it."""

    database: str
    connection: Connection
    environment: dict[str, str]
    root: Path
    logs: Path

    def backfill(self, *arguments: str, expected: int = 0) -> dict[str, Any]:
        """Run `imgvec backfill --json` and return its summary."""
        done = self.command("backfill", NAME, "--json", *arguments)
        assert done.returncode == expected, (done.returncode, done.stderr)
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command within this process, where no signal and no death is tried."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            code = run(cli, [*arguments, "--dsn", self.database])
        return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())

    @contextmanager
    def worker(self, *arguments: str, **settings: str) -> Iterator[Running]:
        """Run `imgvec worker` and wait until it is ready."""
        with running(
            self.database, self.environment, self.logs, "worker", NAME, *arguments, **settings
        ) as started:
            wait_until(lambda: "is ready" in started.text() or not started.is_alive(), "the worker's start")
            assert started.is_alive(), started.text()
            yield started

    def run_inside(self, **options: Any) -> WorkerStats:
        """Run a worker within this process until the queue is empty."""
        return Worker(
            self.database, NAME, load(), PipelineOptions(root=self.root, lease_seconds=2, **options)
        ).run()

    def must_be_current(self) -> None:
        found = check(self.connection, self.root)
        assert not found.problems, str(found)

    def change(self, number: int) -> None:
        change_picture(self.connection, self.root, number, DRAW)


@pytest.fixture
def shop(database: str, connection: Connection, plugin_environment: dict[str, str], tmp_path: Path) -> Shop:
    root, logs = tmp_path / "photos", tmp_path / "logs"
    root.mkdir()
    logs.mkdir()
    plugin_environment["IMGVEC_LEASE_SECONDS"] = "1"
    return Shop(database, connection, plugin_environment, root, logs)


# What a backfill does


def test_backfill_embeds_files_and_bytes_and_builds_the_index(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 150, listed=False)
    planned = shop.backfill("--dry-run")
    assert planned == {"collection": NAME, "waiting": 150, "seconds": None}
    assert (queued_keys(shop.connection), count(shop.connection, "imgvec.photo_grid_embedding")) == (0, 0)
    summary = shop.backfill()
    assert (summary["embedded"], summary["failed"], summary["waiting"]) == (150, 0, 0)
    assert summary["index_built"] and summary["images_per_second"] > 0
    shop.must_be_current()
    assert has_valid_index(shop.connection, get_collection(shop.connection, NAME))
    again = shop.backfill()
    assert (again["embedded"], again["index_built"]) == (0, False)
    rate = shop.connection.execute("SELECT images_per_second FROM imgvec.model").fetchone()
    assert rate is not None and rate[0] > 0
    assert count(shop.connection, "imgvec.worker") == 0


def test_the_models_rate_counts_each_batch_however_late_it_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(shop.connection, shop.root, 150)
    write, embed, ahead = pipeline.write_finished, FaultyGrid.embed_prepared, threading.Event()
    batches: list[int] = []

    def embed_ahead(model: FaultyGrid, prepared: Sequence[Any]) -> Any:
        batches.append(len(prepared))
        if batches[-3:-1] == [64, 64]:  # two batches are done, and none is written
            ahead.set()
        return embed(model, prepared)

    def write_late(*arguments: Any) -> Any:
        assert ahead.wait(300)
        return write(*arguments)

    monkeypatch.setattr(FaultyGrid, "embed_prepared", embed_ahead)
    monkeypatch.setattr(pipeline, "write_finished", write_late)
    stats = shop.run_inside()
    assert (stats.computed, stats.computing.images) == (150, 150 - 64)


def test_limit_is_exact_and_leaves_the_rest_untouched(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 150)
    assert shop.backfill("--limit", "10")["embedded"] == 10
    assert queued_keys(shop.connection) == 140
    summary = shop.backfill("--limit", "71", "--workers", "2", *ONE_THREAD)
    assert (summary["embedded"], summary["waiting"], summary["index_built"]) == (71, 69, False)
    assert summary["computed"] == 71
    assert count(shop.connection, "imgvec.job WHERE attempts > 0 OR token IS NOT NULL") == 0
    shop.run_inside()
    shop.must_be_current()


def test_failures_have_codes_and_their_neighbours_are_embedded(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 40)
    (shop.root / "nothing.png").touch()
    bad = {
        1002: b"<html>not found</html>",
        1003: random_picture(DRAW)[:50],
        1004: b"8BPS\0\1" + bytes(40),
        1005: picture(RAISER),
        1006: picture(NOT_A_NUMBER),
    }
    for number, data in bad.items():
        shop.connection.execute("INSERT INTO photo (id, content) VALUES (%s, %s)", [number, data])
    shop.connection.execute("INSERT INTO photo (id, path) VALUES (1001, 'nothing.png')")
    shop.connection.execute("INSERT INTO photo (id, path) VALUES (1007, '../../etc/passwd'), (1008, '.')")
    shop.connection.execute("INSERT INTO photo (id, path, content) VALUES (1009, '2.png', 'both')")
    shop.connection.execute(
        "INSERT INTO photo (id, path, content) VALUES (1010, NULL, NULL), (1011, '', NULL)"
    )
    shop.connection.execute("INSERT INTO photo (id, path, content) VALUES (1012, NULL, ''), (1013, '', '')")
    summary = shop.backfill(expected=4)
    codes = failures(shop.connection)
    assert codes == {
        1001: "empty",
        1002: "unidentified",
        1003: "truncated",
        1004: "format_denied",
        1005: "embed_error",
        1006: "bad_embedding",
        1007: "path_denied",
        1008: "not_regular_file",
        1009: "two_images",
    }
    assert (summary["embedded"], summary["failed"], summary["waiting"]) == (40, 9, 0)
    listed = shop.command("failures", NAME, "--json", "--code", "empty")
    (failure,) = json.loads(listed.stdout)
    assert failure["key"] == {"id": 1001} and "0 bytes" in failure["message"]
    for number in (1001, *bad):
        shop.change(number)
    shop.connection.execute("DELETE FROM photo WHERE id > 1006")
    assert failures(shop.connection).keys() == {1001, *bad}
    shop.run_inside()
    assert failures(shop.connection) == {}
    shop.must_be_current()


@pytest.mark.parametrize(
    "none", ["path = NULL, content = NULL", "path = '', content = NULL", "path = NULL, content = ''"]
)
def test_an_image_taken_away_takes_its_embedding_away_and_is_no_failure(shop: Shop, none: str) -> None:
    make_table(shop.connection, shop.root, 10)
    shop.run_inside()
    shop.connection.execute(f"UPDATE photo SET {none} WHERE id = 3")  # type: ignore[arg-type]
    summary = shop.backfill()
    assert (summary["embedded"], summary["failed"]) == (0, 0)
    assert failures(shop.connection) == {3: "no_image"}
    assert count(shop.connection, "imgvec.failures") == 0
    assert shop.command("retry", NAME).returncode == 0 and count(shop.connection, "imgvec.job") == 0
    assert count(shop.connection, "imgvec.photo_grid_embedding WHERE id = 3") == 0
    shop.change(3)
    shop.run_inside()
    shop.must_be_current()


def test_a_missing_file_that_appears_between_tries_is_embedded(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr("imgvec_pg.backfill.batch.retry.FIRST_DELAY_SECONDS", 0.2)
    make_table(shop.connection, shop.root)
    shop.connection.execute("INSERT INTO photo (id, path) VALUES (1, 'late.png'), (2, 'never.png')")

    def delayed() -> bool:
        return count(shop.connection, "imgvec.job WHERE attempts = 1 AND run_after > now()") == 2

    with ending_thread(shop.run_inside):
        wait_until(delayed, "both to be delayed")
        (shop.root / "late.png").write_bytes(random_picture(DRAW))
    assert failures(shop.connection) == {2: "not_found"}
    assert count(shop.connection, "imgvec.failure WHERE attempts = 3") == 1
    (shop.root / "never.png").write_bytes(random_picture(DRAW))
    done = shop.command("retry", NAME, "--code", "not_found")
    assert "1 row enqueued again" in done.stdout
    shop.run_inside()
    shop.must_be_current()


@contextmanager
def ending_thread(work: Any, seconds: float = 400) -> Iterator[None]:
    """Run something beside the block; its error is the block's."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    yield
    thread.join(seconds)
    assert not thread.is_alive(), f"still running after {seconds} s"
    if errors:
        raise errors[0]


# Models


def test_a_model_of_another_fingerprint_writes_nothing(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 20)
    assert shop.backfill("--limit", "5")["embedded"] == 5
    shop.environment["IMGVEC_TEST_FINGERPRINT"] = "another one"
    done = shop.command("backfill", NAME)
    assert done.returncode == 1
    assert "fingerprint another one" in done.stderr and "Traceback" not in done.stderr
    assert count(shop.connection, "imgvec.photo_grid_embedding") == 5
    assert count(shop.connection, "imgvec.job WHERE attempts > 0 OR token IS NOT NULL") == 0


def test_of_two_models_that_stamp_at_once_only_one_may_write(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 5)

    def commit_late() -> None:
        with connect(shop.database) as first, first.transaction():
            first.execute("UPDATE imgvec.model SET fingerprint = 'the first'")
            stamped.set()
            wait_until(lambda: count(shop.connection, "pg_locks WHERE NOT granted") > 0, "the second to wait")

    stamped = threading.Event()
    with ending_thread(commit_late):
        assert stamped.wait(300)
        with pytest.raises(ModelError, match="fingerprint"):
            shop.run_inside()
    assert count(shop.connection, "imgvec.photo_grid_embedding") == 0


def test_a_model_that_breaks_charges_no_row(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 30)
    shop.connection.execute("INSERT INTO photo (id, content) VALUES (99, %s)", [picture(BREAKER)])
    done = shop.command("backfill", NAME)
    assert done.returncode == 1 and "the device is gone" in done.stderr
    assert failures(shop.connection) == {}
    assert count(shop.connection, "imgvec.job WHERE attempts + deaths > 0 OR token IS NOT NULL") == 0
    shop.connection.execute("DELETE FROM photo WHERE id = 99")
    shop.run_inside()
    shop.must_be_current()


# Following a table


def test_worker_follows_insert_update_and_delete_and_leaves_on_sigterm(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 20)
    with shop.worker() as following:
        wait_until(lambda: queued_keys(shop.connection) == 0, "the first fill")
        put_file(shop.connection, shop.root, 21, random_picture(DRAW))
        shop.change(4)
        shop.connection.execute("DELETE FROM photo WHERE id = 5")
        shop.connection.execute("UPDATE photo SET id = 600 WHERE id = 6")
        enqueued = count(shop.connection, "enqueued")
        shop.connection.execute("UPDATE photo SET price = 7")
        assert count(shop.connection, "enqueued") == enqueued
        wait_until(lambda: queued_keys(shop.connection) == 0, "the changes")
        wait_until(lambda: activities(shop) == ["idle"], "the worker to say that it is idle")
        shop.must_be_current()
        following.send(signal.SIGTERM)
        assert following.wait() == 143
    assert count(shop.connection, "imgvec.worker") == 0
    assert "Traceback" not in following.text()


def activities(shop: Shop) -> list[str]:
    return [row[0] for row in shop.connection.execute("SELECT activity FROM imgvec.worker")]


def test_a_worker_says_whether_it_works(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 40)
    with shop.worker(IMGVEC_TEST_PREPARE_SECONDS="0.3", IMGVEC_LEASE_SECONDS="600"):
        wait_until(lambda: activities(shop) == ["working"], "it to work")
        assert queued_keys(shop.connection) > 0
        wait_until(lambda: queued_keys(shop.connection) == 0, "the first fill")
        # Long before the next heartbeat, which comes every 150 s.
        wait_until(lambda: activities(shop) == ["idle"], "it to be idle", 60)


def test_updates_while_a_backfill_runs_are_in_its_result(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 130)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME),
        IMGVEC_TEST_PREPARE_SECONDS="0.02",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        for number in range(1, 130, 10):
            shop.change(number)
        assert filling.wait() == 0, filling.text()
    shop.must_be_current()


# Signals


def signalled(shop: Shop, *signals: signal.Signals) -> Running:
    """Start a slow backfill, signal it in mid-work and return it once it has ended."""
    with running(
        shop.database,
        {**shop.environment, "IMGVEC_LEASE_SECONDS": "60"},
        shop.logs,
        *("backfill", NAME, "--batch-size", "16"),
        IMGVEC_TEST_PREPARE_SECONDS="0.05",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        for number in signals:
            filling.send(number)
            time.sleep(0.2)
        filling.wait()
    assert "Traceback" not in filling.text()
    return filling


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_backfill_after_its_batch_with_leases_freed(
    shop: Shop, number: signal.Signals, code: int
) -> None:
    make_table(shop.connection, shop.root, 600)
    stopped = signalled(shop, number)
    assert stopped.process.returncode == code, stopped.text()
    assert "run the same command to go on" in stopped.text()
    assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL OR attempts + deaths > 0") == 0
    assert queued_keys(shop.connection) > 0
    done = count(shop.connection, "imgvec.photo_grid_embedding")
    assert done + queued_keys(shop.connection) == 600


def test_a_second_ctrl_c_leaves_at_once(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 300)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME),
        IMGVEC_TEST_PREPARE_SECONDS="900",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.job WHERE token IS NOT NULL") > 0, "a claim")
        filling.send(signal.SIGINT)
        wait_until(lambda: "finishing the batch" in filling.text(), "the first answer")
        filling.send(signal.SIGINT)
        assert filling.wait() == 130


def test_sigterm_reaches_all_processes_of_a_backfill(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 600)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME, "--workers", "2", "--batch-size", "16", *ONE_THREAD),
        IMGVEC_TEST_PREPARE_SECONDS="0.05",
        IMGVEC_LEASE_SECONDS="60",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.worker") == 2, "two workers")
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        filling.send(signal.SIGTERM)
        assert filling.wait() == 143, filling.text()
    assert count(shop.connection, "imgvec.worker") == 0
    assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL") == 0


# Death


def test_an_image_that_kills_its_process_fails_alone(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 30)
    # One job: the deadly picture and its neighbours in the middle of the fill's.
    shop.connection.execute(
        "INSERT INTO photo (id, content) SELECT n, CASE n WHEN 107 THEN %s ELSE %s END FROM generate_series(101, 110) AS n",
        [picture(KILLER), random_picture(DRAW)],
    )
    done = shop.command("backfill", NAME, "--json", "--workers", "2", *ONE_THREAD)
    assert done.returncode == 4, done.stderr
    assert failures(shop.connection) == {107: "worker_died"}
    deaths = done.stderr.count("a worker process died (exit code 77)")
    print(f"{deaths} deaths")
    assert deaths == 4, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["embedded"], summary["failed"], summary["waiting"]) == (39, 1, 0)
    assert summary["index_built"]
    shop.connection.execute("DELETE FROM photo WHERE id = 107")
    shop.must_be_current()


def test_a_killed_child_of_a_backfill_is_replaced(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 200)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME, "--workers", "2", "--batch-size", "16", *ONE_THREAD),
        IMGVEC_TEST_PREPARE_SECONDS="0.01",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        row = shop.connection.execute("SELECT pid FROM imgvec.worker LIMIT 1").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGKILL)
        assert filling.wait() == 0, filling.text()
    assert "died (signal 9)" in filling.text() and "another is started" in filling.text()
    assert "200 images embedded" in filling.text() and "index built" in filling.text()
    shop.must_be_current()


def test_the_processes_of_a_backfill_end_with_it(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 600)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME, "--workers", "2", "--batch-size", "16", *ONE_THREAD),
        IMGVEC_TEST_PREPARE_SECONDS="0.05",
        IMGVEC_LEASE_SECONDS="60",
    ) as filling:
        wait_until(lambda: count(shop.connection, "imgvec.worker") == 2, "two workers")
        wait_until(lambda: count(shop.connection, "written") > 0, "a first batch")
        filling.send(signal.SIGKILL)
        wait_until(lambda: count(shop.connection, "imgvec.worker") == 0, "its processes to leave")
    assert queued_keys(shop.connection) > 0
    assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL OR attempts + deaths > 0") == 0


def test_a_stopped_worker_drops_what_it_had_when_its_lease_was_lost(shop: Shop) -> None:
    make_table(shop.connection, shop.root)
    put_file(shop.connection, shop.root, 1, random_picture(DRAW))
    hold = shop.logs / "hold"
    hold.touch()
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("worker", NAME),
        script=[str(STAGED)],
        IMGVEC_TEST_HOLD=str(hold),
    ) as zombie:
        zombie.wait_until_stopped()
        assert shop.run_inside().embedded == 1
        first = shop.connection.execute("SELECT embedded_at FROM imgvec.photo_grid_embedding").fetchone()
        zombie.send(signal.SIGCONT)
        zombie.send(signal.SIGTERM)
        assert zombie.wait() == 143, zombie.text()
    assert "0 embedded" in zombie.text()
    assert shop.connection.execute("SELECT embedded_at FROM imgvec.photo_grid_embedding").fetchone() == first
    shop.must_be_current()


# The database


WORKER_BACKENDS = "pg_stat_activity WHERE application_name LIKE 'imgvec %' AND datname = current_database()"


def terminate_workers(connection: Connection) -> None:
    """End every backend of a worker or backfill."""
    connection.execute(f"SELECT pg_terminate_backend(pid) FROM {WORKER_BACKENDS}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_backfill_survives_its_connections_and_charges_no_attempt(shop: Shop, workers: str) -> None:
    make_table(shop.connection, shop.root, 160)
    shop.environment["IMGVEC_LEASE_SECONDS"] = "60"
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME, "--batch-size", "16", "--workers", workers),
        IMGVEC_TEST_PREPARE_SECONDS="0.02",
    ) as filling:
        for share in (1, 60):
            wait_until(lambda share=share: count(shop.connection, "written") >= share, "batches")
            wait_until(lambda: count(shop.connection, WORKER_BACKENDS) >= 3, "its connections")
            terminate_workers(shop.connection)
        wait_until(lambda: count(shop.connection, "written") > 90, "work to go on")
        assert count(shop.connection, "imgvec.job WHERE attempts > 1 OR deaths > 0") == 0
        assert filling.wait() == 0, filling.text()
    assert "Traceback" not in filling.text()
    assert count(shop.connection, "imgvec.failure") == 0
    shop.must_be_current()


def test_leases_outlive_the_connection_of_the_heartbeat_alone(shop: Shop, monkeypatch: Any) -> None:
    make_table(shop.connection, shop.root, 64)
    connections: list[Connection] = []
    connect_heartbeat = heartbeat.connect_worker

    def noted(*arguments: Any, **options: Any) -> Connection:
        connections.append(connect_heartbeat(*arguments, **options))
        return connections[-1]

    monkeypatch.setattr(heartbeat, "connect_worker", noted)
    monkeypatch.setenv("IMGVEC_TEST_PREPARE_SECONDS", "0.15")  # 64 images in 4 threads: 2.4 s, four leases
    options = PipelineOptions(root=shop.root, lease_seconds=0.6)
    with ending_thread(Worker(shop.database, NAME, load(), options).run):
        wait_until(lambda: connections, "a heartbeat")
        shop.connection.execute("SELECT pg_terminate_backend(%s)", [connections[0].info.backend_pid])
        wait_until(lambda: len(connections) > 1, "another heartbeat")
        other = shop.backfill("--no-index")
        assert other["embedded"] == 0
    shop.must_be_current()


def test_a_row_that_the_application_holds_is_delayed_and_the_application_never_waits(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 64)
    with connect(shop.database) as application, ending_thread(shop.run_inside):
        # Longer than a worker waits: only a lock counts, not a busy machine.
        application.execute("SET lock_timeout = '300 ms'")
        with application.transaction():
            application.execute("SELECT FROM photo WHERE id IN (10, 20) FOR UPDATE")
            wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") == 62, "the others")
            wait_until(
                lambda: count(shop.connection, "imgvec.job WHERE attempts = 0 AND run_after > now()") == 2,
                "two rows to be delayed",
            )
            for _ in range(20):
                application.execute("UPDATE photo SET price = price + 1 WHERE id IN (10, 20)")
                time.sleep(0.02)
        for number in range(30, 50):
            application.execute("DELETE FROM photo WHERE id = %s", [number])
    assert failures(shop.connection) == {}
    shop.must_be_current()


def test_a_delete_never_waits_long_for_a_write_that_waits_for_another(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 64)
    with connect(shop.database) as holder, connect(shop.database) as application, holder.transaction():
        # The promise is 0.3 s; the rest is for a worker that is slow to let go on a busy machine.
        application.execute("SET lock_timeout = '1 s'")
        holder.execute("SELECT FROM photo WHERE id = 64 FOR UPDATE")
        with ending_thread(shop.run_inside):
            for number in range(1, 41):
                application.execute("DELETE FROM photo WHERE id = %s", [number])
                time.sleep(0.03)
            holder.execute("COMMIT")
            holder.execute("BEGIN")
    shop.must_be_current()


def test_a_table_locked_against_reading_delays_the_worker_and_sigterm_still_ends_it(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 10)
    with connect(shop.database) as application, application.transaction():
        application.execute("LOCK TABLE photo IN ACCESS EXCLUSIVE MODE")
        with shop.worker(IMGVEC_LEASE_SECONDS="60") as waiting:
            wait_until(lambda: count(shop.connection, "imgvec.job WHERE token IS NOT NULL") == 1, "a claim")
            time.sleep(0.5)
            waiting.send(signal.SIGTERM)
            assert waiting.wait() == 143, waiting.text()
    assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL OR attempts > 0") == 0
    assert queued_keys(shop.connection) == 10
    shop.run_inside()
    shop.must_be_current()


def test_truncate_while_a_worker_runs_leaves_nothing_behind(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 300)
    with shop.worker("--batch-size", "16", IMGVEC_TEST_PREPARE_SECONDS="0.01") as following:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        with connect(shop.database) as application, application.transaction():
            application.execute("SET LOCAL lock_timeout = '60 s'")
            application.execute("TRUNCATE photo CASCADE")
            time.sleep(1)
        put_file(shop.connection, shop.root, 7, random_picture(DRAW), "new.png")
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") == 1, "the new row")
        wait_until(lambda: queued_keys(shop.connection) == 0, "an empty queue")
        following.send(signal.SIGTERM)
        assert following.wait() == 143, following.text()
    shop.must_be_current()


def test_keys_delayed_or_lost_while_writing_are_not_finished(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 64)
    tallies: list[WorkerStats] = []
    with (
        connect(shop.database) as application,
        ending_thread(lambda: tallies.append(shop.run_inside())),
        application.transaction(),
    ):
        application.execute("SELECT FROM photo WHERE id IN (10, 20) FOR UPDATE")
        wait_until(lambda: count(shop.connection, "enqueued WHERE id IN (10, 20)") >= 6, "them to be delayed")
    assert (tallies[0].finished, tallies[0].embedded) == (64, 64)


# What goes away


def create_again(shop: Shop, name: str = NAME, model: str = "faulty-grid", images: str = "both") -> None:
    columns = ["--image", "path"] + (["--image", "content"] if images == "both" else [])
    done = shop.command(
        *("collection", "create", name, "--source", "photo", *columns),
        *("--root", str(shop.root), "--model", model),
    )
    assert done.returncode == 0, done.stderr


def drop(shop: Shop) -> None:
    done = shop.command("collection", "drop", NAME, "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_backfill_whose_collection_is_dropped_says_so(shop: Shop, workers: str) -> None:
    make_table(shop.connection, shop.root, 400)
    with running(
        shop.database,
        shop.environment,
        shop.logs,
        *("backfill", NAME, "--workers", workers, "--batch-size", "16"),
        # Not done before the drop, however busy the machine is.
        IMGVEC_TEST_PREPARE_SECONDS="0.2",
    ) as filling:
        wait_until(lambda: count(shop.connection, "written") > 0, "a first batch")
        drop(shop)
        assert filling.wait() == 1, filling.text()
    said = [line for line in filling.text().splitlines() if " images/s, " not in line]
    assert said == [f"imgvec: collection {NAME} was dropped meanwhile"]
    assert count(shop.connection, "imgvec.worker") == 0


def test_a_worker_waits_for_its_dropped_collection_and_fills_the_new_one(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 20)
    with shop.worker() as following:
        wait_until(lambda: queued_keys(shop.connection) == 0, "the first fill")
        drop(shop)
        wait_until(lambda: f"collection {NAME} was dropped meanwhile" in following.text(), "it to notice")
        wait_until(lambda: count(shop.connection, "imgvec.worker") == 0, "it to sign off")
        create_again(shop)
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") == 20, "the new fill")
        following.send(signal.SIGTERM)
        assert following.wait() == 143, following.text()
    shop.must_be_current()


def test_a_worker_ends_when_its_collection_gets_another_model(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 20)
    with shop.worker() as following:
        wait_until(lambda: queued_keys(shop.connection) == 0, "the first fill")
        drop(shop)
        create_again(shop, model="color-grid")
        assert following.wait() == 1, following.text()
    assert "imgvec: photo_grid is embedded by color-grid now" in following.text()
    assert "Traceback" not in following.text()
    assert count(shop.connection, "imgvec.photo_grid_embedding") == 0
    assert count(shop.connection, "imgvec.model WHERE name = 'color-grid' AND fingerprint IS NULL") == 1


def test_a_worker_of_an_alias_follows_it(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 10)
    create_again(shop, "other_grid")
    point = "INSERT INTO imgvec.alias (name, collection_id) SELECT 'current', id FROM imgvec.collection WHERE name = %s"
    shop.connection.execute(point, [NAME])
    with running(
        shop.database, shop.environment, shop.logs, "worker", "current", holds_back=True
    ) as following:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") == 10, "the first fill")
        assert count(shop.connection, "imgvec.other_grid_embedding") == 0
        with shop.connection.transaction():
            shop.connection.execute("DELETE FROM imgvec.alias")
            shop.connection.execute(point, ["other_grid"])
        wait_until(lambda: count(shop.connection, "imgvec.other_grid_embedding") == 10, "the second fill")
        assert os.getpriority(os.PRIO_PROCESS, following.process.pid) == max(os.nice(0), WORKER_NICE)
        following.send(signal.SIGTERM)
        assert following.wait() == 143, following.text()
    assert "current points to collection other_grid now" in following.text()
    assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL") == 0


def test_a_picture_folder_that_goes_away_ends_a_backfill_and_charges_no_row(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 300)
    elsewhere = shop.root.with_name("elsewhere")
    with running(
        shop.database,
        {**shop.environment, "IMGVEC_LEASE_SECONDS": "60"},
        shop.logs,
        *("backfill", NAME, "--batch-size", "16"),
        IMGVEC_TEST_PREPARE_SECONDS="0.05",
    ) as filling:
        wait_until(lambda: count(shop.connection, "written") > 0, "a first batch")
        shop.root.rename(elsewhere)
        assert filling.wait() == 1, filling.text()
    # On a busy machine progress is told too.
    (line,) = [each for each in filling.text().splitlines() if each.startswith("imgvec:")]
    assert line.startswith(
        f"imgvec: the root folder {shop.root} cannot be opened (No such file or directory)"
    )
    assert failures(shop.connection) == {}
    assert count(shop.connection, "imgvec.job WHERE attempts > 0 OR token IS NOT NULL") == 0
    done = count(shop.connection, "imgvec.photo_grid_embedding")
    assert 0 < done < 300 and done + queued_keys(shop.connection) == 300
    elsewhere.rename(shop.root)
    assert shop.backfill()["embedded"] == 300 - done
    shop.must_be_current()


def test_a_worker_waits_for_a_folder_that_was_unmounted_and_left_empty(shop: Shop) -> None:
    # A thread reads some files ahead: of five jobs the last ones are still to be read once the first is written.
    make_table(shop.connection, shop.root, 600)
    drop(shop)
    create_again(shop, images="path")
    elsewhere = shop.root.with_name("elsewhere")
    with shop.worker("--batch-size", "8", IMGVEC_TEST_PREPARE_SECONDS="0.1") as following:
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        shop.root.rename(elsewhere)
        shop.root.mkdir()
        wait_until(lambda: activities(shop) == ["waiting for pictures"], "it to wait")
        wait_until(
            lambda: count(shop.connection, "imgvec.job WHERE token IS NOT NULL") == 0, "it to release all"
        )
        time.sleep(1)
        assert activities(shop) == ["waiting for pictures"]
        assert count(shop.connection, "imgvec.job WHERE token IS NOT NULL") == 0
        shop.root.rmdir()
        elsewhere.rename(shop.root)
        wait_until(lambda: count(shop.connection, "imgvec.photo_grid_embedding") == 300, "the rest")
        following.send(signal.SIGTERM)
        assert following.wait() == 143, following.text()
    assert f"the root folder {shop.root} " in following.text()
    assert failures(shop.connection) == {}


def test_a_row_whose_foreign_key_never_holds_is_a_failure_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.backfill.batch.writer.CONFLICT_DELAY_SECONDS", (0.1, 0.2))
    make_table(shop.connection, shop.root, 10, listed=False)
    # Read with its parent's rows, and unknown to its primary key.
    shop.connection.execute("CREATE TABLE print () INHERITS (photo)")
    shop.connection.execute("INSERT INTO print (id, content) VALUES (99, %s)", [random_picture(DRAW)])
    summary = shop.backfill(expected=4)
    assert (summary["embedded"], summary["failed"], summary["waiting"]) == (10, 1, 0)
    assert failures(shop.connection) == {99: "no_reference"}
    assert count(shop.connection, "imgvec.failure WHERE attempts = 3") == 1
    # Only the row is to blame, and only as long as it is there.
    shop.connection.execute("DROP TABLE print; DELETE FROM imgvec.failure")
    shop.must_be_current()


# The first listing and the index


@pytest.fixture
def filler(shop: Shop) -> Iterator[str]:
    """Give the connection string of a role that may fill, and no more."""
    role = f"imgvec_test_{uuid.uuid4().hex[:12]}"
    shop.connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT imgvec_worker TO {role}")
    try:
        yield make_conninfo(shop.database, user=role, password="x")
    finally:
        shop.connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 4)])
def test_a_role_that_may_not_build_the_index_still_fills_and_reports(
    shop: Shop, filler: str, broken: bool, code: int
) -> None:
    make_table(shop.connection, shop.root, 20)
    role = conninfo_to_dict(filler)["user"]
    shop.connection.execute(
        f"GRANT SELECT ON photo TO {role}; GRANT ALL ON written, written_place_seq TO {role}"
    )
    shop.connection.execute(f"GRANT ALL ON enqueued, enqueued_place_seq TO {role}")
    if broken:
        shop.connection.execute("INSERT INTO photo (id, content) VALUES (99, 'no picture')")
    owner_must = f"have the owner of imgvec.photo_grid_embedding run: imgvec backfill {NAME}"
    as_filler = dataclasses.replace(shop, database=filler)
    summary = as_filler.backfill(expected=code)
    assert (summary["embedded"], summary["failed"], summary["index_built"]) == (20, int(broken), False)
    assert owner_must in summary["index_problem"]
    done = as_filler.command("backfill", NAME)
    assert done.returncode == 0
    assert f"{NAME}: 0 images embedded" in done.stdout
    assert done.stderr.startswith(
        f"imgvec: the role {role} may not build the index of photo_grid (must be owner"
    )
    assert owner_must in done.stderr and done.stderr.count("\n") == 1
    assert shop.backfill()["index_built"]


def test_an_interrupted_listing_goes_on_and_two_at_once_file_each_row_once(
    shop: Shop, monkeypatch: Any
) -> None:
    monkeypatch.setattr(pages, "ATTEMPTS", (pages.Attempt(100), *pages.ATTEMPTS[1:]))
    make_table(shop.connection, shop.root, 1000, listed=False)
    collection = get_collection(shop.connection, NAME)

    class Interrupted(Exception):
        pass

    def interrupt(looked_at: int) -> None:
        if looked_at == 300:
            raise Interrupted

    with pytest.raises(Interrupted):
        list_source(shop.connection, collection, interrupt)
    assert queued_keys(shop.connection) == 300
    assert not get_collection(shop.connection, NAME).is_listed
    enqueued: list[int] = []

    def list_too() -> None:
        with connect(shop.database) as other:
            enqueued.append(list_source(other, collection))

    with ending_thread(list_too), ending_thread(list_too):
        pass
    assert sum(enqueued) == 700
    assert count(shop.connection, "(SELECT id FROM enqueued GROUP BY id HAVING count(*) = 1) AS once") == 1000
    assert get_collection(shop.connection, NAME).is_listed


def test_a_cancelled_index_build_is_repaired_by_the_next_backfill(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 50)
    shop.run_inside()
    collection = get_collection(shop.connection, NAME)
    with connect(shop.database) as holder, holder.transaction():
        # A transaction that wrote the table keeps CREATE INDEX CONCURRENTLY waiting.
        holder.execute("UPDATE imgvec.photo_grid_embedding SET precision = precision WHERE id = 1")
        with running(shop.database, shop.environment, shop.logs, "backfill", NAME) as filling:
            wait_until(lambda: index_states(shop.connection, collection)[0].index_name, "the build")
            filling.send(signal.SIGTERM)
            assert filling.wait() == 143, filling.text()
    (state,) = index_states(shop.connection, collection)
    assert state.index_name is not None and not state.is_valid
    shown = shop.command("status", "--json")
    assert json.loads(shown.stdout)[0]["index"] == "INVALID"
    assert shop.backfill()["index_built"]
    assert has_valid_index(shop.connection, collection)


def test_two_builds_at_once_make_one_index(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 50)
    shop.run_inside()
    collection = get_collection(shop.connection, NAME)
    built: list[bool] = []

    def build() -> None:
        with connect(shop.database) as other:
            built.append(build_index(other, collection))

    with connect(shop.database) as holder, ending_thread(build), ending_thread(build), holder.transaction():
        holder.execute("UPDATE imgvec.photo_grid_embedding SET precision = precision WHERE id = 1")
        wait_until(lambda: index_states(shop.connection, collection)[0].index_name, "a build")
        time.sleep(0.7)
    assert sorted(built) == [False, True]
    (state,) = index_states(shop.connection, collection)
    assert state.is_valid


# Ways to talk


def read_terminal(leader: int) -> bytes:
    """Return what was written to a terminal; nothing once its last writer is gone, which Linux calls an error."""
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""


def test_a_terminal_gets_a_bar(shop: Shop) -> None:
    make_table(shop.connection, shop.root, 30)
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "imgvec_pg", "backfill", NAME, "--dsn", shop.database],
        env=shop.environment,
        stdout=follower,
        stderr=follower,
    ) as filling:
        os.close(follower)
        # The longer it takes, the more often the bar is drawn: more than a terminal holds unread.
        shown = b"".join(iter(lambda: read_terminal(leader), b"")).decode()
    os.close(leader)
    assert filling.returncode == 0
    assert "images/s" in shown and "30 images embedded" in shown


@pytest.mark.parametrize("value", ["soon", "0", "1e9"])
def test_a_lease_that_cannot_work_is_refused(shop: Shop, value: str) -> None:
    make_table(shop.connection, shop.root, 1)
    shop.environment["IMGVEC_LEASE_SECONDS"] = value
    done = shop.command("backfill", NAME)
    assert done.returncode == 2
    assert done.stderr.startswith("imgvec: IMGVEC_LEASE_SECONDS is") and done.stderr.count("\n") == 1


def test_a_worker_gives_up_when_the_database_stays_away(shop: Shop, monkeypatch: Any) -> None:
    make_table(shop.connection, shop.root, 1)
    monkeypatch.setattr(backoff, "GIVE_UP_AFTER_SECONDS", 0.5)
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", (0.1, 0.2))
    away = Worker("host=/nonexistent dbname=none", NAME, load(), PipelineOptions())
    began = time.monotonic()
    with pytest.raises(ConnectionFailedError, match="same command"):
        away.run()
    # Unchanged, it would try for a quarter of an hour.
    assert time.monotonic() - began < 60
