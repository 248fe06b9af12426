"""Data types of a claimed batch: its keys, each with the future of its image."""

from concurrent.futures import Future
from dataclasses import dataclass

from imgvec_pg.backfill.batch.shared_pictures import SharedPicture
from imgvec_pg.store.queue.jobs import Claim, Job, Key


class HostFuture(Future[SharedPicture]):
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
    image: Future[SharedPicture] | None
    reference_hash: bytes | None = None


@dataclass(frozen=True)
class Batch:
    """A claim whose images are being loaded."""

    claim: Claim
    pending: tuple[PendingKey, ...]

    def pictures(self) -> list[SharedPicture]:
        """Return those that came."""
        images = [pending.image for pending in self.pending]
        return [
            i.result()
            for i in images
            if i is not None and i.done() and not i.cancelled() and not i.exception()
        ]

    def abandon(self) -> None:
        """Cancel what was not begun; the claim is given back by the worker."""
        for pending in self.pending:
            if pending.image is not None:
                pending.image.cancel()
