"""What a run has done so far."""

import time
from dataclasses import dataclass, field

from imgvec_pg.store.embeddings import Written

IDLE = "idle"
WORKING = "working"
WAITING_FOR_PICTURES = "waiting for pictures"
WAITING_FOR_REPLICAS = "waiting for replicas"
PAUSED = "paused"


@dataclass
class Tally:
    """Counts of a run and what it does now; shared between threads, each field written by one at a time."""

    embedded: int = 0
    failed: int = 0
    settled: int = 0
    lost_jobs: int = 0
    activity: str = IDLE
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None

    def add(self, written: Written) -> None:
        """Count what was written."""
        self.embedded += written.embedded
        self.failed += written.failed
        self.settled += written.settled
        self.lost_jobs += written.lost_jobs

    def finish(self) -> None:
        """Stop the clock, if it still runs."""
        self.finished = self.finished or time.monotonic()

    def seconds(self) -> float:
        """Length of the run so far."""
        return max((self.finished or time.monotonic()) - self.started, 1e-9)

    def images_per_second(self) -> float:
        """Mean over the run."""
        return self.embedded / self.seconds()
