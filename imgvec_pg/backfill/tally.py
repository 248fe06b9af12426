"""What a run has done so far."""

import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of a run; shared between threads, each field written by one."""

    embedded: int = 0
    failed: int = 0
    settled: int = 0
    lost_jobs: int = 0
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None

    def finish(self) -> None:
        """Stop the clock."""
        self.finished = time.monotonic()

    def seconds(self) -> float:
        """Length of the run so far."""
        return max((self.finished or time.monotonic()) - self.started, 1e-9)

    def images_per_second(self) -> float:
        """Mean over the run."""
        return self.embedded / self.seconds()
