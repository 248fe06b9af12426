"""Thread pools that fetch, decode and preprocess images, with a limit for each host so that a slow one delays no other."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from imgvec_pg.backfill.batch.pending import HostFuture
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture
from imgvec_pg.backfill.batch.slow_hosts import late
from imgvec_pg.images.decoding.malloc import keep_few_heaps
from imgvec_pg.images.fetching.http_pool import connections
from imgvec_pg.images.reference import url_authority
from imgvec_pg.store.embeddings import StoredImage

PER_HOST = 4
"""Requests at once to one host, of one process."""
HOST_THREADS = 16
"""Requests at once to all hosts: each may hold a picture of up to 64 MiB."""
MAX_WAITING = 256
"""Pictures that wait for one host, in this process; further ones wait in the queue."""
MAX_LATE = 64
"""Prepared pictures kept for rows that were delayed meanwhile."""
MAX_LATE_ERRORS = 1000

AT_ONCE = 16
"""Files, or pictures of the table, that one thread is given together: it reads and looks up several at once (preparation.py)."""

Prepare = Callable[[Sequence[StoredImage]], Sequence[SharedPicture | Exception]]
"""Prepares the first of some pictures, at least one: for each the picture, or why there is none."""
PictureId = tuple[str | None, bytes]


class ImageLoader:
    """Thread pools that prepare images, for as long as the `with` block lasts; its end waits for those submitted.

    Args:
        prepare: What is done to them.
        threads: At once, for files and bytes.
    """

    def __init__(self, prepare: Prepare, threads: int) -> None:
        keep_few_heaps()
        self._prepare = prepare
        self._threads = threads
        self._local = ThreadPoolExecutor(threads, thread_name_prefix="imgvec-decode")
        self._remote = ThreadPoolExecutor(HOST_THREADS, thread_name_prefix="imgvec-fetch")
        self._lock = threading.Lock()
        self._all_done = threading.Condition(self._lock)
        self._busy: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[StoredImage, HostFuture]]] = {}
        self._known: dict[PictureId, HostFuture] = {}

    def __enter__(self) -> "ImageLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._local.shutdown()
        with self._all_done:
            for queue in self._waiting.values():
                for _, future in queue:
                    if future.is_late:  # Its row was delayed: nobody waits.
                        future.cancel()
            self._all_done.wait_for(lambda: not self._busy)
        self._remote.shutdown()
        connections.close()

    def submit(self, images: Sequence[StoredImage]) -> "list[Future[SharedPicture]]":
        """Prepare pictures when their turn comes; one of a host that was late before is not fetched again."""
        authorities = [None if image.path is None else url_authority(image.path) for image in images]
        local = [image for image, authority in zip(images, authorities, strict=True) if authority is None]
        futures = iter(self._submit_local(local))
        return [
            next(futures) if authority is None else self._submit_remote(image, authority)
            for image, authority in zip(images, authorities, strict=True)
        ]

    def _submit_local(self, images: Sequence[StoredImage]) -> "list[Future[SharedPicture]]":
        futures: list[Future[SharedPicture]] = [Future() for _ in images]
        size = min(-(-len(images) // self._threads), AT_ONCE)
        for start in range(0, len(images), max(size, 1)):
            part = slice(start, start + size)
            self._local.submit(self._run_local, list(zip(images[part], futures[part], strict=True)))
        return futures

    def _run_local(self, left: "list[tuple[StoredImage, Future[SharedPicture]]]") -> None:
        """Prepare pictures, a few at a time, but those that nobody waits for any more."""
        while left := [(image, future) for image, future in left if not future.cancelled()]:
            results = self._prepared([image for image, _ in left])
            for (_, future), result in zip(left, results, strict=False):
                if future.set_running_or_notify_cancel():
                    settle(future, result)
            left = left[len(results) :]

    def _prepared(self, images: Sequence[StoredImage]) -> Sequence[SharedPicture | BaseException]:
        """Return what became of the first of them, or of all the error that ended it."""
        try:
            return self._prepare(images)
        except BaseException as error:
            return [error] * len(images)

    def _submit_remote(self, image: StoredImage, authority: str) -> "Future[SharedPicture]":
        with self._lock:
            known = self._known.get(picture_id(image))
            if known is not None and not known.cancelled():
                if known.done():
                    del self._known[picture_id(image)]
                return known
            future = HostFuture()
            if len(self._waiting.get(authority, ())) >= MAX_WAITING:
                future.set_exception(late())
                return future
            self._known[picture_id(image)] = future
            if self._busy.get(authority, 0) < PER_HOST:
                self._busy[authority] = self._busy.get(authority, 0) + 1
                self._remote.submit(self._run, authority, image, future)
            else:
                self._waiting.setdefault(authority, deque()).append((image, future))
        return future

    def _run(self, authority: str, image: StoredImage, future: HostFuture) -> None:
        """Prepare a picture, then let the next of the same host have its place."""
        if future.set_running_or_notify_cancel():
            settle(future, self._prepared([image])[0])
        with self._all_done:
            self._finish(image, future)
            queue = self._waiting.get(authority)
            if queue:
                self._remote.submit(self._run, authority, *queue.popleft())
                return
            self._waiting.pop(authority, None)
            self._busy[authority] -= 1
            if not self._busy[authority]:
                del self._busy[authority]
                self._all_done.notify_all()

    def _finish(self, image: StoredImage, future: HostFuture) -> None:
        """Forget a picture that somebody waits for; keep what became of one whose row was delayed, until it comes again."""
        if not (future.is_late and not future.cancelled()) and self._known.get(picture_id(image)) is future:
            del self._known[picture_id(image)]
        done = [(key, known) for key, known in self._known.items() if known.done() and not known.cancelled()]
        pictures = [key for key, known in done if known.exception() is None]
        errors = [key for key, known in done if known.exception() is not None]
        for key in (*pictures[:-MAX_LATE], *errors[:-MAX_LATE_ERRORS]):
            del self._known[key]


def settle(future: "Future[SharedPicture]", result: SharedPicture | BaseException) -> None:
    """Give whoever waits what has become of a picture."""
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


def picture_id(image: StoredImage) -> PictureId:
    """Return what two rows with the same picture have in common."""
    return image.path, image.reference_hash
