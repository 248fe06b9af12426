"""A worker: a loaded model, its connections, its sign of life, and what it does when the database goes away."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from imgvec_pg.backfill.pipeline import LeaseBook, Pipeline, PipelineOptions
from imgvec_pg.database.connect import Connection, connect, one_line, vector_schema
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ConnectionFailedError, ModelError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collections import get_collection
from imgvec_pg.store.embeddings import EmbeddingStore, Written
from imgvec_pg.store.jobs import LEASE_SECONDS, extend_leases, release_jobs

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = LEASE_SECONDS / 4
RECONNECT_SECONDS = (0.5, 5.0)
"""First and longest pause between attempts to reach a database that went away."""
GIVE_UP_AFTER_SECONDS = 900.0
MEASURED_FROM_IMAGES = 64
"""A run of fewer images says nothing about a model's rate."""


@dataclass
class Tally:
    """What a run has done so far; shared between threads, each field written by one."""

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


class Worker:
    """Embeds one collection's queue with one model until it is empty, or for good with `follow`.

    Args:
        dsn: libpq connection string.
        collection_name: Collection or alias.
        embedder: A loaded model; its fingerprint must be the one on record.
        on_progress: Called after each written batch.
    """

    def __init__(
        self,
        dsn: str,
        collection_name: str,
        embedder: Embedder,
        options: PipelineOptions,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self.dsn = dsn
        self.collection_name = collection_name
        self.embedder = embedder
        self.options = options
        self.on_progress = on_progress
        self.id = uuid.uuid4()
        self.tally = Tally()
        self.stop = threading.Event()
        self.leases = LeaseBook()

    def request_stop(self) -> None:
        """Finish the batch in hand, give back the rest, and return from `run`; safe in a signal handler."""
        self.stop.set()

    def run(self) -> Tally:
        """Work, and reconnect when the database goes away; a lost connection costs no attempt.

        Raises:
            ConnectionFailedError: The database stayed away for 15 minutes.
            ModelError: The model is not the one the collection was embedded with.
        """
        first_pause, longest_pause = RECONNECT_SECONDS
        pause, away_since = first_pause, time.monotonic()
        while True:
            connected_at = time.monotonic()
            try:
                self._session()
                self.tally.finish()
                return self.tally
            except (psycopg.OperationalError, psycopg.InterfaceError, ConnectionFailedError) as error:
                now = time.monotonic()
                if now - connected_at > longest_pause:
                    pause, away_since = first_pause, now
                if self.stop.is_set():
                    return self.tally
                if now - away_since > GIVE_UP_AFTER_SECONDS:
                    raise ConnectionFailedError(
                        f"the database has been away for {GIVE_UP_AFTER_SECONDS / 60:.0f} minutes ({one_line(error)}); "
                        "nothing is lost: run the same command again"
                    ) from error
                log.warning("the database went away (%s); trying again in %.1f s", one_line(error), pause)
                self.stop.wait(pause)
                pause = min(pause * 2, longest_pause)

    def _session(self) -> None:
        """Connect three times (read, write, sign of life) and run one pipeline."""
        pipeline_stop = threading.Event()
        with (
            connect(self.dsn, application_name="imgvec worker") as reading,
            connect(self.dsn, application_name="imgvec worker") as writing,
            connect(self.dsn, application_name="imgvec worker") as pulse,
        ):
            schema = vector_schema(writing)
            collection = get_collection(writing, self.collection_name)
            self._check_model(writing, collection)
            # What an earlier session of this worker held before its connection broke.
            self._release_all(writing, collection)
            heartbeat = Heartbeat(self, pulse, collection)
            pipeline = Pipeline(
                EmbeddingStore(reading, collection, schema),
                EmbeddingStore(writing, collection, schema),
                self.embedder,
                self.options,
                self.leases,
                pipeline_stop,
                self._written,
            )
            relay = threading.Thread(target=self._relay_stop, args=(pipeline_stop,), daemon=True)
            relay.start()
            try:
                with heartbeat:
                    pipeline.run()
                self._release_all(writing, collection)
            finally:
                pipeline_stop.set()

    def _relay_stop(self, pipeline_stop: threading.Event) -> None:
        while not pipeline_stop.is_set():
            if self.stop.wait(0.1):
                pipeline_stop.set()

    def _written(self, written: Written, settled: int) -> None:
        self.tally.embedded += written.embedded
        self.tally.failed += written.failed
        self.tally.lost_jobs += written.lost_jobs
        self.tally.settled += settled
        self.on_progress(self.tally)

    def _release_all(self, connection: Connection, collection: Collection) -> None:
        held = self.leases.held()
        if held:
            release_jobs(connection, collection.id, held)
            for token in held:
                self.leases.discard(token)

    def _check_model(self, connection: Connection, collection: Collection) -> None:
        """Stamp the model's fingerprint at first use, and refuse to mix two."""
        embedder = self.embedder
        if embedder.dimensions != collection.dimensions:
            raise ModelError(
                f'model "{embedder.name}" gives {embedder.dimensions} dimensions, collection "{collection.name}" '
                f"has {collection.dimensions}; make a new collection for it"
            )
        row = connection.execute(
            load_sql("queries/stamp_model.sql"),
            {
                "model_id": collection.model_id,
                "fingerprint": embedder.fingerprint,
                "logit_scale": embedder.logit_scale,
                "logit_bias": embedder.logit_bias,
            },
        ).fetchone()
        if row is not None and row[0] != embedder.fingerprint:
            raise ModelError(
                f'the weights or preprocessing of "{embedder.name}" here (fingerprint {embedder.fingerprint[:12]}) are not '
                f'those that collection "{collection.name}" was embedded with ({row[0][:12]}); '
                "use the same weights, or make a new collection"
            )


class Heartbeat:
    """Extends a worker's leases and tells that it lives, over a connection of its own."""

    def __init__(self, worker: Worker, connection: Connection, collection: Collection) -> None:
        self.worker = worker
        self.connection = connection
        self.collection = collection
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="imgvec-heartbeat")
        self._before = (time.monotonic(), 0)

    def __enter__(self) -> None:
        self._tell("working")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        try:
            self._record_rate()
            self.connection.execute("DELETE FROM imgvec.worker WHERE id = %s", [self.worker.id])
        except psycopg.Error as error:
            log.info("could not sign off: %s", one_line(error))

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_SECONDS):
            try:
                extend_leases(self.connection, self.collection.id, self.worker.leases.held())
                self._tell("stopping" if self.worker.stop.is_set() else "working")
            except psycopg.Error as error:
                # Without a sign of life the leases run out and the writes find them gone: nothing is at risk.
                log.warning("no sign of life to the database: %s", one_line(error))
                return

    def _record_rate(self) -> None:
        tally = self.worker.tally
        if tally.embedded >= MEASURED_FROM_IMAGES:
            self.connection.execute(
                "UPDATE imgvec.model SET images_per_second = %s WHERE id = %s",
                [tally.images_per_second(), self.collection.model_id],
            )

    def _tell(self, activity: str) -> None:
        now, done = time.monotonic(), self.worker.tally.embedded
        then, done_then = self._before
        self._before = (now, done)
        self.connection.execute(
            load_sql("queries/worker_seen.sql"),
            {
                "id": self.worker.id,
                "collection_id": self.collection.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "device": str(getattr(self.worker.embedder, "device", "cpu")),
                "activity": activity,
                "images_done": done,
                "images_per_second": (done - done_then) / max(now - then, 1e-9),
            },
        )


def effective_root(collection: Collection, override: Path | None) -> Path | None:
    """Return the folder that paths are under: this machine's own, or the collection's."""
    if override is not None:
        return override
    return None if collection.root is None else Path(collection.root)
