"""Bounded pipeline of a worker: one thread claims and reads, a pool decodes, the caller embeds, one thread writes.

Claiming, working and writing are separate transactions, and no transaction is open while a model computes.
"""

import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

import psycopg

from imgvec_pg.backfill.batch.embed_batch import embed_batch
from imgvec_pg.backfill.batch.image_loader import ImageLoader
from imgvec_pg.backfill.batch.pending import Batch, PendingKey
from imgvec_pg.backfill.batch.preparation import prepare_image
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
                new = {id(each): each for each in batch.pictures() if each.embedding is None}
                with context.stats.stages.timed(EMBED):
                    outcomes = embed_batch(batch, context.embedder, context.batch_size, mounted)
                computed = sum(each.embedding is not None for each in new.values())
                self._pictures.keep(batch.claim.token, batch.pictures())
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

        def prepare(image: StoredImage) -> SharedPicture:
            if context.broken.is_set():
                raise ReadingStopped  # Nobody asks for it any more.
            with context.stats.pictures.counted():
                return prepare_image(
                    image,
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
            for claim in claimer:
                # Had a worker died with it in company, the company would be under suspicion next.
                if claim.is_quarantined and not context.leases.wait_until_only(
                    claim.token, context.is_ending
                ):
                    return
                try:
                    batch = Batch(claim, tuple(self._submit(claim, pool)))
                except ReadingStopped:
                    return
                put(self._read, batch, context.broken)
                if claim.is_quarantined and not context.leases.wait_until_gone(
                    claim.token, context.is_ending
                ):
                    return

    def _submit(self, claim: Claim, pool: ImageLoader) -> Iterator[PendingKey]:
        wanted: list[tuple[Job, Key]] = []
        for job in claim.jobs:
            for key in job.keys:
                if job.deaths >= MAX_DEATHS:
                    yield PendingKey(job, key, failed_future(deadly_image(job)))
                else:
                    wanted.append((job, key))
        has_content = self.context.collection.content_column is not None
        previous: list[Future[SharedPicture]] = []
        for chunk in chunked(wanted, CONTENT_ROWS_PER_READ if has_content else max(len(wanted), 1)):
            stored = {image.position: image for image in self._read_images([key for _, key in chunk])}
            futures: list[Future[SharedPicture]] = []
            for index, (job, key) in enumerate(chunk):
                image = stored.get(index)
                future = None
                if image is not None and image.failure is not None:
                    future = failed_future(image.failure)
                elif image is not None:
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
        for batches in drain_several(self._done, context.broken, lambda: self._write_size.keys):
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


def drain_several(
    source: "queue.Queue[tuple[Finished, int] | None]", broken: threading.Event, keys: Callable[[], int]
) -> Iterator[list[tuple[Finished, int]]]:
    """Yield what is there, at least one batch and up to so many keys, until None, or until the pipeline broke."""
    for first in drain(source, broken):
        found = [first]
        is_last = False
        while not is_last and sum(claim.key_count() for (claim, _), _ in found) < keys():
            try:
                item = source.get_nowait()
            except queue.Empty:
                break
            is_last = item is None
            if item is not None:
                found.append(item)
        yield found
        if is_last:
            return


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
