"""The worker's bounded pipeline: one thread claims and reads, a pool decodes, the caller embeds, one thread writes.

Claiming, working and writing are separate transactions, and no transaction is open while a model computes.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from imgvec_pg.backfill.batch.image_loader import ImageLoader
from imgvec_pg.backfill.batch.isolation import BatchSize
from imgvec_pg.backfill.batch.pending import (
    LATE_SECONDS,
    Batch,
    PendingKey,
    PreparedImage,
    chunked,
    embed_batch,
    is_delayed_whole,
    prepare_image,
)
from imgvec_pg.backfill.batch.writer import write_outcomes
from imgvec_pg.backfill.claiming import POLL_SECONDS, JobClaimer, QueueCursor
from imgvec_pg.backfill.leases import HeldLeases
from imgvec_pg.backfill.stats import EMBED, READ, WAIT, WRITE, WorkerStats
from imgvec_pg.backfill.throttle import Allowance, Throttle
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.application_fetch import Fetch
from imgvec_pg.images.fetching.url import AllowedUrls
from imgvec_pg.settings import LEASE_SECONDS
from imgvec_pg.store.embeddings import EmbeddingStore, Outcome, StoredImage
from imgvec_pg.store.queue.jobs import MAX_DEATHS, Claim, Job, Key

log = logging.getLogger(__name__)

BATCHES_AHEAD = 2
CONTENT_ROWS_PER_READ = 8
"""Rows read at once where pictures are in the table: bounds memory to twice as many undecoded pictures."""


@dataclass(frozen=True)
class PipelineOptions:
    """How a pipeline works.

    Attributes:
        follow: Keep running when the queue is empty.
        limit: Stop after this many keys.
        root: Folder that paths are under, instead of the collection's.
        fetch: Reads a path instead of the file below the root.
        lease_seconds: How long other workers leave this one's jobs alone after its last sign of life.
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


class ReadingStopped(Exception):
    """The application holds the source locked and the worker was asked to stop."""


class Pipeline:
    """Runs claimed batches through an embedder.

    Args:
        reading: Store over the connection that claims and reads.
        writing: Store over the connection that writes.
        stop: Set it to stop claiming; what is claimed but not yet being embedded stays leased, for the caller
            to give back.
        stats: Told what is written and whether there is work.
        name: The name that must go on meaning the collection: its own, or an alias.
        on_progress: Called in the writing thread after each batch.
        batch_size: How many images the model takes at once; shrinks where they do not fit.
        place: Where in the queue to go on.
    """

    def __init__(
        self,
        reading: EmbeddingStore,
        writing: EmbeddingStore,
        embedder: Embedder,
        options: PipelineOptions,
        leases: HeldLeases,
        stop: threading.Event,
        stats: WorkerStats,
        name: str,
        on_progress: Callable[[WorkerStats], None],
        batch_size: BatchSize | None = None,
        place: QueueCursor | None = None,
    ) -> None:
        self.reading = reading
        self.writing = writing
        self.embedder = embedder
        self.options = options
        self.leases = leases
        self.stop = stop
        self.stats = stats
        self.name = name
        self.on_progress = on_progress
        self.batch_size = batch_size or BatchSize(options.batch_size)
        self.place = place or QueueCursor()
        self._read: queue.Queue[Batch | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._done: queue.Queue[tuple[Claim, list[Outcome]] | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self.throttle = Throttle(options.allowance, self._is_ending)
        self._errors: list[BaseException] = []
        self._broken = threading.Event()

    def run(self) -> None:
        """Work until the queue is empty (or `stop` is set) and everything embedded is written.

        Raises:
            The first error of any of its threads; no thread of it runs any more, and its leases are the caller's
            to give back.
        """
        reader = threading.Thread(
            target=self._guard, args=(self._read_batches, self._read), name="imgvec-read"
        )
        writer = threading.Thread(target=self._guard, args=(self._write_batches, None), name="imgvec-write")
        # Where pictures are in the table too, an empty folder tells nothing.
        mounted = None if self.reading.collection.content_column else self.options.root
        reader.start()
        writer.start()
        try:
            for batch in drain(self._read, self._broken):
                if self._is_ending():
                    batch.abandon()
                    continue
                with self.stats.stages.timed(WAIT):
                    batch.wait()
                with self.stats.stages.timed(EMBED):
                    outcomes = embed_batch(batch, self.embedder, self.batch_size, mounted)
                put(self._done, (batch.claim, outcomes), self._broken)
                if is_delayed_whole(batch, outcomes):
                    self.stop.wait(LATE_SECONDS)
        except ReadingStopped:
            # A picture that was not prepared any more, since the pipeline broke; by what is told below.
            self._broken.set()
        except BaseException:
            self._broken.set()
            raise
        finally:
            put(self._done, None, self._broken)
            reader.join()
            writer.join()
        if self._errors:
            raise self._errors[0]

    def _is_ending(self) -> bool:
        return self.stop.is_set() or self._broken.is_set()

    def _guard(self, work: Callable[[], None], output: queue.Queue[Batch | None] | None) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            self._broken.set()
        finally:
            if output is not None:
                put(output, None, self._broken)

    def _read_batches(self) -> None:
        urls = AllowedUrls.of(self.reading.collection.url_prefixes)

        def prepare(image: StoredImage) -> PreparedImage:
            if self._broken.is_set():
                raise ReadingStopped  # Nobody asks for it any more.
            return prepare_image(image, self.options.root, self.embedder, urls, self.options.fetch)

        with ImageLoader(prepare, self.options.decode_threads) as pool:
            for claim in self._claims():
                # Had a worker died with it in company, the company would be under suspicion next.
                if claim.is_quarantined and not self.leases.wait_until_only(claim.token, self._is_ending):
                    return
                try:
                    batch = Batch(claim, tuple(self._submit(claim, pool)))
                except ReadingStopped:
                    return
                put(self._read, batch, self._broken)
                if claim.is_quarantined and not self.leases.wait_until_gone(claim.token, self._is_ending):
                    return

    def _claims(self) -> JobClaimer:
        options = self.options
        return JobClaimer(
            self.reading.connection,
            self.reading.collection,
            self.name,
            self.leases,
            self.stats,
            self.throttle,
            self._is_ending,
            self._pause,
            batch_size=options.batch_size,
            lease_seconds=options.lease_seconds,
            follow=options.follow,
            limit=options.limit,
            after_outage=options.after_outage,
            place=self.place,
        )

    def _pause(self, seconds: float = POLL_SECONDS) -> None:
        if not self._broken.is_set():
            self.stop.wait(seconds)

    def _submit(self, claim: Claim, pool: ImageLoader) -> Iterator[PendingKey]:
        wanted: list[tuple[Job, Key]] = []
        for job in claim.jobs:
            for key in job.keys:
                if job.deaths >= MAX_DEATHS:
                    yield PendingKey(job, key, failed_future(deadly_image(job)))
                else:
                    wanted.append((job, key))
        has_content = self.reading.collection.content_column is not None
        previous: list[Future[PreparedImage]] = []
        for chunk in chunked(wanted, CONTENT_ROWS_PER_READ if has_content else max(len(wanted), 1)):
            stored = {image.position: image for image in self._read_images([key for _, key in chunk])}
            futures: list[Future[PreparedImage]] = []
            for index, (job, key) in enumerate(chunk):
                image = stored.get(index)
                future = None
                if image is not None:
                    future = pool.submit(image)
                    # Those of hosts hold no bytes of the table, and are not waited for.
                    if image.content is not None:
                        futures.append(future)
                yield PendingKey(job, key, future, image.reference_hash if image else None)
            if has_content:
                wait(previous)
                previous = futures

    def _read_images(self, keys: Sequence[Key]) -> list[StoredImage]:
        """Read rows, waiting for as long as the application keeps readers out of the table.

        Raises:
            ReadingStopped: The pipeline ended meanwhile. (An empty answer would say that the rows are gone.)
        """
        while True:
            try:
                with self.stats.stages.timed(READ):
                    return self.reading.read_images(keys)
            except psycopg.errors.LockNotAvailable as error:
                log.info("%s is locked against reading; waiting", self.reading.collection.shown_source)
                if self._is_ending():
                    raise ReadingStopped from error
                self._pause()

    def _write_batches(self) -> None:
        for claim, outcomes in drain(self._done, self._broken):
            with self.stats.stages.timed(WRITE):
                written = write_outcomes(self.writing, claim, outcomes, self.embedder.precision)
            self.leases.discard(claim.token)
            self.stats.add(written)
            self.on_progress(self.stats)


def deadly_image(job: Job) -> ImageError:
    """Return the failure of a key that its workers did not survive."""
    return ImageError(
        "worker_died", f"{job.deaths} workers died with this image in hand, the last ones with it alone"
    )


def failed_future(error: ImageError) -> Future[PreparedImage]:
    """Return a future that has failed already."""
    future: Future[PreparedImage] = Future()
    future.set_exception(error)
    return future


def put(target: queue.Queue, item: object, broken: threading.Event) -> None:  # type: ignore[type-arg]
    """Put an item, waiting for room unless the pipeline broke."""
    while True:
        try:
            target.put(item, timeout=0.2)
            return
        except queue.Full:
            if broken.is_set():
                return


def drain(source: queue.Queue, broken: threading.Event) -> Iterator:  # type: ignore[type-arg]
    """Yield items until None, or until the pipeline broke."""
    while True:
        try:
            item = source.get(timeout=0.2)
        except queue.Empty:
            if broken.is_set():
                return
            continue
        if item is None:
            return
        yield item
