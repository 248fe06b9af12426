"""What an application at full speed notices of workers beside it: the latency of its statements, with and without them."""

import random
import signal
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faults import worker_at
from own import Own
from workers import Running, count, make_table, random_picture

from imgvec_pg.database.connect import Connection, connect

SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Beside:
    """Milliseconds at p50 and p99 without and with workers, statements measured, vectors written meanwhile.

    ratio: median over the rounds of p99 with workers by p99 without.
    """

    without: tuple[float, float]
    with_workers: tuple[float, float]
    ratio: float
    statements: int
    written: int


def measure_beside(
    own: Own,
    environment: dict[str, str],
    root: Path,
    logs: Path,
    rounds: int = 15,
    seconds: float = 3.0,
    clients: int = 2,
    rows: int = 2000,
) -> Beside:
    """Alternate phases in which two workers run and are stopped.

    The model takes its time and hardly a core, as on a GPU; the workers hold back as `imgvec worker` does by default, each in a
    session of its own, as a service has one. They have work all along, since the application changes pictures.
    """
    with connect(own.dsn) as connection, ExitStack() as stack:
        make_table(connection, root, rows)
        # The notes of the tests' own triggers are not the workers' cost.
        connection.execute(
            "DROP TRIGGER note ON imgvec.job; DROP TRIGGER note ON imgvec.photo_grid_embedding; DROP TRIGGER note ON photo"
        )
        settings = {"IMGVEC_TEST_PREPARE_SECONDS": "0.02", "OMP_NUM_THREADS": "1"}
        running = [
            stack.enter_context(
                worker_at(own.dsn, environment, logs, before=("setsid",), holds_back=True, **settings)
            )
            for _ in range(2)
        ]
        times: dict[bool, list[list[float]]] = {False: [], True: []}
        before = count(connection, "imgvec.photo_grid_embedding WHERE version > 0")
        for number in range(rounds * 2):
            # Turn about, so that neither is always first.
            works = (number + number // 2) % 2 == 1
            set_running(connection, running, works)
            time.sleep(SETTLE_SECONDS)
            times[works].append(play(own.dsn, seconds, clients, rows, number))
        set_running(connection, running, True)
        written = count(connection, "imgvec.photo_grid_embedding WHERE version > 0") - before
    ratios = [
        percentile(with_them, 99) / percentile(without, 99)
        for without, with_them in zip(*times.values(), strict=True)
    ]
    pooled = {works: [one for phase in phases for one in phase] for works, phases in times.items()}
    return Beside(
        (percentile(pooled[False], 50), percentile(pooled[False], 99)),
        (percentile(pooled[True], 50), percentile(pooled[True], 99)),
        statistics.median(ratios),
        sum(map(len, pooled.values())),
        written,
    )


def set_running(connection: Connection, running: Sequence[Running], works: bool) -> None:
    """Stop the workers between two transactions, or let them go on."""
    for worker in running:
        worker.send(signal.SIGCONT)
    if works:
        return
    busy = "pg_stat_activity WHERE application_name LIKE 'imgvec worker%' AND xact_start IS NOT NULL"
    for _ in range(200):
        for worker in running:
            worker.send(signal.SIGSTOP)
        time.sleep(0.02)
        if not count(connection, busy):
            return
        for worker in running:
            worker.send(signal.SIGCONT)
        time.sleep(0.005)
    raise AssertionError("the workers were in a transaction each time they were stopped")


def play(
    dsn: str, seconds: float, clients: int, rows: int, seed: int, pace: float | None = None
) -> list[float]:
    """Run clients; return the milliseconds of each statement.

    Args:
        pace: Statements a second that are due of all clients together, at random intervals; None for no pause between them. A
            statement that is late since others took long is counted from when it was due.
    """
    times: list[float] = []

    def client(place: int) -> None:
        draw = random.Random(seed * clients + place)
        pictures = [random_picture(draw) for _ in range(20)]
        with connect(dsn) as application:
            until = time.monotonic() + seconds
            due = time.monotonic()
            while (began := time.monotonic()) < until:
                if pace is not None:
                    due += draw.expovariate(pace / clients)
                    time.sleep(max(due - time.monotonic(), 0))
                    began = due
                what, number = draw.random(), draw.randrange(1, rows)
                if what < 0.6:
                    application.execute("UPDATE photo SET price = price + 1 WHERE id = %s", [number])
                elif what < 0.8:
                    application.execute(
                        "UPDATE photo SET path = NULL, content = %s WHERE id = %s",
                        [draw.choice(pictures), number],
                    )
                else:
                    application.execute(
                        "INSERT INTO photo (id, content) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                        [draw.randrange(rows + 1, 10**9), draw.choice(pictures)],
                    )
                times.append((time.monotonic() - began) * 1000)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many per cent do not exceed."""
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]
