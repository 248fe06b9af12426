"""What travels through the worker: a claimed batch, its pictures on the way, and what became of them."""

import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from imgvec_pg.backfill.isolation import BatchSize, embed_fitting
from imgvec_pg.backfill.shared_decoding import prepare_picture
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError, ImgvecError, PicturesAwayError
from imgvec_pg.images.decoding.malloc import give_back_memory
from imgvec_pg.images.fetching.application_fetch import Fetch, read_picture
from imgvec_pg.images.fetching.folders import explain_absence
from imgvec_pg.images.fetching.url import NO_URLS, AllowedUrls
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.store.embeddings import EmbeddedKey, FailedKey, Outcome, StoredImage
from imgvec_pg.store.queue.jobs import MAX_ATTEMPTS, Claim, DelayedKey, Job, Key

LATE_SECONDS = 3.0
"""How long a batch waits for the next picture of a host, once those that need none are there."""
LONGEST_WAIT_SECONDS = 15.0
"""And for all of them."""
LATE_DELAY_SECONDS = 5.0
FIRST_DELAY_SECONDS = 2.0
"""Pause before a failed key is tried again; four times as long each time, with jitter."""


@dataclass(frozen=True)
class PreparedImage:
    """A picture as the model wants it, and the SHA-256 of the bytes it came from."""

    prepared: Any
    content_hash: bytes


class HostFuture(Future[PreparedImage]):
    """A picture that a host was asked for.

    Attributes:
        is_late: Nobody waits for it any more: its row was delayed, and will ask again.
    """

    is_late = False


@dataclass(frozen=True)
class PendingKey:
    """One key of a job and its picture on the way; None when the row is gone from the source."""

    job: Job
    key: Key
    image: Future[PreparedImage] | None
    reference_hash: bytes | None = None


@dataclass(frozen=True)
class Batch:
    """A claim with its pictures on the way."""

    claim: Claim
    pending: tuple[PendingKey, ...]

    def wait(self) -> None:
        """Wait until all its pictures are there, or cannot be had, or are late."""
        await_hosts(self)

    def abandon(self) -> None:
        """Cancel what was not begun; the claim is given back by the worker."""
        for pending in self.pending:
            if pending.image is not None:
                pending.image.cancel()


def prepare_image(
    stored: StoredImage,
    root: Path | None,
    embedder: Embedder,
    urls: AllowedUrls = NO_URLS,
    fetch: Fetch | None = None,
) -> PreparedImage:
    """Fetch, decode and preprocess one picture; runs in a thread.

    Args:
        fetch: Reads a path instead of the file below the root; URLs too where the collection allows none.

    Raises:
        ImageError: It cannot be had or decoded, whatever the reason: its neighbours go on.
        PicturesAwayError: None can be had.
        DecoderError, MissingExtraError: None can be decoded or fetched here.
    """
    if stored.problem is not None:
        raise ImageError("unreadable_row", f"the row cannot be read: {stored.problem}")
    if stored.path is None and stored.content is None:
        raise ImageError("no_image", "the row's image is NULL")
    if stored.path is not None and stored.content is not None:
        raise ImageError("two_images", "the row has both a path and bytes: set one of them to NULL")
    try:
        return _prepare(stored, root, embedder, urls, fetch)
    except ImgvecError as error:
        raise _bare(error) from None
    except Exception as error:
        raise ImageError("decode_error", f"{type(error).__name__}: {error}") from _bare(error)
    finally:
        give_back_memory()


def _prepare(
    stored: StoredImage, root: Path | None, embedder: Embedder, urls: AllowedUrls, fetch: Fetch | None
) -> PreparedImage:
    data = read_picture(ImageReference(path=stored.path, content=stored.content), root, urls, fetch)
    return PreparedImage(prepare_picture(embedder, data), hashlib.sha256(data).digest())


Raised = TypeVar("Raised", bound=BaseException)


def _bare(error: Raised) -> Raised:
    """Return an error without its traceback: it waits in a batch, and the frames would keep the picture's bytes with it."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error


def retry_delay_seconds(attempts: int) -> float:
    """Return the pause before try `attempts` + 1: 2 s, 8 s, … times 0.5 to 1.5."""
    return FIRST_DELAY_SECONDS * 4.0 ** (attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter


def record_error(outcome: Outcome, pending: PendingKey, error: ImageError) -> None:
    """Enter a picture's error into its job's outcome: later if that may help, else a failure."""
    job = pending.job
    if error.transient and (job.attempts < MAX_ATTEMPTS or not error.counts_as_attempt):
        delay = max(retry_delay_seconds(job.attempts), error.retry_after_seconds or 0.0)
        attempts = job.attempts if error.counts_as_attempt else job.attempts - 1
        outcome.delayed.append(DelayedKey(pending.key, job.version, attempts, delay))
    else:
        outcome.failed.append(
            FailedKey(pending.key, job.version, error.code, str(error), job.attempts, pending.reference_hash)
        )


def embed_batch(
    batch: Batch, embedder: Embedder, batch_size: BatchSize, mounted: Path | None = None
) -> list[Outcome]:
    """Embed a batch's pictures, which have been waited for, and say what became of each key.

    Args:
        mounted: The folder that all pictures are under. When it is empty and the whole batch is not found, it is
            taken for a folder that is not mounted.

    Raises:
        PicturesAwayError: The folder with the pictures is gone; no picture is to blame.
        DeviceMemoryError: Not one image fits on the device; no picture is to blame.
        Exception: The model itself no longer works; no picture is to blame.
    """
    outcomes = {job.id: Outcome(job.id) for job in batch.claim.jobs}
    codes: set[str] = set()
    ready: list[tuple[PendingKey, PreparedImage]] = []
    for pending in batch.pending:
        if pending.image is None:
            continue
        try:
            if isinstance(pending.image, HostFuture) and pending.image.is_late:
                raise late()
            ready.append((pending, pending.image.result()))
        except PicturesAwayError:
            raise
        except ImageError as error:
            codes.add(error.code)
            record_error(outcomes[pending.job.id], pending, error)
    if mounted is not None and not ready and codes == {"not_found"}:
        away = explain_absence(mounted, may_be_empty=False)
        if away is not None:
            raise PicturesAwayError(mounted, away)
    results = embed_fitting([image.prepared for _, image in ready], embedder, batch_size)
    for (pending, image), result in zip(ready, results, strict=True):
        outcome = outcomes[pending.job.id]
        if isinstance(result, ImageError):
            record_error(outcome, pending, result)
        else:
            outcome.embedded.append(
                EmbeddedKey(
                    pending.key, pending.job.version, result, image.content_hash, pending.reference_hash
                )
            )
    return list(outcomes.values())


def await_hosts(batch: Batch) -> None:
    """Wait for all pictures, but not for long for those of slow hosts: what does not come is marked as late."""
    images = [pending.image for pending in batch.pending if pending.image is not None]
    remote = [image for image in images if isinstance(image, HostFuture)]
    for image in remote:
        image.is_late = False
    wait([image for image in images if not isinstance(image, HostFuture)])
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    missing: set[Any] = set(remote)
    while missing and (seconds := min(LATE_SECONDS, deadline - time.monotonic())) > 0:
        came, missing = wait(missing, seconds, FIRST_COMPLETED)
        if not came:
            break
    for image in missing:
        image.is_late = True


def late() -> ImageError:
    """Return what is said of a picture that is not waited for any more."""
    return ImageError(
        "fetch_later",
        "its host is slow: it is asked for again later",
        transient=True,
        retry_after_seconds=LATE_DELAY_SECONDS,
        counts_as_attempt=False,
    )


def is_delayed_whole(batch: Batch, outcomes: Sequence[Outcome]) -> bool:
    """Whether all that came of a batch is that hosts were not ready: the next would fare no better just now."""
    tries = {job.id: job.attempts for job in batch.claim.jobs}
    delayed = [key.attempts < tries[outcome.job_id] for outcome in outcomes for key in outcome.delayed]
    return bool(delayed) and all(delayed) and not any(o.embedded or o.failed for o in outcomes)


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
