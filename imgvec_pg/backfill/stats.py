"""What a run has done so far."""

import time
from collections import Counter
from dataclasses import dataclass, field

from imgvec_pg.backfill.stages import StageTimes
from imgvec_pg.store.embeddings import Written
from imgvec_pg.store.queue.stats import QueueState

IDLE = "idle"
WORKING = "working"
WAITING_FOR_PICTURES = "waiting for pictures"
WAITING_FOR_REPLICAS = "waiting for replicas"
PAUSED = "paused"


@dataclass
class Tally:
    """Counts of a run and what it does now; shared between threads, each field written by one at a time.

    Attributes:
        reconnects: Times that the database was reached again after it was lost.
        written_at: When keys were last taken off the queue, in seconds since 1970; 0 before the first time.
        watches_queue: Whether somebody wants to know `queue`, which is then looked at with each sign of life.
    """

    embedded: int = 0
    failed: int = 0
    settled: int = 0
    lost_jobs: int = 0
    put_off: int = 0
    failure_codes: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    is_connected: bool = False
    was_connected: bool = False
    written_at: float = 0.0
    stages: StageTimes = field(default_factory=StageTimes)
    watches_queue: bool = False
    queue: QueueState | None = None
    activity: str = IDLE
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None

    def add(self, written: Written) -> None:
        """Count what was written."""
        self.embedded += written.embedded
        self.failed += written.failed
        self.settled += written.settled
        self.lost_jobs += written.lost_jobs
        self.put_off += written.put_off
        self.failure_codes.update(written.failure_codes)
        self.written_at = time.time()

    def note_connection(self) -> None:
        """Note that the database is there: for the first time, or again."""
        self.reconnects += self.was_connected and not self.is_connected
        self.is_connected = self.was_connected = True

    def finish(self) -> None:
        """Stop the clock, if it still runs."""
        self.finished = self.finished or time.monotonic()

    def seconds(self) -> float:
        """Length of the run so far."""
        return max((self.finished or time.monotonic()) - self.started, 1e-9)

    def images_per_second(self) -> float:
        """Mean over the run."""
        return self.embedded / self.seconds()
