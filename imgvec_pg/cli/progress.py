"""Progress for people at a terminal, log lines for everyone else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from imgvec_pg.cli.logs import is_json, say

LOG_EVERY_SECONDS = 10.0


def stderr_console() -> Console:
    """Return a console on stderr, so that stdout stays for results."""
    return Console(stderr=True)


@contextmanager
def count_progress(console: Console, what: str) -> Iterator[Callable[[int], None]]:
    """Show a growing count; on a terminal only."""
    if not console.is_terminal:
        yield lambda count: None
        return
    with console.status(what) as status:
        yield lambda count: status.update(f"{what}: {count:,}")


class LogLines:
    """One line each LOG_EVERY_SECONDS: "1,280 of 20,000 images, 31.2 images/s, 10:00 left"."""

    def __init__(self, total: int, what: str = "images") -> None:
        self.total = total
        self.what = what
        self._started = self._last = time.monotonic()

    def update(self, done: int, rate: float) -> None:
        """Print a line when the last is long enough ago."""
        now = time.monotonic()
        if now - self._last < LOG_EVERY_SECONDS:
            return
        self._last = now
        left = (self.total - done) / rate if rate > 0 and self.total > done else 0.0
        say(
            f"{done:,} of {self.total:,} {self.what}, {rate:.1f} {self.what}/s, {clock(left)} left",
            done=done,
            total=self.total,
            per_second=round(rate, 1),
            seconds_left=round(left),
        )


def clock(seconds: float) -> str:
    """Return "1:02:03" or "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def image_progress(total: int, what: str = "images") -> Iterator[Callable[[int, float], None]]:
    """Give a function to call with (done, per second): a bar on a terminal, log lines elsewhere."""
    console = stderr_console()
    if not console.is_terminal or is_json():
        yield LogLines(total, what).update
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} " + what + "/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("embedding", total=total, rate=0.0)
        yield lambda done, rate: bar.update(task, completed=done, total=max(total, done), rate=rate)


@contextmanager
def index_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function to call with (phase, done, total) of an index build."""
    console = stderr_console()
    if not console.is_terminal or is_json():
        seen: set[str] = set()

        def log_phase(phase: str, done: int, total: int) -> None:
            if phase not in seen:
                seen.add(phase)
                say(f"index: {phase}", phase=phase)

        yield log_phase
        return
    with Progress(
        TextColumn("index: {task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda phase, done, total: bar.update(
            task, description=phase, completed=done if total else None, total=total or None
        )
