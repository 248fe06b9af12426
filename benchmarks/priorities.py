"""What an application notices of two workers beside it, by how they hold back: the p99 of its statements, with and without them.

Run: python benchmarks/priorities.py [--scene NAME]... [--kind NAME]... [--rounds N] [--seconds S]

Scenes: "full speed", two clients that ask without a pause, which takes every core of two; "paced", 1,000 statements a second at
random, as from people, each timed from when it was due; "ViT-B-32", the same beside workers that compute a real network, with
seeded weights, on the same processors (the others have a model that takes its time and hardly a core, as on a GPU).

Turns without workers and with those of each kind alternate, so that what else the machine does meets all alike. The ratio
of a kind is the median, over the rounds, of the application's p99 with its workers by that of the same round without. "elsewhere"
is the server's part alone, as of workers on another machine (benchmarks/worker_statements.py).

Exit code 1 where workers as they are raise the p99 of a scene by more than a tenth, 2 where others are at work on the
machine, whose load hides what is looked for. The table printed is kept in benchmarks/results/priorities.txt.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

from beside import SETTLE_SECONDS, percentile, play, set_running  # noqa: E402
from own import own_server  # noqa: E402
from workers import NAME, Running, make_table, running, wait_until  # noqa: E402

from imgvec_pg.database.connect import Connection, connect  # noqa: E402
from imgvec_pg.embedding.catalog import describe_model  # noqa: E402
from imgvec_pg.embedding.torch_models.random_weights import write_random_weights  # noqa: E402

WITHOUT, AS_THEY_ARE = "no workers", "as they are"
MOST_RATIO = 1.1
QUIET_LOAD = 1.0
STATEMENTS = Path(__file__).with_name("worker_statements.py")
# A session of its own, as a service has one: Linux weighs those first where sched_autogroup_enabled is 1.
SERVICE = ("setsid",)
SHELL = ("setsid", "sh", "-c", 'echo 19 > /proc/self/autogroup; exec nice -n 19 "$@"', "sh")
ELSEWHERE = ("elsewhere",)
KINDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    AS_THEY_ARE: (SERVICE, ()),
    "share 2 %": (SERVICE, ("--server-share", "2")),
    "share 4 %": (SERVICE, ("--server-share", "4")),
    "share 10 %": (SERVICE, ("--server-share", "10")),
    "share 1 %, nice 0": (SERVICE, ("--nice", "0")),
    "share 1 %, session at 19": (SHELL, ()),
    "no share, 20 images/s": (SERVICE, ("--server-share", "100", "--rate", "20")),
    "no share": (SERVICE, ("--server-share", "100")),
    "no share, nice 0": (SERVICE, ("--server-share", "100", "--nice", "0")),
    "elsewhere, share 1 %": (ELSEWHERE, ("--server-share", "1")),
    "elsewhere, no share": (ELSEWHERE, ()),
}
"""How each kind of worker is started: the command before it, its own options."""


@dataclass(frozen=True)
class Scene:
    """What the application and the workers do.

    Attributes:
        clients: Sessions of the application.
        pace: Statements a second of all; None for as many as they can.
        model: Architecture that the workers compute; "" for the test's model, which takes no processor.
        kinds: Measured unless others are asked for.
    """

    clients: int
    pace: float | None
    model: str
    kinds: tuple[str, ...]


USUAL = (AS_THEY_ARE, "share 4 %", "no share, 20 images/s", "no share, nice 0", "elsewhere, no share")
SCENES = {
    "full speed": Scene(2, None, "", USUAL),
    "paced": Scene(4, 1000.0, "", USUAL),
    "ViT-B-32": Scene(4, 1000.0, "ViT-B-32/laion2b_s34b_b79k", (AS_THEY_ARE, "no share", "no share, nice 0")),
}


@dataclass
class Phase:
    """One turn: ms of each statement, seconds, vectors written, CPU seconds of the workers' sessions."""

    times: list[float]
    seconds: float
    written: int
    server_seconds: float


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


def written_since(connection: Connection, began: datetime) -> int:
    """Return the rows whose vector was written since; the statistics of PostgreSQL come seconds later."""
    row = connection.execute(
        "SELECT count(*) FROM imgvec.photo_grid_embedding WHERE embedded_at >= %s", [began]
    ).fetchone()
    assert row is not None
    return int(row[0])


def measure(
    scene: Scene, kinds: Sequence[str], rounds: int, seconds: float, rows: int
) -> dict[str, list[Phase]]:
    """Let the application and each kind of worker take turns."""
    found: dict[str, list[Phase]] = {name: [] for name in (WITHOUT, *kinds)}
    # shared_buffers hold all, and commits wait for the disk, as where it matters.
    safe = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_connections": "80"}
    folder = Path(tempfile.mkdtemp(prefix="imgvec-priorities-"))
    try:
        with own_server(settings=safe) as own, connect(own.dsn) as connection, ExitStack() as stack:
            start = prepare(scene, connection, folder, rows)
            workers: dict[str, list[Running]] = {WITHOUT: []}
            for name in kinds:
                workers[name] = [stack.enter_context(start(own.dsn, name)) for _ in range(2)]
                set_running(connection, workers[name], False)
            draw = random.Random(1)
            for number in range(rounds):
                turns = list(found)
                draw.shuffle(turns)
                for name in turns:
                    found[name].append(turn(own.dsn, connection, workers[name], seconds, scene, rows, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def prepare(
    scene: Scene, connection: Connection, folder: Path, rows: int
) -> Callable[[str, str], AbstractContextManager[Running]]:
    """Make the table and the model; return what starts a worker of a kind."""
    root, logs = folder / "photos", folder / "logs"
    root.mkdir()
    logs.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "plugins")}
    if scene.model:
        weights = folder / "weights.safetensors"
        described = describe_model(scene.model)
        write_random_weights(described, weights)
        own = ("--weights", str(weights), "--device", "cpu")
        make_table(connection, root, rows, scene.model, dimensions=described.dimensions)
    else:
        own = ()
        environment |= {"IMGVEC_TEST_PREPARE_SECONDS": "0.02", "OMP_NUM_THREADS": "1"}
        make_table(connection, root, rows)
    connection.execute(
        "DROP TRIGGER note ON imgvec.job; DROP TRIGGER note ON imgvec.photo_grid_embedding; DROP TRIGGER note ON photo;"
        "CREATE INDEX ON imgvec.photo_grid_embedding USING hnsw (embedding halfvec_cosine_ops)"
    )

    @contextmanager
    def start(dsn: str, name: str) -> Iterator[Running]:
        before, options = KINDS[name]
        if before == ELSEWHERE:
            command = running(dsn, environment, logs, *options, script=[str(STATEMENTS)])
        else:
            arguments = ("worker", NAME, *own, *options)
            command = running(dsn, environment, logs, *arguments, before=before, holds_back=True)
        with command as started:
            wait_until(lambda: "is ready" in started.text() or not started.is_alive(), "its start")
            assert started.is_alive(), started.text()
            yield started

    return start


def turn(
    dsn: str,
    connection: Connection,
    workers: Sequence[Running],
    seconds: float,
    scene: Scene,
    rows: int,
    seed: int,
) -> Phase:
    """Run one phase: the same statements in each of a round."""
    # What the scene's own files and the turn before left to be written makes each COMMIT wait for the disk otherwise.
    connection.execute("CHECKPOINT")
    os.sync()
    set_running(connection, workers, True)
    time.sleep(SETTLE_SECONDS)
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    used, began = server_seconds(connection), time.monotonic()
    times = play(dsn, seconds, scene.clients, rows, seed, scene.pace)
    took, used = time.monotonic() - began, server_seconds(connection) - used
    set_running(connection, workers, False)
    time.sleep(0.2)
    return Phase(times, took, written_since(connection, row[0]), used)


def ratios(phases: Sequence[Phase], without: Sequence[Phase]) -> list[float]:
    """Return the p99 of each turn by that of the same round without workers, ascending."""
    return sorted(
        percentile(one.times, 99) / percentile(base.times, 99)
        for one, base in zip(phases, without, strict=True)
    )


def table(found: dict[str, list[Phase]]) -> str:
    """Return the lines to keep."""
    lines = [
        f"{'workers':26}{'p50 ms':>8}{'p99 ms':>8}{'p99 by that without':>23}{'statements/s':>14}{'vectors/s':>11}"
        f"{'server ms a vector':>20}"
    ]
    for name, phases in found.items():
        times = [one for phase in phases for one in phase.times]
        each = ratios(phases, found[WITHOUT])
        spread = (
            f"{statistics.median(each):.2f} ({each[len(each) // 4]:.2f} to {each[len(each) * 3 // 4]:.2f})"
        )
        elapsed = sum(phase.seconds for phase in phases)
        written = sum(phase.written for phase in phases)
        cost = 1000 * sum(phase.server_seconds for phase in phases) / written if written > 50 else 0.0
        lines.append(
            f"{name:26}{percentile(times, 50):8.2f}{percentile(times, 99):8.2f}{spread:>23}"
            f"{len(times) / elapsed:14,.0f}{written / elapsed:11.1f}{cost:20.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print the tables, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument(
        "--scene", action="append", choices=list(SCENES), help="only this one; may be repeated"
    )
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this one; may be repeated")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"Two workers; {options.rounds} rounds of {options.seconds:g} s a kind, in turns; medians, quartiles in brackets; "
        f"{os.cpu_count()} cores, load {load:.1f} before"
    )
    measured: dict[str, float] = {}
    for name in options.scene or SCENES:
        scene = SCENES[name]
        kinds = options.kind or scene.kinds
        speed = f"{scene.pace:g} statements/s" if scene.pace else "full speed"
        found = measure(scene, kinds, options.rounds, options.seconds, options.rows)
        print(
            f"\n{name}: {scene.clients} clients at {speed}, model {scene.model or 'that waits'}\n{table(found)}",
            flush=True,
        )
        if AS_THEY_ARE in found:
            measured[name] = statistics.median(ratios(found[AS_THEY_ARE], found[WITHOUT]))
    return verdict(measured, load)


def verdict(measured: dict[str, float], load: float) -> int:
    """Say whether workers as they are keep the application's p99 in each scene, and return the exit code."""
    if not measured:
        return 0
    missed = [f"{name} {ratio:.2f}" for name, ratio in measured.items() if ratio > MOST_RATIO]
    kept = "not kept: " + ", ".join(missed) if missed else "kept"
    if load > QUIET_LOAD:
        kept = f"no verdict, as the load was {load:.1f} before, more than {QUIET_LOAD:g} ({kept})"
    print(f"\np99 beside workers as they are at most {MOST_RATIO:g} times that without: {kept}")
    return 2 if load > QUIET_LOAD else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
