"""The worker's bounded pipeline: one thread claims and reads, a pool decodes, the caller embeds, one thread writes.

Claiming, working and writing are separate transactions, and no transaction is open while a model computes.
"""

import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.backfill.batches import Batch, PendingKey, PreparedImage, chunked, embed_batch, prepare_image
from imgvec_pg.backfill.writer import write_outcomes
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError
from imgvec_pg.store.embeddings import EmbeddingStore, Outcome, Written
from imgvec_pg.store.jobs import MAX_ATTEMPTS, Claim, Job, claim_jobs, queue_depth

POLL_SECONDS = 0.5
BATCHES_AHEAD = 2
CONTENT_ROWS_PER_READ = 8
"""Rows read at once where pictures are in the table: bounds memory to twice as many undecoded pictures."""


@dataclass(frozen=True)
class PipelineOptions:
    """How a pipeline works; `follow` keeps it running when the queue is empty, `limit` stops it after so many keys."""

    batch_size: int = 64
    decode_threads: int = 4
    follow: bool = False
    limit: int | None = None
    root: Path | None = None


class LeaseBook:
    """The tokens a worker holds right now, shared with its heartbeat."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: set[uuid.UUID] = set()

    def add(self, token: uuid.UUID) -> None:
        """Note a lease."""
        with self._lock:
            self._tokens.add(token)

    def discard(self, token: uuid.UUID) -> None:
        """Forget a lease."""
        with self._lock:
            self._tokens.discard(token)

    def held(self) -> list[uuid.UUID]:
        """Return the tokens held."""
        with self._lock:
            return list(self._tokens)


class Pipeline:
    """Runs claimed batches through an embedder.

    Args:
        reading: Store over the connection that claims and reads.
        writing: Store over the connection that writes.
        stop: Set it to stop claiming; what is claimed but not yet being embedded is released.
        on_written: Called in the writing thread after each batch with what was written and the keys settled.
    """

    def __init__(
        self,
        reading: EmbeddingStore,
        writing: EmbeddingStore,
        embedder: Embedder,
        options: PipelineOptions,
        leases: LeaseBook,
        stop: threading.Event,
        on_written: Callable[[Written, int], None],
    ) -> None:
        self.reading = reading
        self.writing = writing
        self.embedder = embedder
        self.options = options
        self.leases = leases
        self.stop = stop
        self.on_written = on_written
        self._read: queue.Queue[Batch | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._done: queue.Queue[tuple[Claim, list[Outcome]] | None] = queue.Queue(maxsize=BATCHES_AHEAD)
        self._errors: list[BaseException] = []
        self._broken = threading.Event()

    def run(self) -> None:
        """Work until the queue is empty (or `stop` is set) and everything is written.

        Raises:
            The first error of any of its threads; leases then end by themselves or are released by the caller.
        """
        reader = threading.Thread(
            target=self._guard, args=(self._read_batches, self._read), name="imgvec-read"
        )
        writer = threading.Thread(target=self._guard, args=(self._write_batches, None), name="imgvec-write")
        reader.start()
        writer.start()
        try:
            for batch in drain(self._read, self._broken):
                if self.stop.is_set():
                    continue  # its lease is given back by the worker
                outcomes = embed_batch(batch, self.embedder, self.options.batch_size)
                put(self._done, (batch.claim, outcomes), self._broken)
        except BaseException:
            self.stop.set()
            self._broken.set()
            raise
        finally:
            put(self._done, None, self._broken)
            reader.join()
            writer.join()
        if self._errors:
            raise self._errors[0]

    def _guard(self, work: Callable[[], None], output: queue.Queue[Batch | None] | None) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            self._broken.set()
            self.stop.set()
        finally:
            if output is not None:
                put(output, None, self._broken)

    def _read_batches(self) -> None:
        claimed = 0
        with ThreadPoolExecutor(self.options.decode_threads, thread_name_prefix="imgvec-decode") as pool:
            for claim in self._claims():
                pending = tuple(self._submit(claim, pool))
                put(self._read, Batch(claim, pending), self._broken)
                claimed += len(pending)
                if self.options.limit is not None and claimed >= self.options.limit:
                    return

    def _claims(self) -> Iterator[Claim]:
        collection_id = self.reading.collection.id
        wanted = self.options.batch_size
        if self.options.limit is not None:
            wanted = min(wanted, self.options.limit)
        while not self.stop.is_set():
            claim = claim_jobs(self.reading.connection, collection_id, wanted)
            if claim.jobs:
                self.leases.add(claim.token)
                yield claim
                continue
            # Others may hold leases and die, and keys may be put off: empty means nothing waits at all.
            if not self.options.follow and not queue_depth(self.reading.connection, collection_id).waiting:
                return
            self.stop.wait(POLL_SECONDS)

    def _submit(self, claim: Claim, pool: ThreadPoolExecutor) -> Iterator[PendingKey]:
        wanted: list[tuple[Job, int]] = []
        for job in claim.jobs:
            for position in range(len(job.keys)):
                if job.attempts > MAX_ATTEMPTS:
                    yield PendingKey(job, job.keys[position], failed_future(deadly_image(job)))
                else:
                    wanted.append((job, position))
        has_content = self.reading.collection.content_column is not None
        previous: list[Future[PreparedImage]] = []
        for chunk in chunked(wanted, CONTENT_ROWS_PER_READ if has_content else max(len(wanted), 1)):
            keys = [job.keys[position] for job, position in chunk]
            stored = {image.position: image for image in self.reading.read_images(keys)}
            futures: list[Future[PreparedImage]] = []
            for index, (job, position) in enumerate(chunk):
                image = stored.get(index)
                future = None
                if image is not None:
                    future = pool.submit(prepare_image, image, self.options.root, self.embedder)
                    futures.append(future)
                yield PendingKey(job, job.keys[position], future)
            if has_content:
                wait(previous)
                previous = futures

    def _write_batches(self) -> None:
        for claim, outcomes in drain(self._done, self._broken):
            written = write_outcomes(self.writing, claim, outcomes, self.embedder.precision)
            self.leases.discard(claim.token)
            settled = sum(len(job.keys) for job in claim.jobs) - sum(len(o.put_off) for o in outcomes)
            self.on_written(written, settled)


def deadly_image(job: Job) -> ImageError:
    """Return the failure of a key that three workers did not survive."""
    return ImageError("worker_died", f"{job.attempts - 1} workers stopped while they had this image")


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
