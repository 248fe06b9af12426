"""Wait for images of slow hosts up to a deadline; those that are late are delayed, at no attempt's cost."""

import time
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

from imgvec_pg.backfill.batch.pending import Batch, HostFuture
from imgvec_pg.errors import ImageError

LATE_SECONDS = 3.0
"""How long a batch waits for the next picture of a host, once those that need none are there."""
LONGEST_WAIT_SECONDS = 15.0
"""And for all of them."""
LATE_DELAY_SECONDS = 5.0


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
    """Return the error of an image that is not waited for any more: its key is delayed."""
    return ImageError(
        "fetch_later",
        "its host is slow: fetched again later",
        transient=True,
        retry_after_seconds=LATE_DELAY_SECONDS,
        counts_as_attempt=False,
    )
