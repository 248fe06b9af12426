"""Data types of a claimed batch: its keys, each with the future of its image."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from imgvec_pg.images.rendering.picture_note import PictureNote
from imgvec_pg.store.queue.jobs import Claim, Job, Key


@dataclass(frozen=True)
class PreparedImage:
    """A preprocessed image, and the SHA-256 of the bytes it came from.

    Attributes:
        note: What to note of it; None for most.
    """

    prepared: Any
    content_hash: bytes
    note: PictureNote | None = None


class HostFuture(Future[PreparedImage]):
    """Future of an image that is fetched from a host.

    Attributes:
        is_late: Nobody waits for it any more: its row was delayed, and will ask again.
    """

    is_late = False


@dataclass(frozen=True)
class PendingKey:
    """One key of a job and the future of its image; None when the row is gone from the source."""

    job: Job
    key: Key
    image: Future[PreparedImage] | None
    reference_hash: bytes | None = None


@dataclass(frozen=True)
class Batch:
    """A claim whose images are being loaded."""

    claim: Claim
    pending: tuple[PendingKey, ...]

    def abandon(self) -> None:
        """Cancel what was not begun; the claim is given back by the worker."""
        for pending in self.pending:
            if pending.image is not None:
                pending.image.cancel()
