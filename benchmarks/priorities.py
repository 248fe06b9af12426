"""What an application notices of two workers beside it, by the priority of the workers' processes and by their throttles.

Run: python benchmarks/priorities.py [--rounds N] [--seconds S] [--pace STATEMENTS/S]

Without --pace two clients ask without a pause, which takes every core of two. With it so many statements a second come at random,
whatever the earlier ones take, as from people: the time of each is from when it was due.

Phases without workers and with those of each kind take turns, so that what else the machine does meets all alike. The ratio
of a kind is the median, over the rounds, of the application's p99 with its workers by that of the same round without. What the
workers' sessions compute in the server remains where the workers run on another machine. The table printed is kept in
benchmarks/results/priorities.txt.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

from beside import SETTLE_SECONDS, percentile, play, set_running  # noqa: E402
from faults import worker_at  # noqa: E402
from own import own_server  # noqa: E402
from workers import Running, make_table  # noqa: E402

from imgvec_pg.database.connect import Connection, connect  # noqa: E402

WITHOUT = "no workers"
NICE = ("nice", "-n", "19")
# Linux weighs sessions before processes (sched_autogroup_enabled), and each of PostgreSQL's processes has a session of its own.
LOW = ("setsid", "sh", "-c", 'echo 10 > /proc/self/autogroup; exec nice -n 10 "$@"', "sh")
LOWEST = ("setsid", "sh", "-c", 'echo 19 > /proc/self/autogroup; exec nice -n 19 "$@"', "sh")
KINDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "as they are": ((), ()),
    "nice 19": (NICE, ()),
    "nice 19, SCHED_BATCH": ((*NICE, "chrt", "--batch", "0"), ()),
    "SCHED_IDLE": (("chrt", "--idle", "0"), ()),
    "session 10": (LOW, ()),
    "session 10, share 4 % each": (LOW, ("--server-share", "4")),
    "session 19": (LOWEST, ()),
    "session 19, batches of 8": (LOWEST, ("--batch-size", "8")),
    "session 19, 20 images/s each": (LOWEST, ("--rate", "20")),
    "nice 19, share 4 % each": (NICE, ("--server-share", "4")),
    "nice 19, share 1 % each": (NICE, ("--server-share", "1")),
    "session 19, share 10 % each": (LOWEST, ("--server-share", "10")),
    "session 19, share 4 % each": (LOWEST, ("--server-share", "4")),
    "session 19, share 1 % each": (LOWEST, ("--server-share", "1")),
}
"""How each kind of worker is started: the command before it, its own options."""


@dataclass
class Phase:
    """One turn: ms of each statement, seconds, vectors written, CPU seconds of the workers' sessions, bytes of WAL of all."""

    times: list[float]
    seconds: float
    written: int
    server_seconds: float
    wal_bytes: float


@dataclass
class Kind:
    """Two workers started in one way, and their turns."""

    workers: list[Running] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)


def server_seconds(connection: Connection) -> float:
    """Return the CPU time that all living sessions of workers have taken in the server."""
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'imgvec worker%'"
    ).fetchall()
    found = 0.0
    for (pid,) in rows:
        try:
            found += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue
    return found


def wal_so_far(connection: Connection) -> float:
    """Return the bytes of WAL since the server's beginning."""
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float").fetchone()
    assert row is not None
    return float(row[0])


def written_since(connection: Connection, began: datetime) -> int:
    """Return the rows whose vector was written since; the statistics of PostgreSQL come seconds later."""
    row = connection.execute(
        "SELECT count(*) FROM imgvec.photo_grid_embedding WHERE embedded_at >= %s", [began]
    ).fetchone()
    assert row is not None
    return int(row[0])


def measure(
    rounds: int,
    seconds: float,
    kinds: Sequence[str],
    pace: float | None = None,
    rows: int = 2000,
    clients: int = 2,
) -> dict[str, list[Phase]]:
    """Let the application and each kind of worker take turns."""
    folder = Path(tempfile.mkdtemp(prefix="imgvec-priorities-"))
    root, logs = folder / "photos", folder / "logs"
    root.mkdir()
    logs.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "plugins")}
    settings = {"IMGVEC_TEST_PREPARE_SECONDS": "0.02", "OMP_NUM_THREADS": "1"}
    safe = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_connections": "80"}
    found: dict[str, list[Phase]] = {name: [] for name in (WITHOUT, *kinds)}
    try:
        with own_server(settings=safe) as own, connect(own.dsn) as connection, ExitStack() as stack:
            make_table(connection, root, rows)
            connection.execute(
                "DROP TRIGGER note ON imgvec.job; DROP TRIGGER note ON imgvec.photo_grid_embedding; DROP TRIGGER note ON photo"
            )
            workers: dict[str, list[Running]] = {WITHOUT: []}
            for name in kinds:
                before, options = KINDS[name]
                workers[name] = [
                    stack.enter_context(
                        worker_at(own.dsn, environment, logs, *options, before=before, **settings)
                    )
                    for _ in range(2)
                ]
                set_running(connection, workers[name], False)
            draw = random.Random(1)
            for number in range(rounds):
                turns = list(found)
                draw.shuffle(turns)
                for name in turns:
                    found[name].append(
                        turn(own.dsn, connection, workers[name], seconds, clients, rows, number, pace)
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def turn(
    dsn: str,
    connection: Connection,
    workers: Sequence[Running],
    seconds: float,
    clients: int,
    rows: int,
    seed: int,
    pace: float | None,
) -> Phase:
    """Run one phase: the same statements in each of a round."""
    set_running(connection, workers, True)
    time.sleep(SETTLE_SECONDS)
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    used, began = server_seconds(connection), time.monotonic()
    wal = wal_so_far(connection)
    times = play(dsn, seconds, clients, rows, seed, pace)
    took, used = time.monotonic() - began, server_seconds(connection) - used
    wal = wal_so_far(connection) - wal
    set_running(connection, workers, False)
    time.sleep(0.2)
    return Phase(times, took, written_since(connection, row[0]), used, wal)


def table(found: dict[str, list[Phase]]) -> str:
    """Return the lines to keep."""
    lines = [
        f"{'workers':30}{'p50 ms':>9}{'p99 ms':>9}{'p99 by that without':>24}{'statements/s':>14}{'vectors/s':>11}"
        f"{'server ms a vector':>20}{'WAL kB a vector':>17}"
    ]
    alone = sum(phase.wal_bytes for phase in found[WITHOUT]) / sum(
        len(phase.times) for phase in found[WITHOUT]
    )
    base = [percentile(phase.times, 99) for phase in found[WITHOUT]]
    for name, phases in found.items():
        times = [one for phase in phases for one in phase.times]
        ratios = sorted(
            percentile(phase.times, 99) / without for phase, without in zip(phases, base, strict=True)
        )
        low, high = ratios[len(ratios) // 4], ratios[len(ratios) * 3 // 4]
        spread = f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
        elapsed = sum(phase.seconds for phase in phases)
        written = sum(phase.written for phase in phases)
        cost = wal = 0.0
        if written > 50:
            cost = 1000 * sum(phase.server_seconds for phase in phases) / written
            wal = (sum(phase.wal_bytes for phase in phases) - alone * len(times)) / written / 1000
        lines.append(
            f"{name:30}{percentile(times, 50):9.2f}{percentile(times, 99):9.2f}{spread:>24}"
            f"{len(times) / elapsed:14,.0f}{written / elapsed:11.1f}{cost:20.2f}{wal:17.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--pace", type=float, help="statements a second, of all clients; as many as they can by default"
    )
    parser.add_argument("--clients", type=int, help="2 at full speed, 4 at a pace")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this one; may be repeated")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    clients = options.clients or (4 if options.pace else 2)
    kinds = options.kind or list(KINDS)
    found = measure(options.rounds, options.seconds, kinds, options.pace, clients=clients)
    speed = f"{options.pace:g} statements/s" if options.pace else "full speed"
    print(
        f"{clients} clients at {speed}, two workers; {options.rounds} rounds of {options.seconds:g} s a kind, in turns; "
        f"quartiles in brackets; {os.cpu_count()} cores, load {before:.1f} before"
    )
    print(table(found))


if __name__ == "__main__":
    main()
