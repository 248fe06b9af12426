"""`imgvec backfill --workers N`: run the command as N processes, restart those that die, show progress from the queue."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

import click
import psycopg

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.cli.backfill.run_options import RunOptions
from imgvec_pg.cli.options import PROBED
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.cli.signals import leave_at_once, stop_on_signals
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import ConnectionFailedError
from imgvec_pg.processors import usable_cpus
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import MAX_DEATHS, queue_depth

WATCH_SECONDS = 0.5
TERMINATE_SECONDS = 30.0
"""How long processes have to end when the watching one fails."""
ENDED_BY_THEMSELVES = (0, 1, 2, 3, 4, 130, 143)
"""Exit codes that this program gives; anything else is a process that died."""


@dataclass
class Deaths:
    """Deaths of workers in a row while the queue gets no shorter: enough for a deadly picture in the hands of each, and then none
    is started again; a model that crashes as it is loaded should not take for ever.
    """

    may_die: int
    _in_vain: int = 0
    _shortest: float = math.inf

    def note_waiting(self, keys: int) -> None:
        """Note how many keys wait: fewer than ever before mean that those who died did not die in vain."""
        if keys < self._shortest:
            self._shortest, self._in_vain = keys, 0

    def note(self) -> bool:
        """Note a death; return whether another worker may be started."""
        self._in_vain += 1
        return self._in_vain <= self.may_die


def deaths_of(workers: int) -> Deaths:
    """Return what so many workers may die of: one death more than those alone, as the first is in company."""
    return Deaths(MAX_DEATHS * (workers + 1))


@dataclass
class WorkerProcesses:
    """Worker processes of one command.

    Attributes:
        first_error: Exit code of the first process that ended in error, None while none did.
        complaint: What that process said of it.
        died: Processes that were killed or crashed.
    """

    command: Sequence[str]
    environment: dict[str, str]
    complaints: IO[str]
    deaths: Deaths
    stats: WorkerStats = field(default_factory=WorkerStats)
    running: list["subprocess.Popen[str]"] = field(default_factory=list)
    first_error: int | None = None
    complaint: str = ""
    died: int = 0
    is_stopping: bool = False
    started: int = 0

    @property
    def counts_are_lost(self) -> bool:
        """Whether a process died, and its counts with it."""
        return self.died > 0

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Start one process."""
        self.running.append(
            subprocess.Popen(
                [*self.command, *arguments],
                env={**self.environment, "IMGVEC_WORKER_PLACE": str(self.started)},
                stdout=subprocess.PIPE,
                stderr=self.complaints,
                text=True,
            )
        )
        self.started += 1

    def look(self, can_restart: bool) -> None:
        """Collect the results of processes that have ended, and start another for each that died."""
        for process in [process for process in self.running if process.poll() is not None]:
            self.running.remove(process)
            self._collect(process, can_restart)

    def _collect(self, process: "subprocess.Popen[str]", can_restart: bool) -> None:
        output, _ = process.communicate()
        if process.returncode in (0, 4):
            summary = json.loads(output)
            self.stats.embedded += summary["embedded"]
            self.stats.failed += summary["failed"]
            self.stats.computed += summary["computed"]
        elif process.returncode in ENDED_BY_THEMSELVES:
            self.first_error = self.first_error or process.returncode
        else:
            self.died += 1
            again = self.deaths.note() and can_restart and not self.is_stopping
            self.first_error = self.first_error or (None if again else 1)
            say(
                f"a worker process died ({shown_end(process.returncode)}); its rows are taken by others"
                + (", another is started" if again else "")
            )
            if again:
                self.start()

    def terminate(self) -> None:
        """Ask all processes to finish their batch and leave."""
        self.is_stopping = True
        for process in list(self.running):
            process.terminate()

    def kill(self) -> None:
        """End all processes now; their leases run out by themselves."""
        self.is_stopping = True
        for process in list(self.running):
            process.kill()

    def end(self) -> None:
        """Leave no process behind."""
        self.terminate()
        deadline = time.monotonic() + TERMINATE_SECONDS
        for process in list(self.running):
            try:
                process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        self.running.clear()

    def reason(self) -> str:
        """Return the first line that a process left on stderr for people."""
        self.complaints.seek(0)
        lines = [line for line in self.complaints.read().splitlines() if line.startswith("imgvec: ")]
        return lines[0].removeprefix("imgvec: ") if lines else "no reason given"


class QueueWatch:
    """Polls the length of the queue, and reconnects when the connection was lost."""

    def __init__(self, dsn: str, collection: Collection) -> None:
        self._dsn = dsn
        self._collection = collection
        self._connection: Connection | None = None
        self._polling = PollingLimit()
        self._last: int | None = None

    def waiting(self) -> int | None:
        """Return the keys that wait, or did a moment ago; None while the database does not answer."""
        if not self._polling.is_due():
            return self._last
        began = time.monotonic()
        try:
            if self._connection is None:
                self._connection = connect(
                    self._dsn, application_name="imgvec backfill", prepare_threshold=None
                )
            self._last = queue_depth(self._connection, self._collection.id).waiting
        except (psycopg.Error, ConnectionFailedError):
            self.close()
            self._last = None
        self._polling.took(time.monotonic() - began)
        return self._last

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def shown_end(returncode: int) -> str:
    """Return "signal 9" or "exit code 77"."""
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


def child_command(options: RunOptions, collection: Collection) -> list[str]:
    """Return this command for one process, without the options that only the parent heeds."""
    command = [sys.executable, "-m", "imgvec_pg", "backfill", collection.name, "--no-index", "--json"]
    command += ["--parent", str(os.getpid())]
    command += ["--batch-size", "auto" if options.batch_size == PROBED else str(options.batch_size)]
    for option in ("decode_threads", "root", "weights", "device", "precision", "runtime"):
        value = getattr(options, option)
        if value is not None:
            command += [f"--{option.replace('_', '-')}", str(value)]
    if options.force_int8:
        command += ["--force-int8"]
    if options.rate is not None:
        command += ["--rate", str(options.rate / options.workers)]
    if isinstance(options.server_share_percent, float):
        command += ["--server-share", str(options.server_share_percent / options.workers)]
    if options.max_replica_lag_seconds is not None:
        command += ["--max-replica-lag", str(options.max_replica_lag_seconds)]
    for hours in options.pause_when:
        command += ["--pause-when", hours.text]
    return command


def shares(limit: int, workers: int) -> list[int]:
    """Divide a limit between processes; fewer processes than asked for when there is not a row for each."""
    count = min(limit, workers)
    return [limit // count + (place < limit % count) for place in range(count)]


def child_environment(options: RunOptions) -> dict[str, str]:
    """Return the environment of each process, which gets its part of the CPUs."""
    # Of those that this command may use: a container or taskset may leave it fewer than the machine has.
    cpus = str(max(usable_cpus() // options.workers, 1))
    # Its own complaints are read by reason(), line by line.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": cpus,
        "IMGVEC_WORKER_CPUS": cpus,
        "IMGVEC_LOG_FORMAT": "text",
    }
    # The connection string goes by the environment: arguments are there for every user to read.
    if options.dsn:
        environment["IMGVEC_DSN"] = options.dsn
    return environment


def run_processes(
    context: click.Context,
    collection: Collection,
    options: RunOptions,
    waiting: int,
    begin: Callable[[], None],
) -> WorkerProcesses:
    """Run the processes of --workers until the queue is empty or the limit is reached, and return what became of them.

    `begin` is called once a process has embedded something: its model is loaded, and is the collection's.

    A process that dies is replaced, so that a picture that kills its process is found out and the rest goes on.
    """
    workers = options.workers
    environment = child_environment(options)
    limit = options.limit
    watch = QueueWatch(options.dsn, collection)
    with tempfile.TemporaryFile("w+") as complaints:
        fleet = WorkerProcesses(
            child_command(options, collection), environment, complaints, deaths_of(workers)
        )

        def leave() -> None:
            fleet.kill()
            leave_at_once()

        try:
            with image_progress(waiting) as show, stop_on_signals(fleet.terminate, leave) as stopped:
                for arguments in (
                    [["--limit", str(n)] for n in shares(limit, workers)] if limit else [[]] * workers
                ):
                    fleet.start(arguments)
                while fleet.running:
                    time.sleep(WATCH_SECONDS)
                    fleet.look(can_restart=limit is None)
                    left = watch.waiting()
                    if left is not None:
                        fleet.deaths.note_waiting(left)
                        done = max(waiting - left, 0)
                        if done:
                            begin()
                        show(done, done / fleet.stats.seconds())
        finally:
            fleet.end()
            watch.close()
        fleet.stats.finish()
        if fleet.first_error is not None:
            fleet.complaint = fleet.reason()
        if stopped.exit_code is not None:
            say("stopped; run the same command to go on")
            context.exit(stopped.exit_code)
    return fleet
