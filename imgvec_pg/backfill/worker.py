"""A worker: a loaded model, its connections, its sign of life, and what it does when the database goes away."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from imgvec_pg.backfill.answering import Answering
from imgvec_pg.backfill.heartbeat import Heartbeat
from imgvec_pg.backfill.leases import LeaseBook
from imgvec_pg.backfill.pipeline import Pipeline, PipelineOptions
from imgvec_pg.backfill.tally import Tally
from imgvec_pg.database.connect import Connection, connect, one_line, vector_schema
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ConnectionFailedError, ImgvecError, ModelError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collections import get_collection
from imgvec_pg.store.embeddings import EmbeddingStore, Written
from imgvec_pg.store.jobs import release_jobs

log = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.5, 5.0)
"""First and longest pause between attempts to reach a database that went away."""
GIVE_UP_AFTER_SECONDS = 900.0
STAMP_TRIES = 3

GONE = (psycopg.OperationalError, psycopg.InterfaceError, ConnectionFailedError)
"""What a database that went away looks like; a full disk and a stopping server come as the same."""


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
        self._connected_at: float | None = None

    def request_stop(self) -> None:
        """Finish the batch in hand, give back the rest, and return from `run`; safe in a signal handler."""
        self.stop.set()

    def run(self) -> Tally:
        """Work, and reconnect when the database goes away; a lost connection costs no attempt.

        Raises:
            ConnectionFailedError: The database stayed away for 15 minutes.
            ModelError: The model is not the one the collection was embedded with.
        """
        pause, longest_pause = RECONNECT_SECONDS
        away_since: float | None = None
        while True:
            self._connected_at = None
            settled_before = self.tally.settled
            try:
                self._session()
                break
            except GONE as error:
                if self.stop.is_set():
                    self._release_after_all()
                    break
                now = time.monotonic()
                # A server that lets us in and refuses every statement, as with a full disk, is away all the same.
                lived = self._connected_at is not None and now - self._connected_at > longest_pause
                if lived or self.tally.settled > settled_before or away_since is None:
                    pause, away_since = RECONNECT_SECONDS[0], now
                if now - away_since > GIVE_UP_AFTER_SECONDS:
                    raise ConnectionFailedError(
                        f"the database has been away for {GIVE_UP_AFTER_SECONDS / 60:.0f} minutes ({one_line(error)}); "
                        "nothing is lost: run the same command again"
                    ) from error
                log.warning("the database went away (%s); trying again in %.1f s", one_line(error), pause)
                self.stop.wait(pause)
                pause = min(pause * 2, longest_pause)
                if self.stop.is_set():
                    self._release_after_all()
                    break
        self.tally.finish()
        return self.tally

    def _session(self) -> None:
        """Connect four times (read, write, sign of life, answers to queries) and run one pipeline."""
        with (
            connect(self.dsn, application_name="imgvec worker") as reading,
            connect(self.dsn, application_name="imgvec worker") as writing,
        ):
            schema = vector_schema(writing)
            collection = get_collection(writing, self.collection_name)
            self._check_model(writing, collection)
            # What an earlier session of this worker held before its connection broke.
            self._release_all(writing, collection)
            pipeline = Pipeline(
                EmbeddingStore(reading, collection, schema),
                EmbeddingStore(writing, collection, schema),
                self.embedder,
                replace(self.options, limit=self._limit_left()),
                self.leases,
                self.stop,
                self._written,
            )
            heartbeat = Heartbeat(
                self.dsn,
                self.id,
                collection,
                self.embedder,
                self.leases,
                self.tally,
                self.options.lease_seconds,
            )
            answering = Answering(self.dsn, collection.model_id, self.embedder)
            with heartbeat, answering, self._released_at_the_end(writing, collection):
                self._connected_at = time.monotonic()
                pipeline.run()

    def _limit_left(self) -> int | None:
        limit = self.options.limit
        return None if limit is None else max(limit - self.tally.settled, 0)

    @contextmanager
    def _released_at_the_end(self, writing: Connection, collection: Collection) -> Iterator[None]:
        """Give back what is still leased, whatever ended the pipeline: no row is charged for a broken model."""
        try:
            yield
        except BaseException:
            try:
                self._release_all(writing, collection)
            except psycopg.Error as error:
                log.info("the leases are not given back yet: %s", one_line(error))
            raise
        self._release_all(writing, collection)

    def _release_after_all(self) -> None:
        """Try once more to give leases back, for a worker that is to stop while the database comes and goes."""
        if not self.leases.held():
            return
        try:
            with connect(self.dsn, application_name="imgvec worker") as connection:
                self._release_all(connection, get_collection(connection, self.collection_name))
        except (*GONE, ImgvecError) as error:
            log.warning("leases not given back, they run out by themselves: %s", one_line(error))

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
        recorded = self._stamp(connection, collection)
        if recorded != embedder.fingerprint:
            raise ModelError(
                f'the weights or preprocessing of "{embedder.name}" here (fingerprint {embedder.fingerprint[:12]}) are not '
                f'those that collection "{collection.name}" was embedded with ({recorded[:12]}); '
                "use the same weights, or make a new collection"
            )

    def _stamp(self, connection: Connection, collection: Collection) -> str:
        """Record the model's fingerprint unless there is one, and return the one on record."""
        values = {
            "model_id": collection.model_id,
            "fingerprint": self.embedder.fingerprint,
            "logit_scale": self.embedder.logit_scale,
            "logit_bias": self.embedder.logit_bias,
        }
        for _ in range(STAMP_TRIES):
            row = connection.execute(load_sql("queries/stamp_model.sql"), values).fetchone()
            # Of two workers that stamp at once, one sees neither its own stamp nor yet the other's.
            if row is not None:
                return str(row[0])
        raise ModelError(f'the model of collection "{collection.name}" is not registered any more')


def effective_root(collection: Collection, override: Path | None) -> Path | None:
    """Return the folder that paths are under: this machine's own, or the collection's.

    Raises:
        ImgvecError: It is not on this machine; each row would be charged with a failure for that.
    """
    root = override
    if root is None and collection.root is not None:
        root = Path(collection.root)
    if root is not None and not root.is_dir():
        raise ImgvecError(
            f"the folder {root}, where the pictures of {collection.name} lie, is not on this machine; "
            "mount it, or say where it is with --root DIR"
        )
    return root
