"""A claimed batch: its keys, each with its image being loaded."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from imgvec_pg.store.queue.jobs import Claim, Job, Key


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

    def abandon(self) -> None:
        """Cancel what was not begun; the claim is given back by the worker."""
        for pending in self.pending:
            if pending.image is not None:
                pending.image.cancel()
