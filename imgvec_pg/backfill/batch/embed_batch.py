"""Embed a loaded batch and say what became of each key."""

from collections.abc import Sequence
from pathlib import Path

from imgvec_pg.backfill.batch.isolation import BatchSize, embed_fitting
from imgvec_pg.backfill.batch.pending import Batch, HostFuture, PendingKey
from imgvec_pg.backfill.batch.retry import record_error
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture
from imgvec_pg.backfill.batch.slow_hosts import late
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError, PicturesAwayError
from imgvec_pg.images.fetching.folders import explain_absence
from imgvec_pg.store.embeddings import EmbeddedKey, Outcome


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
    ready: list[tuple[PendingKey, SharedPicture]] = []
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
    errors = embed_pictures([picture for _, picture in ready], embedder, batch_size)
    for pending, picture in ready:
        outcome = outcomes[pending.job.id]
        if picture.embedding is None:
            record_error(outcome, pending, errors[picture.content_hash])
        else:
            outcome.embedded.append(
                EmbeddedKey(
                    pending.key,
                    pending.job.version,
                    picture.embedding,
                    picture.content_hash,
                    pending.reference_hash,
                    picture.note,
                    picture.donor,
                    pending.job.attempts - 1,
                )
            )
    return list(outcomes.values())


def embed_pictures(
    pictures: Sequence[SharedPicture], embedder: Embedder, batch_size: BatchSize
) -> dict[bytes, ImageError]:
    """Embed each picture once that has no vector yet, and return why one has none, by the hash of its bytes."""
    new = list({id(picture): picture for picture in pictures if picture.embedding is None}.values())
    errors: dict[bytes, ImageError] = {}
    results = embed_fitting([picture.prepared for picture in new], embedder, batch_size)
    for picture, result in zip(new, results, strict=True):
        if isinstance(result, ImageError):
            errors[picture.content_hash] = result
        else:
            picture.is_embedded(result)
    return errors
