"""Real workers under real faults while an application changes the table and things happen to the database: the faults and
the count afterwards.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from application import CONNECTION_LOST, Application, Scene
from elements import Element
from squall import told
from workers import NAME, Check, Running, check, count, queued_keys, running, wait_until

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer

# Not those of a command that is only starting: that ends with 3, and is started again by whoever supervises it.
BACKENDS = "application_name LIKE 'imgvec worker %' AND datname = current_database()"
TROUBLES = {
    "missing": ("missing", "still queued"),
    "stale": ("stale",),
    "wrong": ("of a wrong version", "orphan"),
    "double": ("written again or backward",),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    rows: int = 4000
    workers: int = 2
    kills: int = 30
    stops: int = 5
    terminations: int = 20
    crashes: int = 1
    disturbances: int = 0
    lease_seconds: float = 3.0
    prepare_seconds: float = 0.03
    most_seconds: float = 600.0


@dataclass
class Report:
    """What was done and what came of it.

    Attributes:
        amiss: All that is, a line a kind.
    """

    faults: Counter[str]
    changes: Counter[str]
    refused: Counter[str]
    check: Check = field(default_factory=Check)
    amiss: list[str] = field(default_factory=list)
    resumed_seconds: float = 0.0
    seconds: float = 0.0
    charged: int = 0

    def troubles(self) -> dict[str, int]:
        """Return missing, stale, wrong, double and failed rows."""
        found = {
            name: sum(len(self.check.problems.get(kind, ())) for kind in kinds)
            for name, kinds in TROUBLES.items()
        }
        failed = [ids for kind, ids in self.check.problems.items() if kind.startswith("failed")]
        return {**found, "failed": sum(map(len, failed))}


class Storm:
    """One table, its workers, its application and a server.

    Args:
        server: To be crashed; None where the plan has no crashes.
        database: Migrated and empty.
        element: What happens to the database meanwhile.
    """

    def __init__(
        self,
        server: LocalServer | None,
        database: str,
        root: Path,
        logs: Path,
        environment: dict[str, str],
        plan: Plan,
        draw: random.Random,
        element: Element | None = None,
    ) -> None:
        self.server, self.logs, self.plan, self.draw = server, logs, plan, draw
        self.element = element or Element()
        self.scene = Scene(database, root, draw, environment, plan.rows)
        self.report = Report(self.scene.faults, self.scene.changes, self.scene.refused)
        self._stack = ExitStack()
        self._workers: list[Running] = []

    def run(self) -> Report:
        """Do it all and check every row."""
        began = time.monotonic()
        self.element.begin(self.scene)
        application = Application(self.scene, self.draw.randrange(10**6))
        playing = threading.Thread(target=application.play)
        with self._stack:
            self._workers = [self.start_worker() for _ in range(self.plan.workers)]
            playing.start()
            self._stack.callback(playing.join)
            self._stack.callback(application.stop.set)
            faults: list[Callable[[], None]] = (
                [self.kill] * self.plan.kills
                + [self.stop_past_lease] * self.plan.stops
                + [self.terminate] * self.plan.terminations
                + [self.crash_server] * self.plan.crashes
                + [self.disturb] * self.plan.disturbances
            )
            self.draw.shuffle(faults)
            for fault in faults:
                assert time.monotonic() - began < self.plan.most_seconds, (
                    f"out of time after {self.report.faults}"
                )
                time.sleep(self.draw.random() * 0.5)
                fault()
            application.stop.set()
            playing.join()
            try:
                self.element.settle(self.scene)
                with connect(self.scene.database) as connection:
                    wait_until(lambda: queued_keys(connection) == 0, "the queue to run empty", 180)
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.state()}") from error
            for worker in self._workers:
                self.wait_until_ready(worker)
                worker.send(signal.SIGTERM)
                assert worker.wait() == 143, worker.text()
                assert "Traceback" not in worker.text(), worker.text()
        with connect(self.scene.database) as connection:
            self.report.check = check(connection, self.scene.root)
            self.report.charged = count(connection, "imgvec.failure WHERE code NOT IN ('blank', 'noted')")
        self.report.amiss = told(self.report.check, self.scene, self.element)
        self.report.seconds = time.monotonic() - began
        return self.report

    def state(self) -> str:
        """Return what the queue holds and the workers said last, for whoever asks why nothing goes on."""
        with connect(self.scene.database) as connection:
            failed = connection.execute(
                "SELECT code, count(*), min(message) FROM imgvec.failure GROUP BY code"
            ).fetchall()
            jobs = connection.execute(
                "SELECT count(*), count(token), min(run_after - now()), max(lease_until - now()) FROM imgvec.job"
            ).fetchone()
        said = [f"alive {worker.is_alive()}: {worker.text()[-400:]!r}" for worker in self._workers]
        return f"failures {failed}, jobs, leases, due in, leased for {jobs}; workers {said}"

    # Faults

    def start_worker(self) -> Running:
        command = ("worker", NAME, "--batch-size", "32", "--decode-threads", "2")
        settings = {
            "IMGVEC_LEASE_SECONDS": str(self.plan.lease_seconds),
            "IMGVEC_TEST_PREPARE_SECONDS": str(self.plan.prepare_seconds),
            "OMP_NUM_THREADS": "1",
        }
        return self._stack.enter_context(
            running(
                self.element.workers_at(self.scene),
                self.scene.environment,
                self.logs,
                *command,
                is_lean=False,
                **settings,
            )
        )

    def wait_until_ready(self, worker: Running) -> None:
        wait_until(lambda: "is ready" in worker.text() or not worker.is_alive(), "a worker's start")
        assert worker.is_alive(), worker.text()

    def pick(self) -> int:
        place = self.draw.randrange(len(self._workers))
        self.wait_until_ready(self._workers[place])
        return place

    def disturb(self) -> None:
        """Let the element do one thing."""
        self.element.disturb(self.scene)

    def kill(self) -> None:
        """SIGKILL, at any moment; another worker is started."""
        place = self.pick()
        time.sleep(self.draw.random())
        victim = self._workers[place]
        assert victim.is_alive(), victim.text()
        victim.send(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        self.report.faults["SIGKILL"] += 1
        self._workers[place] = self.start_worker()

    def stop_past_lease(self) -> None:
        """SIGSTOP until its leases are lost, SIGCONT."""
        victim = self._workers[self.pick()]
        victim.send(signal.SIGSTOP)
        time.sleep(self.plan.lease_seconds * 1.5)
        victim.send(signal.SIGCONT)
        self.report.faults["SIGSTOP past the lease"] += 1

    def terminate(self) -> None:
        """pg_terminate_backend for one of the workers' sessions."""

        def end_one() -> bool:
            with suppress(*CONNECTION_LOST), connect(self.scene.database) as connection:
                rows = connection.execute(
                    f"SELECT pg_terminate_backend(pid) FROM"
                    f" (SELECT pid FROM pg_stat_activity WHERE {BACKENDS} ORDER BY random() LIMIT 1) AS one"
                ).fetchall()
                return rows == [(True,)]
            return False

        wait_until(end_one, "a session to end")
        self.report.faults["pg_terminate_backend"] += 1

    def crash_server(self) -> None:
        """SIGKILL for the postmaster, a new start, and the time until the workers write again."""
        for place in range(len(self._workers)):
            self.wait_until_ready(self._workers[place])
        pid = None if self.server is None else self.server.status().pid
        assert self.server is not None and pid is not None
        os.kill(pid, signal.SIGKILL)
        self.report.faults["server kill -9"] += 1
        time.sleep(1 + self.draw.random())
        self.server.start()
        with connect(self.scene.database) as connection:
            began, before = time.monotonic(), count(connection, "written")
            # The application goes on changing pictures: there is always something to write.
            wait_until(lambda: count(connection, "written") > before, "work to go on", 60)
        self.report.resumed_seconds = max(self.report.resumed_seconds, time.monotonic() - began)


def show(report: Report) -> str:
    """Return one line for people."""
    faults = ", ".join(f"{number} x {what}" for what, number in sorted(report.faults.items()))
    changes = sum(report.changes.values())
    troubles = ", ".join(f"{what} {number}" for what, number in report.troubles().items())
    return f"{faults}; {changes} transactions of the application: {troubles}"


if __name__ == "__main__":
    sys.exit("run: make chaos")
