"""Bounded pipeline of a worker: one thread claims and reads, a pool decodes, the caller embeds, one thread writes.

Claiming, working and writing are separate transactions, and no transaction is open while a model computes.
"""

import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from itertools import islice
from typing import Any

import psycopg

from imgvec_pg.backfill.batch.embed_batch import embed_batch
from imgvec_pg.backfill.batch.image_loader import ImageLoader
from imgvec_pg.backfill.batch.pending import Batch, PendingKey
from imgvec_pg.backfill.batch.preparation import prepare_images
from imgvec_pg.backfill.batch.queues import GATHER_SECONDS, drain, drain_several, put
from imgvec_pg.backfill.batch.reading import CONTENT_ROWS_PER_READ, ImageReader
from imgvec_pg.backfill.batch.retry import is_delayed_whole
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture, SharedPictures
from imgvec_pg.backfill.batch.slow_hosts import LATE_SECONDS, await_hosts
from imgvec_pg.backfill.batch.writer import Finished, WriteSize, write_finished
from imgvec_pg.backfill.claiming import POLL_SECONDS, JobClaimer
from imgvec_pg.backfill.context import WorkerContext
from imgvec_pg.backfill.stats import EMBED, READ, WAIT, WRITE
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.url import AllowedUrls
from imgvec_pg.store.embeddings import EmbeddingStore, StoredImage
from imgvec_pg.store.queue.jobs import MAX_DEATHS, Claim, Job, Key

log = logging.getLogger(__name__)

BATCHES_AHEAD = 2
UNWRITTEN_BATCHES = 16
"""Embedded and not written: vectors alone, a few kB a picture. Those that wait are written together."""


class ReadingStopped(Exception):
    """The application holds the source locked and the worker was asked to stop."""


class Pipeline:
    """Bounded pipeline: claims, loads, embeds and writes batches until the queue is empty or the worker stops.

    Args:
        context: What it shares with the worker; `broken` is not set.
        reading: Store over the connection that claims and reads.
        writing: Store over the connection that writes.
        looking_up: Store over the one that finds pictures which the collection has; None to compute all.
    """

    def __init__(
        self,
        context: WorkerContext,
        reading: EmbeddingStore,
        writing: EmbeddingStore,
        looking_up: EmbeddingStore | None = None,
    ) -> None:
        self.context = context
        self.reading = reading
        self.writing = writing
        has_content = context.collection.content_column is not None
        self._connections = [
            store.connection for store in (reading, writing, looking_up) if store is not None
        ]
        self._reader = ImageReader(reading, CONTENT_ROWS_PER_READ if has_content else sys.maxsize)
        precision = context.embedder.precision
        self._pictures = SharedPictures(None if looking_up is None else looking_up.known_pictures(precision))
        self._read: queue.Queue[Batch | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._done: queue.Queue[tuple[Finished, int] | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._write_size = WriteSize(context.collection.dimensions)
        self._errors: list[BaseException] = []

    def run(self) -> None:
        """Work until the queue is empty (or `stop` is set) and everything embedded is written.

        Raises:
            The first error of any of its threads; no thread of it runs any more, and its leases are the caller's
            to give back.
        """
        context = self.context
        reader = threading.Thread(
            target=self._guard, args=(self._read_batches, self._read), name="imgvec-read"
        )
        writer = threading.Thread(target=self._guard, args=(self._write_batches, None), name="imgvec-write")
        # Where pictures are in the table too, an empty folder tells nothing.
        mounted = None if context.collection.content_column else context.options.root
        reader.start()
        writer.start()
        try:
            for batch in drain(self._read, context.broken):
                if context.is_ending():
                    batch.abandon()
                    continue
                with context.stats.stages.timed(WAIT):
                    await_hosts(batch)
                pictures = batch.pictures()
                new = {id(each): each for each in pictures if each.embedding is None}
                with context.stats.stages.timed(EMBED):
                    outcomes = embed_batch(batch, context.embedder, context.batch_size, mounted)
                computed = sum(each.embedding is not None for each in new.values())
                context.stats.note_batch(len(pictures), computed)
                self._pictures.keep(batch.claim.token, pictures)
                put(self._done, ((batch.claim, outcomes), computed), context.broken)
                if is_delayed_whole(batch, outcomes):
                    context.stop.wait(LATE_SECONDS)
        except ReadingStopped:
            # A picture that was not prepared any more, since the pipeline broke; by what is told below.
            context.broken.set()
        except BaseException:
            context.broken.set()
            raise
        finally:
            put(self._done, None, context.broken)
            reader.join()
            writer.join()
        if self._errors:
            raise self._errors[0]

    def _guard(self, work: Callable[[], None], output: queue.Queue[Batch | None] | None) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            self.context.broken.set()
        finally:
            if output is not None:
                put(output, None, self.context.broken)

    def _read_batches(self) -> None:
        context, options = self.context, self.context.options
        urls = AllowedUrls.of(context.collection.url_prefixes)

        def prepare(images: Sequence[StoredImage]) -> list[SharedPicture | Exception]:
            if context.broken.is_set():
                raise ReadingStopped  # Nobody asks for them any more.
            with context.stats.pictures.counted():
                return prepare_images(
                    images,
                    options.root,
                    context.embedder,
                    urls,
                    options.fetch,
                    rendering=context.collection.rendering,
                    bands=context.collection.bands,
                    pictures=self._pictures,
                )

        claimer = JobClaimer(context, self.reading.connection, self._connections)
        # What is claimed by a few keys is written by as few.
        self._write_size.bound = claimer.throttle.keys_in_a_statement
        with ImageLoader(prepare, options.decode_threads) as pool:
            for claims in claimer.together():
                # Had a worker died with it in company, the company would be under suspicion next.
                quarantined = next((claim.token for claim in claims if claim.is_quarantined), None)
                if quarantined and not context.leases.wait_until_only(quarantined, context.is_ending):
                    return
                try:
                    for batch in self._load(claims, pool):
                        put(self._read, batch, context.broken)
                except ReadingStopped:
                    return
                if quarantined and not context.leases.wait_until_gone(quarantined, context.is_ending):
                    return

    def _load(self, claims: Sequence[Claim], pool: ImageLoader) -> Iterator[Batch]:
        """Yield claims whose pictures are being loaded. Rows without bytes are read for all of them at once."""
        wanted = [
            [(job, key) for job in claim.jobs if job.deaths < MAX_DEATHS for key in job.keys]
            for claim in claims
        ]
        images: Iterator[StoredImage | None] | None = None
        if self.context.collection.content_column is None:
            keys = [key for each in wanted for _, key in each]
            stored = {image.position: image for image in self._read_images(keys)}
            images = map(stored.get, range(len(keys)))
        for claim, living in zip(claims, wanted, strict=True):
            pending = [
                PendingKey(job, key, failed_future(deadly_image(job)))
                for job in claim.jobs
                if job.deaths >= MAX_DEATHS
                for key in job.keys
            ]
            if images is None:
                pending += self._submit_read(living, pool)
            else:
                pending += self._submit(living, list(islice(images, len(living))), pool)
            yield Batch(claim, tuple(pending))

    def _submit_read(self, wanted: Sequence[tuple[Job, Key]], pool: ImageLoader) -> Iterator[PendingKey]:
        """Read rows with pictures a few at a time, the next ones once those before the last are prepared."""
        previous: list[Future[SharedPicture]] = []
        for chunk in chunked(wanted, CONTENT_ROWS_PER_READ):
            stored = {image.position: image for image in self._read_images([key for _, key in chunk])}
            images = list(map(stored.get, range(len(chunk))))
            pending = self._submit(chunk, images, pool)
            yield from pending
            wait(previous)
            # Those of hosts hold no bytes of the table, and are not waited for.
            previous = [
                each.image
                for each, image in zip(pending, images, strict=True)
                if each.image is not None and image is not None and image.content is not None
            ]

    def _submit(
        self, wanted: Sequence[tuple[Job, Key]], images: Sequence[StoredImage | None], pool: ImageLoader
    ) -> list[PendingKey]:
        """Have the pictures of rows loaded; None is a row that is gone."""
        futures = iter(
            pool.submit([image for image in images if image is not None and image.failure is None])
        )
        pending = []
        for (job, key), image in zip(wanted, images, strict=True):
            if image is None:
                pending.append(PendingKey(job, key, None))
                continue
            future = next(futures) if image.failure is None else failed_future(image.failure)
            pending.append(PendingKey(job, key, future, image.reference_hash))
        return pending

    def _read_images(self, keys: Sequence[Key]) -> list[StoredImage]:
        """Read rows, waiting for as long as the application keeps readers out of the table.

        Raises:
            ReadingStopped: The pipeline ended meanwhile. (An empty answer would say that the rows are gone.)
        """

        def go_on() -> None:
            if self.context.is_ending():
                raise ReadingStopped

        while True:
            try:
                with self.context.stats.stages.timed(READ):
                    return self._reader.read(keys, go_on)
            except psycopg.errors.LockNotAvailable as error:
                log.info("%s is locked against reading; waiting", self.context.collection.shown_source)
                if self.context.is_ending():
                    raise ReadingStopped from error
                self.context.pause(POLL_SECONDS)

    def _write_batches(self) -> None:
        context = self.context
        for batches in drain_several(
            self._done, context.broken, lambda: self._write_size.keys, self._may_gather
        ):
            finished = [each for each, _ in batches]
            with context.stats.stages.timed(WRITE):
                written = write_finished(self.writing, finished, context.embedder.precision, self._write_size)
            # No more waits than one transaction writes: at the end, on SIGTERM too, all of it is written first.
            fitting = self._write_size.keys // context.options.batch_size
            self._done.maxsize = max(BATCHES_AHEAD, min(fitting, UNWRITTEN_BATCHES))
            for claim, _ in finished:
                self._pictures.release(claim.token)
                context.leases.discard(claim.token)
            context.stats.add(written, sum(computed for _, computed in batches))
            context.on_progress(context.stats)

    def _may_gather(self, found: Sequence[tuple[Finished, int]]) -> bool:
        """Whether another batch is in hand that comes soon, so that batches found are worth holding for it."""
        rate = self.context.stats.steady.per_second() or 0.0
        is_soon = rate * GATHER_SECONDS >= self.context.batch_size.images
        return is_soon and len(self.context.leases.held()) > len(found)


def deadly_image(job: Job) -> ImageError:
    """Return the failure of a key that its workers did not survive."""
    return ImageError(
        "worker_died", f"{job.deaths} workers died with this image in hand, the last ones with it alone"
    )


def failed_future(error: ImageError) -> Future[SharedPicture]:
    """Return a future that has failed already."""
    future: Future[SharedPicture] = Future()
    future.set_exception(error)
    return future


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
