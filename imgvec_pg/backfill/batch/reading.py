"""Read the rows of a claim: fewer at a time where their bytes come slowly, down to one, which then fails alone."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg

from imgvec_pg.errors import ImageError
from imgvec_pg.store import transactions
from imgvec_pg.store.embeddings import EmbeddingStore, StoredImage
from imgvec_pg.store.queue.jobs import Key

log = logging.getLogger(__name__)

CONTENT_ROWS_PER_READ = 8
"""Rows read at once where pictures are in the table: bounds memory to twice as many undecoded pictures."""

SLOW_BYTES = 65_536
"""A row of fewer bytes that does not come in time is not the row's doing: then the database or the way to it stalls."""

OWN_TIMEOUT_SHARE = 0.9
"""A statement cancelled before this share of its time limit was cancelled by somebody else."""


class ImageReader:
    """Reads rows of a collection, as many at a time as come within the time limit of a worker's statement.

    Args:
        store: Over the connection that reads.
        most: Rows at a time, at most.
    """

    def __init__(self, store: EmbeddingStore, most: int) -> None:
        self._store = store
        self._most = most
        self._rows = most

    def read(self, keys: Sequence[Key], go_on: Callable[[], None]) -> list[StoredImage]:
        """Return the rows of these keys as they are now; rows that are gone are absent.

        Args:
            go_on: Called before each statement after the first; raises where nobody waits for the rows any more.

        Raises:
            psycopg.errors.LockNotAvailable: The application holds the table; try again.
            psycopg.errors.QueryCanceled: Somebody cancelled a statement, or even a small row does not come.
        """
        found: list[StoredImage] = []
        start = 0
        while start < len(keys):
            part = keys[start : start + self._rows]
            images = self._read_in_time(part)
            if images is not None:
                found += [replace(image, position=image.position + start) for image in images]
                start += len(part)
            if start < len(keys):
                go_on()
        return found

    def _read_in_time(self, keys: Sequence[Key]) -> list[StoredImage] | None:
        """Read rows with one statement; None where they are too many for its time limit, and fewer are next."""
        limit = transactions.STATEMENT_MS / 1000
        began = time.monotonic()
        try:
            images = self._store.read_images(keys)
        except psycopg.errors.QueryCanceled as error:
            if time.monotonic() - began < OWN_TIMEOUT_SHARE * limit:
                raise
            if len(keys) == 1:
                return self._fail_alone(keys[0], limit, error)
            self._rows = len(keys) // 2
            log.info("%d rows did not come within %g s; reading %d at a time", len(keys), limit, self._rows)
            return None
        if time.monotonic() - began < limit / 4:
            self._rows = min(self._most, 2 * self._rows)
        return images

    def _fail_alone(self, key: Key, limit: float, error: psycopg.errors.QueryCanceled) -> list[StoredImage]:
        """Return a row whose bytes do not come in time as one that has failed.

        Raises:
            psycopg.errors.QueryCanceled: The bytes are not what takes so long.
        """
        row = self._store.read_image_size(key)
        if row is None:
            return []
        size, reference_hash = row
        if size is None or size < SLOW_BYTES:
            raise error
        failure = ImageError(
            "fetch_limit",
            f"its {size / 1e6:.1f} MB did not come from the database within {limit:g} s: store a smaller picture, or run the "
            "worker nearer to the database",
            transient=True,
        )
        return [StoredImage(0, None, None, reference_hash, failure)]
