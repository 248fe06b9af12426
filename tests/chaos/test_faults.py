"""What the network, the disk, the device and the application's own locks do to a worker, and what it does about it."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from faults import charged_jobs, meet_full_disk, prepared, seconds_to_next_write
from imgvec_faulty_embedder import FaultyGrid, Float32Array
from opposite import write_in_opposite_orders
from own import MakeServer
from proxy import Proxy
from smalldisk import NoSmallDiskError, small_disk
from workers import (
    NAME,
    change_picture,
    check,
    count,
    failures,
    imgvec,
    make_table,
    queued_keys,
    wait_until,
)

from imgvec_pg.backfill import backoff
from imgvec_pg.backfill.batch import isolation
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database import timeouts
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import DeviceMemoryError
from imgvec_pg.store.transactions import short_transaction

DRAW = random.Random(3)


@contextmanager
def working(worker: Worker) -> Iterator[list[BaseException]]:
    """Run a worker in a thread, and stop it at the end; give what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        worker.request_stop()
        thread.join(600)
    assert not thread.is_alive()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


# The network


def test_a_worker_leaves_connections_that_neither_answer_nor_end(
    make_server: MakeServer, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timeouts, "SILENCE_SECONDS", 2.0)
    own = make_server(tcp=True)
    with prepared(own, root) as connection, Proxy(own.server.port) as proxy:
        options = PipelineOptions(root=root, follow=True)
        with working(Worker(own.dsn_at(proxy.port), NAME, FaultyGrid(), options)) as raised:
            wait_until(lambda: queued_keys(connection) == 0, "the first fill")
            proxy.stall_connections()
            took = seconds_to_next_write(connection, root)
            print(f"{took:.1f} s after a stall, of which silence takes 2 s")
            assert took > 1.5
        assert not raised
        assert "no answer for 2 s" in caplog.text
        assert charged_jobs(connection) == 0
        assert not check(connection, root).problems
        with connect_worker(own.dsn_at(proxy.port), "test", timeouts.Silence(1.0)) as patient:
            proxy.stalls_all = True
            with pytest.raises(psycopg.OperationalError, match="no answer for 1 s"):
                patient.execute("SELECT 1")
            assert patient.closed


# The disk


def test_a_full_disk_delays_work_and_charges_nothing(
    plugin_environment: dict[str, str], root: Path, tmp_path: Path, make_server: MakeServer
) -> None:
    try:
        with small_disk(200) as disk:
            small = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
            own = make_server(directory=disk / "server", settings=small)
            try:
                took = meet_full_disk(own, disk, plugin_environment, root, tmp_path, full_seconds=1.5)
            finally:
                own.server.stop()
            print(f"{took:.1f} s after room was made")
    except NoSmallDiskError as error:
        pytest.skip(f"not run: a small disk cannot be mounted here ({error})")


# The device


class Crowded(FaultyGrid):
    """Has room for `room` images at once; what it raises is named as torch names it."""

    class OutOfMemoryError(RuntimeError):
        """As torch.OutOfMemoryError."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.tried: list[int] = []

    def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
        self.tried.append(len(prepared))
        if len(prepared) > self.room:
            raise self.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super().embed_prepared(prepared)


def test_a_batch_that_does_not_fit_is_halved_for_good(
    database: str, connection: Connection, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_table(connection, root, 128)
    crowded = Crowded(room=20)
    Worker(database, NAME, crowded, PipelineOptions(root=root)).run()
    # Each of the model's golden pictures alone, then the table's.
    assert crowded.tried[:6] == [1, 1, 1, 64, 32, 16]
    assert crowded.tried.count(64) == 1 and max(crowded.tried[6:]) == 16
    assert "no memory for 64 images at once: going on with 32" in caplog.text
    assert not check(connection, root).problems


def test_a_device_without_room_for_one_image_is_waited_for(
    database: str, connection: Connection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "PAUSE_SECONDS", (0.1, 0.2))
    make_table(connection, root, 10)
    crowded = Crowded(room=0)
    with working(Worker(database, NAME, crowded, PipelineOptions(root=root))) as raised:
        wait_until(lambda: len(crowded.tried) > 6, "some tries")
        assert failures(connection) == {} and queued_keys(connection) == 10
        crowded.room = 4
        wait_until(lambda: queued_keys(connection) == 0, "room to be used")
    assert not raised
    assert charged_jobs(connection) == 0
    crowded.room = 0
    monkeypatch.setattr(backoff, "GIVE_UP_AFTER_SECONDS", 0.5)
    change_picture(connection, root, 1, DRAW)
    with pytest.raises(DeviceMemoryError, match="no memory for even one image"):
        Worker(database, NAME, crowded, PipelineOptions(root=root)).run()
    assert charged_jobs(connection) == 0 and queued_keys(connection) == 1


def test_an_image_that_alone_takes_too_much_memory_fails_alone() -> None:
    class Choosy(FaultyGrid):
        def embed_prepared(self, prepared: Sequence[Float32Array]) -> Float32Array:
            if any(cells[0] == 200 for cells in prepared):
                raise MemoryError
            return super().embed_prepared(prepared)

    model = Choosy()
    prepared_images: list[Any] = [np.full(12, value, dtype=np.float32) for value in (10, 200, 30)]
    results = isolation.embed_fitting(prepared_images, model, isolation.BatchSize(8))
    assert [isinstance(result, np.ndarray) for result in results] == [True, False, True]
    assert "no memory for this image alone" in str(results[1])


@pytest.mark.parametrize("arguments", [("worker",), ("backfill", "--workers", "2")], ids=" ".join)
def test_a_model_that_does_not_load_ends_in_one_line_and_takes_nothing(
    database: str,
    connection: Connection,
    plugin_environment: dict[str, str],
    root: Path,
    arguments: tuple[str, ...],
) -> None:
    make_table(connection, root, 10)
    environment = {**plugin_environment, "IMGVEC_TEST_LOAD_FAILS": "1"}
    done = imgvec(database, environment, arguments[0], NAME, *arguments[1:])
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "failed to load" in line]
    assert len(said) == 1 and "no kernel image" in said[0], done.stderr
    assert "Traceback" not in done.stderr
    assert queued_keys(connection) == 10
    assert count(connection, "imgvec.job WHERE token IS NOT NULL OR attempts + deaths > 0") == 0


# The application's locks and settings


def test_the_database_s_own_settings_do_not_change_the_protocol(
    database: str, connection: Connection, root: Path
) -> None:
    make_table(connection, root, 32)
    for setting in ("default_transaction_isolation = serializable", "synchronous_commit = on"):
        connection.execute(
            f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting}', current_database()); END $$"
        )
    with connect_worker(database, "test") as session, short_transaction(session):
        assert session.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
        assert session.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("2s",)
        assert session.execute("SHOW synchronous_commit").fetchone() == ("off",)
    Worker(database, NAME, FaultyGrid(), PipelineOptions(root=root)).run()
    assert not check(connection, root).problems


def test_a_worker_stopped_within_a_transaction_soon_lets_the_application_go_on(
    database: str, connection: Connection, root: Path
) -> None:
    make_table(connection, root, 2)
    stopped = connect_worker(database, "test")

    def hold_and_sleep() -> None:
        with short_transaction(stopped):
            stopped.execute("SELECT FROM photo WHERE id = 1 FOR KEY SHARE")
            began = time.monotonic()
            connection.execute("DELETE FROM photo WHERE id = 1")
            print(f"the application waited {time.monotonic() - began:.1f} s")
            stopped.execute("SELECT 1")

    # What the worker then meets is one of those errors that it takes for a database that went away.
    with pytest.raises(backoff.CONNECTION_LOST):
        hold_and_sleep()
    assert stopped.closed
    assert count(connection, "photo") == 1


@pytest.mark.parametrize("deadlock_timeout", ["1s", "40ms"])
def test_opposite_order_writers_never_deadlock(
    database: str, connection: Connection, root: Path, deadlock_timeout: str
) -> None:
    make_table(connection, root, 64)
    setting = f"ALTER DATABASE %I SET deadlock_timeout = ''{deadlock_timeout}''"
    connection.execute(f"DO $$ BEGIN EXECUTE format('{setting}', current_database()); END $$")
    rounds, deadlocks = write_in_opposite_orders(database, seconds=3)
    print(f"{rounds} writes of 64 rows, {deadlocks} deadlocks")
    assert rounds >= 2
    assert deadlocks == 0
