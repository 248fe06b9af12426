"""`make chaos`: real workers under real faults, at most 20 minutes; the last line is a summary.

Exit code 1 when a promise is not kept. Every fault is real unless its line says "injected". Writes benchmarks/results/chaos.txt.

    python benchmarks/chaos.py [--part NAME]... [--seed N]
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

import application  # noqa: E402
import beside  # noqa: E402
import faults  # noqa: E402
import mutants  # noqa: E402
import opposite  # noqa: E402
import protocol  # noqa: E402
import squall  # noqa: E402
import stages  # noqa: E402
import storm  # noqa: E402
import workers  # noqa: E402
from hypothesis import HealthCheck, Verbosity, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from imgvec_faulty_embedder import KILLER, load  # noqa: E402
from own import own_server  # noqa: E402
from smalldisk import NoSmallDiskError, small_disk  # noqa: E402

from imgvec_pg.backfill.context import PipelineOptions  # noqa: E402
from imgvec_pg.backfill.worker import Worker  # noqa: E402
from imgvec_pg.database.connect import connect  # noqa: E402
from imgvec_pg.settings import LEASE_SECONDS  # noqa: E402

RESULTS = HERE / "results" / "chaos.txt"
MOST_SECONDS = 1200.0
ZOMBIE_ROUNDS = 100
EXAMPLES = 120
ELEMENT_PLAN = storm.Plan(rows=1000, kills=5, stops=1, terminations=5, crashes=1)
MUTANT_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Line:
    """One promise: what was asked, what was seen, whether it is kept; None where it could not be run."""

    what: str
    asked: str
    seen: str
    kept: bool | None


@dataclass(frozen=True)
class Place:
    """Folders and environment of one part."""

    root: Path
    logs: Path
    environment: dict[str, str]
    draw: random.Random


@contextmanager
def place(seed: int) -> Iterator[Place]:
    """Make the folders of one part, and remove them."""
    folder = Path(tempfile.mkdtemp(prefix="imgvec-chaos-"))
    root, logs = folder / "photos", folder / "logs"
    root.mkdir()
    logs.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "plugins")}
    try:
        yield Place(root, logs, environment, random.Random(seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_protocol(at: Place) -> Iterator[Line]:
    """The state machine, whole and without each guard."""
    drawn = settings(
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        stateful_step_count=40,
        report_multiple_bugs=False,
    )
    runs = [0]

    def machine(arena: protocol.Arena) -> type[protocol.Protocol]:
        def begin(self: protocol.Protocol) -> None:
            runs[0] += 1
            protocol.Protocol.__init__(self)

        return type("Protocol", (protocol.Protocol,), {"arena": arena, "__init__": begin})

    with own_server() as own:
        arena = protocol.Arena.make(own.dsn)
        try:
            run_state_machine_as_test(machine(arena), settings=settings(drawn, max_examples=EXAMPLES))
            seen, kept = f"holds in {runs[0]} runs of 40 steps", True
        except AssertionError as error:
            seen, kept = f"broken: {error}", False
        yield Line("state machine", "each row embedded, queued or failed", seen, kept)
        for mutant in mutants.MUTANTS:
            runs[0] = 0
            with mutants.sql_from(mutant.write(at.logs / mutant.name)):
                # Rendered with the changed SQL.
                arena.stores.clear()
                caught = mutants.first_caught(machine(arena), mutant, drawn)
            kept = caught is not None
            seen = f"caught in run {runs[0]}: {' '.join(caught.split())[:44]}" if caught else "not caught"
            yield Line(f"  mutant: {mutant.name}", "caught", seen, kept)
        arena.close()


def run_storm(at: Place) -> Iterator[Line]:
    """4,000 rows, two workers, all faults, an application."""
    plan = storm.Plan()
    with own_server() as own:
        report = storm.Storm(own.server, own.dsn, at.root, at.logs, at.environment, plan, at.draw).run()
    for fault, number in sorted(report.faults.items()):
        yield Line(f"  fault: {fault}", "", f"{number} (real)", True)
    changes = ", ".join(f"{what} {number}" for what, number in sorted(report.changes.items()))
    yield Line("  the application meanwhile", "", f"{sum(report.changes.values())} ({changes})", True)
    for trouble, number in report.troubles().items():
        yield Line(f"chaos, 4,000 rows: {trouble}", "0", str(number), number == 0)
    for line in report.amiss:
        yield Line("  amiss", "", line, True)
    took = report.resumed_seconds
    yield Line("work resumed after server kill -9 and restart", "<= 10 s", f"{took:.1f} s", took <= 10)


def run_element(name: str, at: Place) -> Iterator[Line]:
    """1,000 rows, all faults, and one thing that happens to other people's databases; then small, without its guards."""
    with stages.stage(name) as on:
        plan = replace(
            ELEMENT_PLAN, crashes=int(on.server is not None), disturbances=2 * on.element.disturbances
        )
        where = at.root, at.logs, at.environment
        report = storm.Storm(on.server, on.database, *where, plan, at.draw, on.element).run()
    faults = ", ".join(f"{number} x {fault}" for fault, number in sorted(report.faults.items()))
    yield Line(f"  {name}", "", f"{faults}; {sum(report.changes.values())} transactions (real)", True)
    troubles = ", ".join(f"{trouble} {number}" for trouble, number in report.troubles().items())
    seen = "; ".join([troubles, *report.amiss])
    yield Line(f"{name}: missing, stale, wrong, double", "0", seen, not report.amiss)
    for mutant in (mutant for seen_by, mutant in stages.SEEN if seen_by == name):
        yield run_without_guard(name, mutant, at)


def run_without_guard(name: str, mutant: mutants.Mutant, at: Place) -> Line:
    """The element in small, with a guard taken out."""
    folder = Path(tempfile.mkdtemp(dir=at.root.parent))
    (folder / "photos").mkdir()
    with (
        mutants.without_guard(mutant, folder) as changed,
        stages.stage(name, MUTANT_PATIENCE_SECONDS) as on,
    ):
        environment = {**at.environment, **changed}
        scene = application.Scene(on.database, folder / "photos", at.draw, environment, 60)
        try:
            amiss = squall.run_squall(scene, on.element)
        except AssertionError as error:
            amiss = [str(error)]
    seen = f"caught: {' '.join(amiss[0].split())[:60]}" if amiss else "not caught"
    return Line(f"  mutant: {mutant.name}", "caught", seen, bool(amiss))


def run_zombies(at: Place) -> Iterator[Line]:
    """A worker stopped right before it writes, a hundred times: its rows change, or its lease is lost, meanwhile."""
    hold = at.logs / "hold"
    lost = 0
    with own_server() as own, connect(own.dsn) as connection, ExitStack() as stack:
        workers.make_table(connection, at.root, 3)
        options = PipelineOptions(root=at.root, lease_seconds=2)
        Worker(own.dsn, workers.NAME, load(), options).run()
        settings = {"IMGVEC_LEASE_SECONDS": "1", "IMGVEC_TEST_HOLD": str(hold)}
        zombie = stack.enter_context(
            workers.running(
                own.dsn,
                at.environment,
                at.logs,
                "worker",
                workers.NAME,
                script=[str(workers.STAGED)],
                **settings,
            )
        )
        workers.wait_until(lambda: "is ready" in zombie.text(), "its start", 60)
        for number in range(ZOMBIE_ROUNDS):
            hold.touch()
            for key in (1, 2, 3):
                workers.change_picture(connection, at.root, key, at.draw)
            zombie.wait_until_stopped()
            for key in (1, 2):
                workers.change_picture(connection, at.root, key, at.draw)
            if number % 2:
                time.sleep(1.1)  # its lease is lost: others take its rows too
                lost += 1
            # With its lease good, its own jobs still wait for it.
            Worker(
                own.dsn, workers.NAME, load(), PipelineOptions(root=at.root, lease_seconds=2, limit=2)
            ).run()
            zombie.send(signal.SIGCONT)
            workers.wait_until(lambda: workers.queued_keys(connection) == 0, "an empty queue", 60)
        zombie.send(signal.SIGTERM)
        assert zombie.wait() == 143, zombie.text()
        found = workers.check(connection, at.root)
    stale = sum(len(ids) for ids in found.problems.values())
    yield Line(
        f"{ZOMBIE_ROUNDS} zombie rounds, {lost} past the lease: stale", "0", f"{stale} ({found})", stale == 0
    )


def run_opposite(at: Place) -> Iterator[Line]:
    """Writers of the same rows in opposite orders, against an application."""
    with own_server() as own, connect(own.dsn) as connection:
        workers.make_table(connection, at.root, opposite.KEYS)
        rounds, deadlocks = opposite.write_in_opposite_orders(own.dsn, seconds=15)
    seen = f"{deadlocks} in {rounds} writes of 64 rows"
    yield Line("opposite-order writers: deadlocks", "0", seen, deadlocks == 0 and rounds > 10)


def run_retaken(at: Place) -> Iterator[Line]:
    """A killed worker's rows, with the lease as shipped."""
    with own_server() as own, connect(own.dsn) as connection, ExitStack() as stack:
        workers.make_table(connection, at.root, 128)
        slow = {"IMGVEC_TEST_PREPARE_SECONDS": "0.5"}
        victim = stack.enter_context(faults.worker_at(own.dsn, at.environment, at.logs, **slow))
        held = "imgvec.job WHERE token IS NOT NULL"
        workers.wait_until(lambda: workers.count(connection, held) > 0, "a lease")
        row = connection.execute("SELECT token FROM imgvec.job WHERE token IS NOT NULL LIMIT 1").fetchone()
        assert row is not None
        victim.send(signal.SIGKILL)
        victim.wait()
        began = time.monotonic()
        stack.enter_context(faults.worker_at(own.dsn, at.environment, at.logs))
        query = f"imgvec.job WHERE token = '{row[0]}'"
        workers.wait_until(lambda: workers.count(connection, query) == 0, "others to take them", 120)
        took = time.monotonic() - began
        workers.wait_until(lambda: workers.queued_keys(connection) == 0, "an empty queue", 120)
        found = workers.check(connection, at.root)
    yield Line(
        f"dead worker's rows retaken (lease {LEASE_SECONDS:.0f} s)",
        "<= 90 s",
        f"{took:.1f} s; {found}",
        took <= 90 and not found.problems,
    )


def run_black_hole(at: Place) -> Iterator[Line]:
    """A proxy that forwards nothing any more."""
    with own_server(tcp=True) as own:
        alone, returned = faults.meet_black_hole(own, at.environment, at.root, at.logs)
    yield Line("resumed after its connections fell silent", "<= 30 s", f"{alone:.1f} s", alone <= 30)
    yield Line("resumed after a silent network came back", "<= 30 s", f"{returned:.1f} s", returned <= 30)
    yield Line("  attempts charged, rows failed", "0", "0", True)


def run_disk(at: Place) -> Iterator[Line]:
    """A server on a small tmpfs, filled up."""
    try:
        with (
            small_disk(200) as disk,
            own_server(
                directory=disk / "server", settings={"min_wal_size": "32MB", "max_wal_size": "64MB"}
            ) as own,
        ):
            took = faults.meet_full_disk(own, disk, at.environment, at.root, at.logs, full_seconds=20)
        yield Line("resumed after a full disk had room again", "<= 60 s", f"{took:.1f} s", took <= 60)
        yield Line("  attempts charged, rows failed", "0", "0", True)
    except NoSmallDiskError as error:
        yield Line("resumed after a full disk had room again", "<= 60 s", f"not run: {error}", None)


def run_poison(at: Place) -> Iterator[Line]:
    """Two images that kill their process, among 4,000."""
    with own_server() as own, connect(own.dsn) as connection:
        # Listed before the two are added: each is enqueued once.
        workers.make_table(connection, at.root, 3998)
        for number in (4001, 4002):
            workers.put_file(connection, at.root, number, workers.picture(KILLER))
        environment = {**at.environment, "IMGVEC_LEASE_SECONDS": "3", "OMP_NUM_THREADS": "1"}
        done = workers.imgvec(own.dsn, environment, "backfill", workers.NAME, "--workers", "2")
        failed = workers.failures(connection)
        embedded = workers.count(connection, "imgvec.photo_grid_embedding")
    seen = f"{failed}, {embedded:,} embedded, exit {done.returncode}"
    kept = failed == {4001: "worker_died", 4002: "worker_died"} and embedded == 3998
    if not kept:
        print(done.stderr, flush=True)
    yield Line("two images that kill their process, of 4,000", "those two fail", seen, kept)


def run_beside(at: Place) -> Iterator[Line]:
    """An application at full speed, with two workers beside it and without."""
    safe = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
    with own_server(settings=safe) as own:
        seen = beside.measure_beside(own, at.environment, at.root, at.logs)
    kept = seen.ratio <= 1.1
    for name, (p50, p99) in (("without workers", seen.without), ("with two workers", seen.with_workers)):
        yield Line(f"  application, {name}", "", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", True)
    yield Line(
        "application's p99 with workers by that without",
        "<= 1.1",
        f"{seen.ratio:.2f} (median of 15 pairs of 3 s, {seen.statements:,} statements, {seen.written:,} vectors)",
        kept,
    )


PARTS: dict[str, Callable[[Place], Iterator[Line]]] = {
    "protocol": run_protocol,
    "storm": run_storm,
    **{name: partial(run_element, name) for name in stages.NAMES if name != "nothing"},
    "zombies": run_zombies,
    "opposite": run_opposite,
    "black-hole": run_black_hole,
    "disk": run_disk,
    "retaken": run_retaken,
    "poison": run_poison,
    "beside": run_beside,
}


def main() -> int:
    """Run the parts asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    began, lines = time.monotonic(), []
    print(f"seed {seed}", flush=True)
    for name in arguments.part or PARTS:
        if time.monotonic() - began > MOST_SECONDS:
            lines.append(Line(f"part {name}", "run", "out of time", False))
        else:
            run_part(name, seed, lines)
        if not arguments.part:
            # After each part, or a run that is ended before its end leaves nothing.
            keep(lines, seed, summary_of(lines, began), None if name == [*PARTS][-1] else name)
    print(summary_of(lines, began))
    return 1 if any(line.kept is False for line in lines) else 0


def run_part(name: str, seed: int, lines: list[Line]) -> None:
    """Run a part, print its lines as they come and append them."""
    started = time.monotonic()
    try:
        with place(seed) as at:
            for line in PARTS[name](at):
                lines.append(line)
                print(shown(line), flush=True)
    except Exception as error:  # a part that breaks is a promise not kept; the others are still run
        lines.append(Line(f"part {name}", "run", f"broke: {' '.join(str(error).split())[:200]}", False))
        print(shown(lines[-1]), flush=True)
    print(f"  ({name}: {time.monotonic() - started:.0f} s)", flush=True)


def summary_of(lines: list[Line], began: float) -> str:
    """Return the last line of the table."""
    missed, unrun = (sum(line.kept is kept for line in lines) for kept in (False, None))
    return (
        f"chaos: {sum(bool(line.asked) for line in lines)} promises, {missed} not kept, {unrun} not run, "
        f"{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def keep(lines: list[Line], seed: int, summary: str, last: str | None) -> None:
    """Write the table; `last` is the part that it ends with, None of a whole run."""
    head = (
        f"make chaos, seed {seed}; every fault is real (signals, kill -9, a proxy on loopback, a full tmpfs)"
    )
    end = summary if last is None else f"{summary}; ended after the part {last}"
    RESULTS.write_text("\n".join([head, "", *map(shown, lines), "", end]) + "\n")


def shown(line: Line) -> str:
    """Return a line of the table."""
    verdict = {True: "", False: "  << NOT KEPT", None: "  << not run"}[line.kept]
    asked = f"[{line.asked}]" if line.asked else ""
    return f"{line.what:<52} {asked:<38} {line.seen}{verdict}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
