"""Faults that a running worker is put through, and how long it takes to write again."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from own import Own
from proxy import Proxy
from smalldisk import fill_up
from workers import NAME, Running, change_picture, count, make_table, queued_keys, running, wait_until

from imgvec_pg.database.connect import Connection, connect

DRAW = random.Random(5)


@contextmanager
def worker_at(
    dsn: str,
    environment: dict[str, str],
    folder: Path,
    *arguments: str,
    before: Sequence[str] = (),
    holds_back: bool = False,
    **settings: str,
) -> Iterator[Running]:
    """Run `imgvec worker` and wait until it is ready."""
    command = ("worker", NAME, *arguments)
    with running(
        dsn, environment, folder, *command, before=before, holds_back=holds_back, **settings
    ) as started:
        wait_until(lambda: "is ready" in started.text() or not started.is_alive(), "its start")
        assert started.is_alive(), started.text()
        yield started


def prepared(own: Own, root: Path, rows: int = 20) -> Connection:
    """Make the table; return a connection that no fault touches."""
    connection = connect(own.dsn)
    make_table(connection, root, rows)
    return connection


def seconds_to_next_write(connection: Connection, root: Path) -> float:
    """Change a picture and wait until its vector is written."""
    began, before = time.monotonic(), count(connection, "written")
    change_picture(connection, root, 2, DRAW)
    wait_until(lambda: count(connection, "written") > before, "work to go on")
    return time.monotonic() - began


def charged_jobs(connection: Connection) -> int:
    """Return the failures, and the jobs that nobody works at and yet were charged with an attempt."""
    failed = count(connection, "imgvec.failure WHERE code NOT IN ('blank', 'noted')")
    return failed + count(connection, "imgvec.job WHERE attempts > 1")


def meet_black_hole(own: Own, environment: dict[str, str], root: Path, logs: Path) -> tuple[float, float]:
    """Stall a worker's connections for good, and then the whole network for 20 s.

    Returns:
        Seconds from the stall to the next vector where new connections work; and from the network's return.
    """
    with prepared(own, root) as connection, Proxy(own.server.port) as proxy:
        with worker_at(own.dsn_at(proxy.port), environment, logs) as worker:
            wait_until(lambda: queued_keys(connection) == 0, "the first fill")
            proxy.stall_connections()
            alone = seconds_to_next_write(connection, root)
            proxy.stalls_all = True
            change_picture(connection, root, 4, DRAW)
            time.sleep(20)
            before = count(connection, "written")
            proxy.stalls_all, began = False, time.monotonic()
            wait_until(lambda: count(connection, "written") > before, "work to go on")
            returned = time.monotonic() - began
            wait_until(lambda: queued_keys(connection) == 0, "an empty queue")
            assert "no answer for" in worker.text(), worker.text()
        assert charged_jobs(connection) == 0
    return alone, returned


def meet_full_disk(
    own: Own, disk: Path, environment: dict[str, str], root: Path, logs: Path, full_seconds: float
) -> float:
    """Fill the server's disk amid a backfill, make room after a while; return the seconds from then to the next vector."""
    with prepared(own, root, 300) as connection:
        slow = {"IMGVEC_TEST_PREPARE_SECONDS": "0.05", "IMGVEC_LEASE_SECONDS": "5"}
        with worker_at(own.dsn, environment, logs, **slow) as worker:
            wait_until(lambda: count(connection, "written") > 30, "the first vectors")
            ballast = fill_up(disk)
            try:
                wait_until(lambda: "disk is full" in worker.text() or not worker.is_alive(), "it to notice")
                time.sleep(full_seconds)
                assert worker.is_alive(), worker.text()
                assert worker.text().count("disk is full") == 1, worker.text()
            finally:
                ballast.unlink()
            began, before = time.monotonic(), count(connection, "written")
            wait_until(lambda: count(connection, "written") > before, "work to go on")
            took = time.monotonic() - began
            wait_until(lambda: queued_keys(connection) == 0, "an empty queue")
        assert charged_jobs(connection) == 0
        assert count(connection, "imgvec.photo_grid_embedding") == 300
    return took
