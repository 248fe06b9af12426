"""One size being measured: its server, what is printed as it goes, and the figures kept."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server_use import Use, watched

from imgvec_pg.database.connect import Connection
from millions.vectors import Generator, Nearest

NAME = "item"
COMMAND_SECONDS = 600.0


@dataclass
class Run:
    """A size.

    Attributes:
        memory: maintenance_work_mem for builds, such as 8GB.
        vacuum_minutes: After which VACUUM is ended.
        say: Prints a line of the table.
        figures: All that was measured, by name, as JSON has it.
        nearest: The true neighbours of the queries, by filter; "all" without one.
    """

    dsn: str
    connection: Connection
    postmaster: int
    rows: int
    generator: Generator
    folder: Path
    memory: str
    vacuum_minutes: int
    say: Callable[[str], None]
    figures: dict[str, Any] = field(default_factory=dict)
    nearest: dict[str, Nearest] = field(default_factory=dict)

    @contextmanager
    def measured(self, name: str, what: str, rows: int) -> Iterator[Use]:
        """Print and keep what some work took, for each of so many rows."""
        with watched(self.postmaster) as use:
            yield use
        rate, each = rows / max(use.seconds, 1e-9), 1e6 * use.cpu / rows
        self.figures[name] = {
            "rows": rows,
            "seconds": use.seconds,
            "server_cpu_seconds": use.cpu,
            "rows_per_second": rate,
            "rows_per_cpu_second": rows / max(use.cpu, 1e-9),
            "anonymous_bytes": use.anonymous,
        }
        self.say(
            f"  {what:<42}{use.seconds:>10,.1f} s {rate:>12,.0f} rows/s   server {use.cpu:>9,.1f} s CPU, {each:>8,.1f} us a row, "
            f"{use.anonymous >> 20:,} MB"
        )

    def value(self, statement: str, parameters: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - whatever it gives
        """Return the first column of the only row."""
        row = self.connection.execute(statement, parameters).fetchone()  # type: ignore[arg-type]
        return None if row is None else row[0]

    def command(self, *arguments: object) -> "Ended":
        """Run imgvec in a process, COMMAND_SECONDS at most."""
        command = [sys.executable, "-m", "imgvec_pg", *map(str, arguments), "--dsn", self.dsn]
        began, peak = time.perf_counter(), 0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with process:
            while True:
                try:
                    text, _ = process.communicate(timeout=0.25)
                    return Ended(process.returncode, time.perf_counter() - began, peak, text)
                except subprocess.TimeoutExpired:
                    peak = max(peak, peak_bytes(process.pid))
                    if time.perf_counter() - began > COMMAND_SECONDS and arguments[0] not in (
                        "index",
                        "import",
                    ):
                        process.terminate()


@dataclass(frozen=True)
class Ended:
    """What a command did: its exit code, seconds, the most memory it had (seen each 0.25 s), and what it printed."""

    code: int
    seconds: float
    peak: int
    text: str

    @property
    def last_line(self) -> str:
        """The last line printed."""
        return (self.text.strip().splitlines() or [""])[-1]


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had (VmHWM of proc(5)), 0 if it ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
