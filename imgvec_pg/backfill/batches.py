"""What travels through the worker: a claimed batch, its pictures on the way, and what became of them."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgvec_pg.backfill.isolation import BatchSize, embed_fitting
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError, PicturesAwayError
from imgvec_pg.images.decode import decode_image
from imgvec_pg.images.fetch import fetch_bytes
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.images.root import explain_absence
from imgvec_pg.images.sources import Fetch
from imgvec_pg.store.embeddings import EmbeddedKey, FailedKey, Outcome, StoredImage
from imgvec_pg.store.jobs import MAX_ATTEMPTS, Claim, Job, Key, PutOffKey

FIRST_DELAY_SECONDS = 2.0
"""Pause before a failed key is tried again; four times as long each time, with jitter."""


@dataclass(frozen=True)
class PreparedImage:
    """A picture as the model wants it, and the SHA-256 of the bytes it came from."""

    prepared: Any
    content_hash: bytes


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
        """Wait until all its pictures are there, or cannot be had."""
        wait([pending.image for pending in self.pending if pending.image is not None])

    def abandon(self) -> None:
        """Cancel what was not begun; the claim is given back by the worker."""
        for pending in self.pending:
            if pending.image is not None:
                pending.image.cancel()


def prepare_image(
    stored: StoredImage, root: Path | None, embedder: Embedder, fetch: Fetch | None = None
) -> PreparedImage:
    """Fetch, decode and preprocess one picture; runs in a thread.

    Args:
        fetch: Reads a path instead of the file below the root.

    Raises:
        ImageError: It cannot be had or decoded, whatever the reason: its neighbours go on.
        PicturesAwayError: None can be had.
    """
    if stored.path is None and stored.content is None:
        raise ImageError("no_image", "the row's image is NULL")
    if stored.path is not None and stored.content is not None:
        raise ImageError("two_images", "the row has both a path and bytes: set one of them to NULL")
    try:
        if fetch is not None and stored.path is not None:
            data = fetch(stored.path)
        else:
            data = fetch_bytes(ImageReference(path=stored.path, content=stored.content), root)
        return PreparedImage(embedder.prepare_image(decode_image(data)), hashlib.sha256(data).digest())
    except ImageError:
        raise
    except Exception as error:
        raise ImageError("decode_error", f"{type(error).__name__}: {error}") from error


def retry_delay_seconds(attempts: int) -> float:
    """Return the pause before try `attempts` + 1: 2 s, 8 s, … times 0.5 to 1.5."""
    return FIRST_DELAY_SECONDS * 4.0 ** (attempts - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter


def record_error(outcome: Outcome, pending: PendingKey, error: ImageError) -> None:
    """Enter a picture's error into its job's outcome: later if that may help, else a failure."""
    job = pending.job
    if error.transient and job.attempts < MAX_ATTEMPTS:
        delay = retry_delay_seconds(job.attempts)
        outcome.put_off.append(PutOffKey(pending.key, job.version, job.attempts, delay))
    else:
        outcome.failed.append(
            FailedKey(pending.key, job.version, error.code, str(error), job.attempts, pending.reference_hash)
        )


def embed_batch(
    batch: Batch, embedder: Embedder, batch_size: BatchSize, mounted: Path | None = None
) -> list[Outcome]:
    """Wait for a batch's pictures, embed them and say what became of each key.

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


def chunked(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
