"""Worker: embeds the queue of one collection with a loaded model, and reconnects when the database goes away."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg

from imgvec_pg.backfill.backoff import CONNECTION_LOST, Backoff, loss_told_from_answers
from imgvec_pg.backfill.batch.isolation import BatchSize
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import PipelineOptions, WorkerContext
from imgvec_pg.backfill.heartbeat import Heartbeat
from imgvec_pg.backfill.leases import HeldLeases, QueueCursor
from imgvec_pg.backfill.model_check import check_model, check_words, words_are_late
from imgvec_pg.backfill.pipeline import Pipeline
from imgvec_pg.backfill.query_server import QueryServer
from imgvec_pg.backfill.stats import IDLE, WAITING_FOR_PICTURES, WorkerStats
from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import (
    CollectionChangedError,
    CollectionNotFoundError,
    CollectionReplacedError,
    DeviceMemoryError,
    ImgvecError,
    ModelAwayError,
    ModelError,
    PicturesAwayError,
)
from imgvec_pg.images.fetching.application_fetch import find_fetch
from imgvec_pg.images.fetching.folders import explain_absence
from imgvec_pg.images.rendering.version import require_known
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.queue.jobs import release_jobs
from imgvec_pg.store.registry import get_collection, require_unchanged_collection

log = logging.getLogger(__name__)

LIVED_SECONDS = 5.0
"""A session that ended sooner, with nothing written, does not count as success."""
PICTURES_PAUSE_SECONDS = 2.0


class Worker:
    """Embeds one collection's queue with one model until it is empty, or for good with `follow`.

    Args:
        dsn: libpq connection string.
        collection_name: Collection or alias.
        embedder: A loaded model; its fingerprint must be the one on record.
        on_progress: Called after each written batch.
        stats: Where it counts; one of its own by default.
        on_ready: Called once, when the model is known to be the collection's and the work begins.
    """

    def __init__(
        self,
        dsn: str,
        collection_name: str,
        embedder: Embedder,
        options: PipelineOptions,
        on_progress: Callable[[WorkerStats], None] = lambda stats: None,
        stats: WorkerStats | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.dsn = dsn
        self.collection_name = collection_name
        self.embedder = embedder
        self.options = options
        self.on_progress = on_progress
        self.on_ready = on_ready
        self.id = uuid.uuid4()
        self.stats = stats or WorkerStats()
        self.stop = threading.Event()
        self.leases = HeldLeases()
        self._connected_at: float | None = None
        self._after_outage = False
        self._batch_size = BatchSize(options.batch_size)
        self._collection: Collection | None = None
        self._cursor = QueueCursor()

    def request_stop(self) -> None:
        """Finish the batch in hand, give back the rest, and return from `run`; safe in a signal handler."""
        self.stop.set()

    def run(self) -> WorkerStats:
        """Work, and begin again when the database goes away, at no attempt's cost.

        With `follow` it also waits for a collection that is dropped, and goes on with the one that its name means
        then; and for a folder of pictures that goes away. A collection that changes, as to a wider key, it follows in any case.

        Raises:
            ConnectionFailedError: The database stayed away for 15 minutes.
            CollectionNotFoundError: There is no collection of this name, with `follow` for 15 minutes.
            CollectionReplacedError: Without `follow`: the name means another collection.
            PicturesAwayError: Without `follow`: the folder with the pictures is gone.
            ModelError: The model is not the one the collection was embedded with.
            DeviceMemoryError: Not even one image fitted on the device for 15 minutes.
            ModelAwayError: The server that embeds did not answer for 15 minutes.
            UsageError: A later release's rendering is the collection's.
        """
        backoff = Backoff(self.stop)
        while True:
            self._connected_at = None
            finished_before = self.stats.finished
            try:
                with loss_told_from_answers():
                    self._session()
                break
            except CollectionReplacedError as error:
                if not self.options.follow:
                    raise CollectionReplacedError(f"{error}; run the same command again") from error
                log.warning("%s; going on with it", error)
            except CollectionChangedError as error:
                log.warning("%s; going on with what it is now", error)
            except (*CONNECTION_LOST, CollectionNotFoundError, DeviceMemoryError, ModelAwayError) as error:
                self._after_outage = isinstance(error, CONNECTION_LOST)
                if isinstance(error, CollectionNotFoundError) and not self._may_come_back():
                    raise
                # A server that lets us in and refuses every statement, as with a full disk, is away all the same.
                lived = (
                    self._connected_at is not None and time.monotonic() - self._connected_at > LIVED_SECONDS
                )
                if lived or self.stats.finished > finished_before:
                    backoff.renew()
                self.stats.is_connected = False
                if not self.stop.is_set():
                    backoff.wait(error)
                if self.stop.is_set():
                    self._release_after_all()
                    break
        self.stats.finish()
        return self.stats

    def _may_come_back(self) -> bool:
        """Whether a collection that is not there was, and is followed."""
        return self.options.follow and self._collection is not None

    def _session(self) -> None:
        """Connect five times (read, write, look up, heartbeat, answers to queries) and run one pipeline."""
        silence = Silence()
        with (
            connect_worker(self.dsn, "read", silence) as reading,
            connect_worker(self.dsn, "write", silence) as writing,
            connect_worker(self.dsn, "look-up", silence) as looking_up,
        ):
            schema = vector_schema(writing)
            # What an earlier session of this worker held before its connection broke.
            self._release_all(writing)
            collection = get_collection(writing, self.collection_name)
            require_known(collection.rendering)
            self._require_same_model(collection)
            check_model(writing, collection, self.embedder)
            if self._collection is not None and self._collection.id != collection.id:
                self._cursor = QueueCursor()
            self._collection = collection
            stores = [EmbeddingStore(each, collection, schema) for each in (reading, writing, looking_up)]
            context = self._context(collection, silence)
            heartbeat = Heartbeat(context)
            answering = self._query_server(collection, silence)
            with heartbeat, answering, self._released_at_the_end(writing):
                self._connected_at = time.monotonic()
                if not self.stats.was_connected:
                    self.on_ready()
                self.stats.note_connection()
                self._work(context, *stores)

    def _query_server(self, collection: Collection, silence: Silence) -> QueryServer:
        """Return what answers requests; a worker that follows makes ready for words, a fill waits until somebody asks."""
        late = words_are_late(self.embedder)
        return QueryServer(
            self.dsn,
            collection.model_id,
            self.embedder,
            silence,
            check_words=partial(check_words, collection=collection, embedder=self.embedder) if late else None,
            expects_words=late and self.options.follow,
        )

    def _context(self, collection: Collection, silence: Silence) -> WorkerContext:
        return WorkerContext(
            dsn=self.dsn,
            name=self.collection_name,
            collection=collection,
            embedder=self.embedder,
            options=self.options,
            stats=self.stats,
            on_progress=self.on_progress,
            worker_id=self.id,
            leases=self.leases,
            cursor=self._cursor,
            batch_size=self._batch_size,
            silence=silence,
            stop=self.stop,
        )

    def _work(
        self,
        context: WorkerContext,
        reading: EmbeddingStore,
        writing: EmbeddingStore,
        looking_up: EmbeddingStore,
    ) -> None:
        """Run a pipeline; with `follow`, again each time that the pictures were away and came back."""
        collection = context.collection
        while not self.stop.is_set():
            try:
                options = replace(
                    self.options,
                    limit=self._limit_left(),
                    root=effective_root(collection, self.options.root),
                    after_outage=self._after_outage,
                    fetch=None if self.options.root else find_fetch(collection.name),
                )
                session = replace(context, options=options, broken=threading.Event())
                Pipeline(session, reading, writing, looking_up).run()
                return
            except PicturesAwayError as error:
                if not self.options.follow:
                    raise
                log.warning("%s; waiting for it", one_line(error))
                self._release_all(writing.connection)
                self._wait_for_pictures(error.root, collection, writing.connection)
            except psycopg.ProgrammingError:
                # A table that is gone: with its collection, perhaps, or to another name.
                require_unchanged_collection(writing.connection, self.collection_name, collection)
                raise

    def _wait_for_pictures(self, root: Path, collection: Collection, connection: Connection) -> None:
        self.stats.rest(WAITING_FOR_PICTURES)
        may_be_empty = collection.content_column is not None
        while explain_absence(root, may_be_empty=may_be_empty) and not self.stop.wait(PICTURES_PAUSE_SECONDS):
            require_unchanged_collection(connection, self.collection_name, collection)
        self.stats.activity = IDLE

    def _require_same_model(self, collection: Collection) -> None:
        before = self._collection
        if before is not None and before.model_name != collection.model_name:
            raise ModelError(
                f"{self.collection_name} is embedded by {collection.model_name} now, this worker has loaded "
                f"{before.model_name}: start it again"
            )

    def _limit_left(self) -> int | None:
        limit = self.options.limit
        return None if limit is None else max(limit - self.stats.finished, 0)

    @contextmanager
    def _released_at_the_end(self, writing: Connection) -> Iterator[None]:
        """Give back what is still leased, whatever ended the pipeline: no row is charged for a broken model."""
        try:
            yield
        except BaseException:
            try:
                self._release_all(writing)
            except psycopg.Error as error:
                log.info("leases are not released yet: %s", one_line(error))
            raise
        self._release_all(writing)

    def _release_after_all(self) -> None:
        """Try once more to give leases back, for a worker that is to stop while the database comes and goes."""
        if not self.leases.held():
            return
        try:
            with connect_worker(self.dsn, "write") as connection:
                self._release_all(connection)
        except (*CONNECTION_LOST, ImgvecError) as error:
            log.warning("leases were not released, they expire by themselves: %s", one_line(error))

    def _release_all(self, connection: Connection) -> None:
        """Give back all leases; they are of the last session's collection."""
        place, held = self.leases.place(), self.leases.held()
        if held and self._collection is not None:
            release_jobs(connection, self._collection.id, held, place)
            for token in held:
                self.leases.discard(token)


def effective_root(collection: Collection, override: Path | None) -> Path | None:
    """Return the folder that paths are under: this machine's own, or the collection's; None where IMGVEC_FETCH reads.

    Raises:
        PicturesAwayError: It is not on this machine; each row would be charged with a failure for that.
    """
    root = override
    if root is None and find_fetch(collection.name) is not None:
        return None
    if root is None and collection.root is not None:
        root = Path(collection.root)
    if root is not None and explain_absence(root, may_be_empty=True):
        raise PicturesAwayError(
            root,
            f"the folder {root}, where the pictures of {collection.name} lie, is not on this machine; "
            "mount it, or say where it is with --root DIR",
        )
    return root
