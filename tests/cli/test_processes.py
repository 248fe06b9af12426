"""Processes of one backfill that die: replaced while that leads anywhere."""

import tempfile
import time

from imgvec_pg.cli.backfill.processes import Deaths, WorkerProcesses

CRASH = ["/bin/sh", "-c", "exit 77"]
MAY_DIE = 3


def die_once(fleet: WorkerProcesses) -> None:
    """Wait for the one process to end, and settle it."""
    [process] = fleet.running
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    fleet.look(can_restart=True)


def test_processes_that_die_are_replaced_until_so_many_died_in_vain() -> None:
    with tempfile.TemporaryFile("w+") as complaints:
        fleet = WorkerProcesses(CRASH, {}, complaints, Deaths(MAY_DIE))
        fleet.deaths.note_waiting(100)
        fleet.start()
        while fleet.running:
            die_once(fleet)
        assert fleet.died == MAY_DIE + 1
        assert fleet.first_error == 1


def test_deaths_after_which_the_queue_is_shorter_are_not_counted() -> None:
    with tempfile.TemporaryFile("w+") as complaints:
        fleet = WorkerProcesses(CRASH, {}, complaints, Deaths(MAY_DIE))
        fleet.start()
        for left in range(100, 80, -1):
            fleet.deaths.note_waiting(left)
            fleet.deaths.note_waiting(left + 5)  # an application files more
            die_once(fleet)
        assert len(fleet.running) == 1
        assert fleet.first_error is None
        for _ in range(MAY_DIE):
            fleet.deaths.note_waiting(81)
            die_once(fleet)
        assert not fleet.running
        assert fleet.died == 20 + MAY_DIE
