"""How long a worker's batches take, stage by stage, kept as a histogram."""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram's steps; one more step holds what took longer."""

CLAIM = "claim"
READ = "read"
WAIT = "wait"
EMBED = "embed"
WRITE = "write"
STAGES = (CLAIM, READ, WAIT, EMBED, WRITE)
"""Leasing jobs, where there are some; reading rows of the source; the model waiting for pictures that are still fetched and
decoded; embedding; writing."""


@dataclass
class Durations:
    """Durations of one stage: how many fell into each step, and their sum in seconds."""

    steps: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    total_seconds: float = 0.0


class StageTimes:
    """Durations of all stages; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = {stage: Durations() for stage in STAGES}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a block; one that raises does not count."""
        began = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - began)

    def add(self, stage: str, seconds: float) -> None:
        """Note one duration."""
        with self._lock:
            durations = self._stages[stage]
            durations.steps[bisect_left(BOUNDS_SECONDS, seconds)] += 1
            durations.total_seconds += seconds

    def snapshot(self) -> dict[str, Durations]:
        """Return a copy."""
        with self._lock:
            return {
                stage: Durations(list(durations.steps), durations.total_seconds)
                for stage, durations in self._stages.items()
            }
