"""Real workers under real faults while an application changes the table: the faults, the application, the count afterwards."""

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

import psycopg
from workers import (
    NAME,
    Check,
    Running,
    change_picture,
    check,
    count,
    make_table,
    put_file,
    queued_keys,
    random_picture,
    running,
    wait_until,
)

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.errors import ConnectionFailedError

CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError, ConnectionFailedError)
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
    lease_seconds: float = 3.0
    prepare_seconds: float = 0.03
    most_seconds: float = 600.0


@dataclass
class Report:
    """What was done and what came of it."""

    faults: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    check: Check = field(default_factory=Check)
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


@dataclass
class Storm:
    """One table, its workers, its application and a server of their own."""

    server: LocalServer
    database: str
    root: Path
    logs: Path
    environment: dict[str, str]
    plan: Plan
    draw: random.Random
    report: Report = field(default_factory=Report)
    tell: Callable[[str], None] = lambda line: None
    _stack: ExitStack = field(default_factory=ExitStack)
    _workers: list[Running] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> Report:
        """Do it all and check every row."""
        began = time.monotonic()
        with connect(self.database) as connection:
            make_table(connection, self.root, self.plan.rows)
        application = threading.Thread(target=self.play_application, args=(self.draw.randrange(10**6),))
        with self._stack:
            self._workers = [self.start_worker() for _ in range(self.plan.workers)]
            application.start()
            self._stack.callback(application.join)
            self._stack.callback(self._stop.set)
            faults: list[Callable[[], None]] = (
                [self.kill] * self.plan.kills
                + [self.stop_past_lease] * self.plan.stops
                + [self.terminate] * self.plan.terminations
                + [self.crash_server] * self.plan.crashes
            )
            self.draw.shuffle(faults)
            for fault in faults:
                assert time.monotonic() - began < self.plan.most_seconds, (
                    f"out of time after {self.report.faults}"
                )
                time.sleep(self.draw.random() * 0.5)
                fault()
            self._stop.set()
            application.join()
            with connect(self.database) as connection:
                wait_until(lambda: queued_keys(connection) == 0, "the queue to run empty", 180)
            for worker in self._workers:
                self.wait_until_ready(worker)
                worker.send(signal.SIGTERM)
                assert worker.wait() == 143, worker.text()
                assert "Traceback" not in worker.text(), worker.text()
        with connect(self.database) as connection:
            self.report.check = check(connection, self.root)
            self.report.charged = count(connection, "imgvec.failure WHERE code NOT IN ('blank', 'noted')")
        self.report.seconds = time.monotonic() - began
        return self.report

    # Faults

    def start_worker(self) -> Running:
        command = ("worker", NAME, "--batch-size", "32", "--decode-threads", "2")
        settings = {
            "IMGVEC_LEASE_SECONDS": str(self.plan.lease_seconds),
            "IMGVEC_TEST_PREPARE_SECONDS": str(self.plan.prepare_seconds),
            "OMP_NUM_THREADS": "1",
        }
        return self._stack.enter_context(
            running(self.database, self.environment, self.logs, *command, **settings)
        )

    def wait_until_ready(self, worker: Running) -> None:
        wait_until(lambda: "is ready" in worker.text() or not worker.is_alive(), "a worker's start")
        assert worker.is_alive(), worker.text()

    def pick(self) -> int:
        place = self.draw.randrange(len(self._workers))
        self.wait_until_ready(self._workers[place])
        return place

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
            with suppress(*CONNECTION_LOST), connect(self.database) as connection:
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
        pid = self.server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.report.faults["server kill -9"] += 1
        time.sleep(1 + self.draw.random())
        self.server.start()
        with connect(self.database) as connection:
            began, before = time.monotonic(), count(connection, "written")
            # The application goes on changing pictures: there is always something to write.
            wait_until(lambda: count(connection, "written") > before, "work to go on", 60)
        self.report.resumed_seconds = max(self.report.resumed_seconds, time.monotonic() - began)

    # The application

    def play_application(self, seed: int) -> None:
        """Change the table until told to stop, and go on after a lost connection, as an application does."""
        draw = random.Random(seed)
        self._next_id = self.plan.rows + 1
        self._gone: list[int] = []
        while not self._stop.is_set():
            try:
                with connect(self.database) as application:
                    while not self._stop.is_set():
                        self.change_something(application, draw)
                        time.sleep(draw.random() * 0.06)
            except CONNECTION_LOST:
                time.sleep(0.2)

    def change_something(self, application: Connection, draw: random.Random) -> None:
        """One transaction: change pictures or another column, delete, insert, bring back, or roll back."""
        kinds = {"picture": 50, "other": 20, "delete": 8, "insert": 10, "bring back": 6, "rolled back": 6}
        what = draw.choices(list(kinds), list(kinds.values()))[0]
        ids = draw.sample(range(1, self._next_id), draw.choice([1, 1, 1, 2, 20]))
        if what == "other":
            application.execute("UPDATE photo SET price = price + 1 WHERE id = ANY (%s)", [ids])
        elif what == "delete":
            rows = application.execute("DELETE FROM photo WHERE id = ANY (%s) RETURNING id", [ids[:2]])
            self._gone += [row[0] for row in rows]
        elif what == "insert":
            self._next_id += 1
            put_file(application, self.root, self._next_id - 1, random_picture(draw))
        elif what == "bring back" and self._gone:
            with suppress(psycopg.errors.UniqueViolation):  # its DELETE was lost with the connection
                put_file(
                    application,
                    self.root,
                    self._gone.pop(),
                    random_picture(draw),
                    f"back-{draw.random()}.png",
                )
        else:
            with application.transaction(force_rollback=what == "rolled back"):
                for number in sorted(ids[:5]):
                    change_picture(application, self.root, number, draw)
        self.report.changes[what] += 1


def show(report: Report) -> str:
    """Return one line for people."""
    faults = ", ".join(f"{number} x {what}" for what, number in sorted(report.faults.items()))
    changes = sum(report.changes.values())
    troubles = ", ".join(f"{what} {number}" for what, number in report.troubles().items())
    return f"{faults}; {changes} transactions of the application: {troubles}"


if __name__ == "__main__":
    sys.exit("run: make chaos")
