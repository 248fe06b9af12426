"""A worker's sign of life: extends its leases and tells what it does, over a connection of its own."""

import logging
import os
import socket
import threading
import time
import uuid
from types import TracebackType

import psycopg

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.leases import HeldLeases
from imgvec_pg.backfill.partition_watch import PartitionWatch
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ConnectionFailedError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import extend_leases
from imgvec_pg.store.queue.queue_stats import read_queue_state

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4
ACTIVITY_SECONDS = 1.0
"""A worker that begins or ends to work says so this soon, and not more often."""
MEASURED_FROM_IMAGES = 64
"""A run of fewer images says nothing about a model's rate."""


class Heartbeat:
    """Beats in a thread for as long as its `with` block lasts.

    It survives the loss of its own connection: leases that ran out under a worker that still works would have
    two workers take the same jobs from each other.
    """

    def __init__(
        self,
        dsn: str,
        worker_id: uuid.UUID,
        collection: Collection,
        embedder: Embedder,
        leases: HeldLeases,
        stats: WorkerStats,
        lease_seconds: float,
        silence: Silence,
    ) -> None:
        self.dsn = dsn
        self.worker_id = worker_id
        self.collection = collection
        self.embedder = embedder
        self.leases = leases
        self.stats = stats
        self.lease_seconds = lease_seconds
        self.silence = silence
        self._connection: Connection | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_done, daemon=True, name="imgvec-heartbeat")
        self._before = (time.monotonic(), stats.embedded)
        self._told = ""
        self._queue_polling = PollingLimit()
        self.partitions = PartitionWatch(collection)

    def __enter__(self) -> None:
        connection = self._connected()
        try:
            connection.execute(load_sql("queries/forget_workers.sql"))
            self._tell(connection)
            self._look_at_queue(connection)
        except BaseException:
            connection.close()
            raise
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._connection is None:
            return
        try:
            self._record_rate(self._connection)
            self._connection.execute("DELETE FROM imgvec.worker WHERE id = %s", [self.worker_id])
        except psycopg.Error as failure:
            log.info("could not sign off: %s", one_line(failure))
        finally:
            self._connection.close()

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect_worker(self.dsn, "heartbeat", self.silence)
        return self._connection

    def _beat_until_done(self) -> None:
        interval = self.lease_seconds / BEATS_PER_LEASE
        beaten_at = time.monotonic()
        while not self._done.wait(min(interval, ACTIVITY_SECONDS)):
            now = time.monotonic()
            if now - beaten_at < interval and self.stats.activity == self._told:
                continue
            beaten_at = now
            try:
                connection = self._connected()
                # First the place: a lease taken between the two is young.
                place, held = self.leases.place(), self.leases.held()
                extend_leases(connection, self.collection.id, held, self.lease_seconds, place)
                self._tell(connection)
                self._look_at_queue(connection)
                if not self.partitions.look(connection):
                    self._say_forgotten()
            except psycopg.errors.InsufficientPrivilege as error:
                # The pipeline meets the same, and says it.
                log.info("partitions were not compared: %s", one_line(error))
            except (psycopg.Error, ConnectionFailedError) as error:
                log.info("no sign of life to the database: %s", one_line(error))

    def _look_at_queue(self, connection: Connection) -> None:
        if self.stats.watches_queue and self._queue_polling.is_due():
            began = time.monotonic()
            self.stats.queue = read_queue_state(connection, self.collection.id)
            self._queue_polling.took(time.monotonic() - began)

    def _say_forgotten(self) -> None:
        forgotten, self.partitions.forgotten = self.partitions.forgotten, 0
        if forgotten:
            log.warning(
                "%d embeddings of rows that went with partitions of %s were deleted",
                forgotten,
                self.collection.shown_source,
            )

    def _record_rate(self, connection: Connection) -> None:
        if self.stats.embedded >= MEASURED_FROM_IMAGES:
            connection.execute(
                "UPDATE imgvec.model SET images_per_second = %s WHERE id = %s",
                [self.stats.images_per_second(), self.collection.model_id],
            )

    def _tell(self, connection: Connection) -> None:
        now, done = time.monotonic(), self.stats.embedded
        then, done_then = self._before
        self._before = (now, done)
        activity = self.stats.activity
        connection.execute(
            load_sql("queries/worker_seen.sql"),
            {
                "id": self.worker_id,
                "collection_id": self.collection.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "device": str(getattr(self.embedder, "device", "cpu")),
                "activity": activity,
                "images_done": done,
                "images_per_second": (done - done_then) / max(now - then, 1e-9),
            },
        )
        self._told = activity
