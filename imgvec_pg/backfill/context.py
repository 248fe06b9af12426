"""Context of a worker: what its threads share, from options and stats to leases and the stop event."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imgvec_pg.backfill.batch.isolation import BatchSize
from imgvec_pg.backfill.leases import HeldLeases, QueueCursor
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.images.fetching.application_fetch import Fetch
from imgvec_pg.settings import LEASE_SECONDS
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class Allowance:
    """Limits of a worker: rate, replica lag, quiet hours, share of the server's time.

    Attributes:
        rate: Images a second, on average; None for as many as it can.
        max_replica_lag_seconds: Claim nothing while a connected standby is further behind.
        pause_when: Claim nothing in these hours, by the database's clock.
        server_share: At most this part of the time is spent in statements that read and write rows, in (0, 1]; None for no bound.
        only_beside_others: That share holds only while others use the server (others_at_work.py).
    """

    rate: float | None = None
    max_replica_lag_seconds: float | None = None
    pause_when: tuple[Hours, ...] = ()
    server_share: float | None = None
    only_beside_others: bool = False


@dataclass(frozen=True)
class PipelineOptions:
    """Options of a pipeline.

    Attributes:
        batch_size: Images that the model takes at once, at most.
        decode_threads: Images decoded at once.
        follow: Keep running when the queue is empty.
        limit: Stop after this many keys.
        root: Folder that paths are under, instead of the collection's.
        lease_seconds: How long other workers leave this one's jobs alone after its last heartbeat.
        fetch: Reads a path instead of the file below the root.
        allowance: What it may ask of the database.
        after_outage: The database was away until now.
    """

    batch_size: int = 64
    decode_threads: int = 4
    follow: bool = False
    limit: int | None = None
    root: Path | None = None
    lease_seconds: float = LEASE_SECONDS
    fetch: Fetch | None = None
    allowance: Allowance = field(default_factory=Allowance)
    after_outage: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """One session of a worker with its collection. The worker builds it; its threads share it.

    Attributes:
        dsn: libpq connection string.
        name: The name that must go on meaning the collection: its own, or an alias.
        collection: As it was when the session began.
        embedder: The loaded model, known to be the collection's.
        stats: Counts what is written and says what the worker does.
        on_progress: Called in the writing thread after each batch.
        worker_id: Its row in imgvec.worker.
        leases: What it holds; shared with the heartbeat, which renews them.
        cursor: Where in the queue to go on; outlives the session.
        batch_size: How many images the model takes at once; shrinks where they do not fit, and outlives the session.
        silence: The deadline that all connections of the session share.
        stop: Set it to stop claiming; what is claimed but not yet being embedded stays leased.
        broken: Set when a thread of the pipeline failed.
    """

    dsn: str = field(repr=False)
    name: str
    collection: Collection
    embedder: Embedder
    options: PipelineOptions
    stats: WorkerStats
    on_progress: Callable[[WorkerStats], None] = lambda stats: None
    worker_id: uuid.UUID = field(default_factory=uuid.uuid4)
    leases: HeldLeases = field(default_factory=HeldLeases)
    cursor: QueueCursor = field(default_factory=QueueCursor)
    batch_size: BatchSize
    silence: Silence = field(default_factory=Silence)
    stop: threading.Event = field(default_factory=threading.Event)
    broken: threading.Event = field(default_factory=threading.Event)

    def is_ending(self) -> bool:
        """Whether nothing more may be claimed: the worker is to stop, or its pipeline failed."""
        return self.stop.is_set() or self.broken.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, or return earlier when the worker is to stop; at once when its pipeline failed."""
        if not self.broken.is_set():
            self.stop.wait(seconds)
