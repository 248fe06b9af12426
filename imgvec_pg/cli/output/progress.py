"""Progress: a bar on a terminal, log lines elsewhere."""

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

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.cli.output.messages import is_json, say
from imgvec_pg.text import clock

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
    """One line each LOG_EVERY_SECONDS: "1,280 of 20,000 images, 31.2 images/s, 10:00 left".

    No time left is shown while nothing gets done: it would be how long the others took.
    """

    def __init__(self, total: int, what: str = "images") -> None:
        self.total = total
        self.what = what
        self._last = time.monotonic()
        self._last_done = 0

    def update(self, done: int, rate: float) -> None:
        """Print a line when the last is long enough ago."""
        now = time.monotonic()
        if now - self._last < LOG_EVERY_SECONDS:
            return
        self._last = now
        stands, self._last_done = done == self._last_done, done
        left = None if stands or rate <= 0 else max(self.total - done, 0) / rate
        say(
            f"{done:,} of {self.total:,} {self.what}, {rate:.1f} {self.what}/s, "
            + ("time left unknown" if left is None else f"{clock(left)} left"),
            done=done,
            total=self.total,
            per_second=round(rate, 1),
            seconds_left=None if left is None else round(left),
        )


class WorkerLines:
    """Stats of a long-running worker, at most one line each LOG_EVERY_SECONDS, and one at its end."""

    def __init__(self, followed: str) -> None:
        self.followed = followed
        self._pace = PollingLimit(LOG_EVERY_SECONDS)
        self._told: tuple[int, int] | None = None

    def update(self, stats: WorkerStats) -> None:
        """Print a line when the last is long enough ago."""
        if self._pace.is_due():
            self._pace.took(0.0)
            self.tell(stats)

    def tell(self, stats: WorkerStats) -> None:
        """Print a line, unless it would be the last one again."""
        done = stats.embedded, stats.failed
        if done == self._told:
            return
        self._told = done
        say(
            f"{self.followed}: {stats.embedded:,} embedded, {stats.failed:,} failed",
            collection=self.followed,
            embedded=stats.embedded,
            failed=stats.failed,
        )


@contextmanager
def image_progress(
    total: int, what: str = "images", doing: str = "embedding"
) -> Iterator[Callable[[int, float], None]]:
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
        task = bar.add_task(doing, total=total, rate=0.0)
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
