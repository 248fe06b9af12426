"""Stats of a run: counts, stage timings, activity."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imgvec_pg.backfill.picture_clock import PictureSeconds
from imgvec_pg.store.queue.queue_stats import QueueState
from imgvec_pg.store.queue.written import Written

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
class DurationHistogram:
    """Histogram of one stage: durations per bucket, and their sum in seconds."""

    steps: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    total_seconds: float = 0.0


class StageTimings:
    """Histograms of all stages; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = {stage: DurationHistogram() for stage in STAGES}

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

    def snapshot(self) -> dict[str, DurationHistogram]:
        """Return a copy."""
        with self._lock:
            return {
                stage: DurationHistogram(list(durations.steps), durations.total_seconds)
                for stage, durations in self._stages.items()
            }


class SteadyRate:
    """Images a second while there is work: from each written batch to the next, so without start-up and rests."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._since: float | None = None

    def wrote(self, images: int) -> None:
        """Note a written batch; the first one, and the first after a rest, only start the clock."""
        now = time.monotonic()
        if self._since is not None:
            self.images += images
            self.seconds += now - self._since
        self._since = now

    def leave_out(self) -> None:
        """Note a batch that says nothing: neither its images count nor its time."""
        if self._since is not None:
            self._since = time.monotonic()

    def rest(self) -> None:
        """Note that the time until the next batch is not spent working."""
        self._since = None

    def per_second(self) -> float | None:
        """Return the rate, None where fewer than MEASURED_FROM_IMAGES were timed."""
        enough = self.images >= MEASURED_FROM_IMAGES and self.seconds > 0
        return self.images / self.seconds if enough else None


MEASURED_FROM_IMAGES = 64
"""Fewer images say nothing about a model's rate."""

STARTING = "starting"
IDLE = "idle"
WORKING = "working"
WAITING_FOR_PICTURES = "waiting for pictures"
WAITING_FOR_REPLICAS = "waiting for replicas"
PAUSED = "paused"


@dataclass
class WorkerStats:
    """Counts and activity of a run; shared between threads, each field written by one at a time.

    Attributes:
        computed: Pictures that the model embedded; rows that share one, or have what the collection has already, need none.
        reconnects: Times that the database was reached again after it was lost.
        written_at: When keys were last taken off the queue, in seconds since 1970; 0 before the first time.
        watches_queue: Whether `queue` is wanted; each heartbeat then reads it.
        steady: The rate of rows.
        pictures: Seconds that threads spent fetching and decoding.
        connected_at: When the database was reached first, by the monotonic clock: the work began; None before.
        computing: The rate of computed pictures, which is the model's, for estimates: without batches that were copied for the
            greater part.
    """

    embedded: int = 0
    computed: int = 0
    failed: int = 0
    finished: int = 0
    lost_jobs: int = 0
    delayed: int = 0
    failure_codes: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    is_connected: bool = False
    was_connected: bool = False
    written_at: float = 0.0
    stages: StageTimings = field(default_factory=StageTimings)
    pictures: PictureSeconds = field(default_factory=PictureSeconds)
    watches_queue: bool = False
    queue: QueueState | None = None
    activity: str = IDLE
    steady: SteadyRate = field(default_factory=SteadyRate)
    computing: SteadyRate = field(default_factory=SteadyRate)
    started: float = field(default_factory=time.monotonic)
    connected_at: float | None = None
    ended_at: float | None = None

    def add(self, written: Written, computed: int) -> None:
        """Count a batch that was written, and the pictures that the model embedded for it."""
        self.computed += computed
        self.embedded += written.embedded
        self.failed += written.failed
        self.finished += written.finished
        self.lost_jobs += written.lost_jobs
        self.delayed += written.delayed
        self.failure_codes.update(written.failure_codes)
        self.steady.wrote(written.embedded)
        self.written_at = time.time()

    def note_batch(self, pictures: int, computed: int) -> None:
        """Time a batch for the model's rate as it is embedded: written are several together, computed and copied ones mixed."""
        if 2 * computed >= pictures:
            self.computing.wrote(computed)
        else:
            self.computing.leave_out()

    def rest(self, activity: str) -> None:
        """Note that there is nothing to do, or that nothing may be done now."""
        self.activity = activity
        self.rest_rates()

    def note_connection(self) -> None:
        """Note that the database is there: for the first time, or again."""
        self.rest_rates()
        self.connected_at = self.connected_at or time.monotonic()
        self.reconnects += self.was_connected and not self.is_connected
        self.is_connected = self.was_connected = True

    def rest_rates(self) -> None:
        """Note that the time until the next batch says nothing of any rate."""
        self.steady.rest()
        self.computing.rest()

    def finish(self) -> None:
        """Stop the clock, if it still runs."""
        self.ended_at = self.ended_at or time.monotonic()

    def working_seconds(self) -> float:
        """Length of the run so far without its start; 0 where it has not begun to work."""
        return 0.0 if self.connected_at is None else (self.ended_at or time.monotonic()) - self.connected_at

    def seconds(self) -> float:
        """Length of the run so far."""
        return max((self.ended_at or time.monotonic()) - self.started, 1e-9)

    def images_per_second(self) -> float:
        """Mean over the run."""
        return self.embedded / self.seconds()
