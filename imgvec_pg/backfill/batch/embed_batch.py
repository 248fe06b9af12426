"""Embed a loaded batch and say what became of each key."""

from pathlib import Path

from imgvec_pg.backfill.batch.isolation import BatchSize, embed_fitting
from imgvec_pg.backfill.batch.pending import Batch, HostFuture, PendingKey, PreparedImage
from imgvec_pg.backfill.batch.retry import record_error
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
                    pending.key,
                    pending.job.version,
                    result,
                    image.content_hash,
                    pending.reference_hash,
                    image.note,
                )
            )
    return list(outcomes.values())
