"""What is said of work under way: seldom, and nothing false."""

import pytest

from imgvec_pg.backfill import backoff
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.cli.output import progress
from imgvec_pg.cli.output.progress import LOG_EVERY_SECONDS, LogLines, WorkerLines


class Clock:
    """The monotonic clock of the modules under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(backoff, "time", made)
    return made


def test_no_time_is_told_while_nothing_gets_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = LogLines(76)
    for done, rate in ((70, 7.0), (73, 2.0), (73, 1.0)):
        clock.now += LOG_EVERY_SECONDS
        lines.update(done, rate)
    assert capsys.readouterr().err.splitlines() == [
        "70 of 76 images, 7.0 images/s, 0:01 left",
        "73 of 76 images, 2.0 images/s, 0:02 left",
        "73 of 76 images, 1.0 images/s, time left unknown",
    ]


def test_a_worker_does_not_write_a_line_for_each_picture(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, stats = WorkerLines("photos"), WorkerStats()
    for _ in range(25):
        stats.embedded += 1
        lines.update(stats)
        clock.now += 1.0
    lines.tell(stats)
    lines.tell(stats)
    assert capsys.readouterr().err.splitlines() == [
        f"photos: {count} embedded, 0 failed" for count in (1, 11, 21, 25)
    ]
