"""Queues between the threads of a pipeline: bounded, and left as soon as the pipeline broke."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from imgvec_pg.backfill.batch.writer import Finished

GATHER_SECONDS = 0.25
"""How long an embedded batch may wait for the next one, where that is about to come: a transaction costs the server as much as
some tens of rows."""


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


def drain_several(
    source: "queue.Queue[tuple[Finished, int] | None]",
    broken: threading.Event,
    keys: Callable[[], int],
    may_gather: Callable[[Sequence[tuple[Finished, int]]], bool] = lambda found: False,
) -> Iterator[list[tuple[Finished, int]]]:
    """Yield what is there, at least one batch and up to so many keys, until None, or until the pipeline broke.

    Args:
        may_gather: Whether more is worth waiting for, GATHER_SECONDS at most.
    """
    for first in drain(source, broken):
        found = [first]
        is_last = False
        until = time.monotonic() + GATHER_SECONDS
        while not is_last and sum(claim.key_count() for (claim, _), _ in found) < keys():
            seconds = until - time.monotonic() if may_gather(found) else 0.0
            try:
                item = source.get(timeout=seconds) if seconds > 0 else source.get_nowait()
            except queue.Empty:
                break
            is_last = item is None
            if item is not None:
                found.append(item)
        yield found
        if is_last:
            return
