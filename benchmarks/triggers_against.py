"""What the triggers cost the application, against another state of this project: both in one run, in turns.

Run: python benchmarks/triggers_against.py FOLDER [--rows N] [--rounds N] [--json FILE]

FOLDER is a checkout of the other state (`git worktree add FOLDER COMMIT`). Each state has a private server of its own and its
own benchmarks/triggers.py; CPU time of the server process is measured, in pairs, and the ratio is the median over the pairs.
The table printed is kept in benchmarks/results/triggers_against.txt.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent.parent
SETUPS = ("none", "collection, fk", "collection, no fk")
MEASURE = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/benchmarks")
import triggers
from imgvec_pg.database.connect import connect
from imgvec_pg.database.migrations import upgrade
with triggers.server_dsn() as dsn, connect(dsn) as connection:
    upgrade(connection)
    for line in sys.stdin:
        setup, rows = json.loads(line)
        found = triggers.measure(connection, rows, triggers.SETUPS[setup])
        print(json.dumps({name: taken for name, (taken, _) in found.items()}), flush=True)
"""


@dataclass(frozen=True)
class State:
    """A checkout at work: it measures a setup each time that it is asked."""

    questions: IO[str]
    answers: IO[str]

    def measure(self, setup: str, rows: int) -> dict[str, float]:
        """Return the milliseconds of each statement."""
        self.questions.write(json.dumps([setup, rows]) + "\n")
        self.questions.flush()
        return dict(json.loads(self.answers.readline()))


@contextmanager
def at_work(checkout: Path) -> Iterator[State]:
    """Run a checkout's own measurement in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "IMGVEC_TEST_DSN"}
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE, str(checkout)],
        env={**environment, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield State(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.wait()


def commit(checkout: Path) -> str:
    """Return the short hash of what is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    ratios: dict[str, float] = {}
    pairs: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {setup: [] for setup in SETUPS}
    with ExitStack() as stack:
        before = stack.enter_context(at_work(options.folder.resolve()))
        now = stack.enter_context(at_work(HERE))
        for number in range(options.rounds):
            for setup in SETUPS:
                # Turn about, so that neither is always first.
                order = (before, now) if number % 2 else (now, before)
                found = {id(state): state.measure(setup, options.rows) for state in order}
                pairs[setup].append((found[id(before)], found[id(now)]))
    print(
        f"{commit(options.folder)} before, {commit(HERE)} now; {options.rows:,} rows, medians of {options.rounds} pairs, "
        "milliseconds of CPU time of the server process\n"
        "Statements 'of one row' run 1,000 times: their milliseconds are microseconds a statement."
    )
    print(f"{'statement':42}" + "".join(f"{setup:>18}{'now':>8}{'ratio':>8}" for setup in SETUPS))
    for name in pairs["none"][0][0]:
        line = f"{name:42}"
        for setup in SETUPS:
            both = [(old[name], new[name]) for old, new in pairs[setup]]
            old, new = (statistics.median(times) for times in zip(*both, strict=True))
            ratios[f"{setup}: {name}"] = statistics.median(b / a for a, b in both)
            line += f"{old:18.0f}{new:8.0f}{ratios[f'{setup}: {name}']:8.2f}"
        print(line)
    if options.json:
        options.json.write_text(json.dumps(ratios))


if __name__ == "__main__":
    main()
