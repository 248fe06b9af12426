"""Heartbeat: renews leases, publishes state."""

import logging
import os
import socket
import threading
import time
from types import TracebackType

import psycopg

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import WorkerContext
from imgvec_pg.backfill.partition_watch import PartitionWatch
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ConnectionFailedError
from imgvec_pg.store.pictures.picture_table import PictureTidy
from imgvec_pg.store.queue.queue_stats import read_queue_state

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4
ACTIVITY_SECONDS = 1.0
"""A change of activity is published this soon, and not more often."""


class Heartbeat:
    """Renews leases and publishes state in a thread, for as long as the `with` block lasts.

    It survives the loss of its own connection: leases that ran out under a worker that still works would have
    two workers take the same jobs from each other.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.stats = context.stats
        self._connection: Connection | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_done, daemon=True, name="imgvec-heartbeat")
        self._before = (time.monotonic(), context.stats.embedded)
        self._published = ""
        self._queue_polling = PollingLimit()
        self.partitions = PartitionWatch(context.collection)
        self.pictures = PictureTidy(context.collection)

    def __enter__(self) -> None:
        connection = self._connected()
        try:
            connection.execute(load_sql("queries/forget_workers.sql"))
            self._publish(connection)
            self._poll_queue(connection)
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
            self._connection.execute("DELETE FROM imgvec.worker WHERE id = %s", [self.context.worker_id])
        except psycopg.Error as failure:
            log.info("the row of this worker was not removed: %s", one_line(failure))
        finally:
            self._connection.close()

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect_worker(self.context.dsn, "heartbeat", self.context.silence)
        return self._connection

    def _beat_until_done(self) -> None:
        lease_seconds = self.context.options.lease_seconds
        interval = lease_seconds / BEATS_PER_LEASE
        beaten_at = time.monotonic()
        while not self._done.wait(min(interval, ACTIVITY_SECONDS)):
            now = time.monotonic()
            if now - beaten_at < interval and self.stats.activity == self._published:
                continue
            beaten_at = now
            try:
                connection = self._connected()
                self.context.leases.renew(connection, self.context.collection.id, lease_seconds)
                self._publish(connection)
                self._poll_queue(connection)
                if not self.partitions.look(connection):
                    self._say_forgotten()
                self.pictures.look(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                # The pipeline meets the same, and says it.
                log.info("partitions were not compared: %s", one_line(error))
            except (psycopg.Error, ConnectionFailedError) as error:
                log.info("heartbeat failed: %s", one_line(error))

    def _poll_queue(self, connection: Connection) -> None:
        if self.stats.watches_queue and self._queue_polling.is_due():
            began = time.monotonic()
            self.stats.queue = read_queue_state(connection, self.context.collection.id)
            self._queue_polling.took(time.monotonic() - began)

    def _say_forgotten(self) -> None:
        forgotten, self.partitions.forgotten = self.partitions.forgotten, 0
        if forgotten:
            log.warning(
                "%d embeddings of rows that went with partitions of %s were deleted",
                forgotten,
                self.context.collection.shown_source,
            )

    def _record_rate(self, connection: Connection) -> None:
        rate = self.stats.computing.per_second()
        if rate is not None:
            connection.execute(
                "UPDATE imgvec.model SET images_per_second = %s WHERE id = %s",
                [rate, self.context.collection.model_id],
            )

    def _publish(self, connection: Connection) -> None:
        now, done = time.monotonic(), self.stats.embedded
        then, done_then = self._before
        self._before = (now, done)
        activity = self.stats.activity
        connection.execute(
            load_sql("queries/worker_seen.sql"),
            {
                "id": self.context.worker_id,
                "collection_id": self.context.collection.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "device": str(getattr(self.context.embedder, "device", "cpu")),
                "activity": activity,
                "images_done": done,
                "images_per_second": (done - done_then) / max(now - then, 1e-9),
            },
        )
        self._published = activity
