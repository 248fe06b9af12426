"""Shared pictures: rows with the same bytes have one picture, prepared and embedded once.

A picture is known while a batch in hand has it, until that is written; from then on the collection has it
(store/pictures/known_pictures.py). What the collection has is neither decoded nor embedded, and is confirmed as it is written
(confirm_known.sql).
"""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import psycopg

from imgvec_pg.backfill.batch.shared_decoding import PreparedPicture
from imgvec_pg.database.connect import one_line
from imgvec_pg.errors import ImgvecError
from imgvec_pg.images.rendering.picture_note import PictureNote
from imgvec_pg.store.pictures.known_pictures import Donor, KnownPicture, KnownPictures

log = logging.getLogger(__name__)


class SharedPicture:
    """A picture of any number of rows.

    Attributes:
        content_hash: SHA-256 of its bytes.
        prepared: As the model wants it; None once it is embedded.
        note: What to note of it; None for most.
        embedding: Shape (dimensions,), float32; None until it is known.
        donor: The row that has this vector, where it was not computed here.
    """

    def __init__(self, content_hash: bytes) -> None:
        self.content_hash = content_hash
        self.prepared: Any = None
        self.note: PictureNote | None = None
        self.embedding: npt.NDArray[np.float32] | None = None
        self.donor: Donor | None = None
        self.is_ready = threading.Event()
        self.has_failed = False

    def take(self, known: KnownPicture) -> None:
        """Be what a row has."""
        self.embedding, self.note, self.donor = known.embedding, known.note, known.donor

    def is_embedded(self, embedding: npt.NDArray[np.float32]) -> None:
        """Note its vector; what it was computed from is not needed any more."""
        self.embedding = embedding
        self.prepared = None


class SharedPictures:
    """The pictures of one pipeline's batches, by the hash of their bytes; thread-safe.

    Args:
        known: Looks up what the collection has; None for none.
    """

    def __init__(self, known: KnownPictures | None = None) -> None:
        self._lookup = None if known is None else GroupedLookup(known)
        self._pictures: WeakValueDictionary[bytes, SharedPicture] = WeakValueDictionary()
        self._unwritten: dict[uuid.UUID, list[SharedPicture]] = {}
        self._lock = threading.Lock()

    def get(self, content_hash: bytes, prepare: Callable[[], PreparedPicture]) -> SharedPicture:
        """Return the picture with these bytes, preparing it unless a row in hand or of the collection has it.

        Raises:
            Whatever `prepare` raises; other rows with the same bytes then try for themselves.
        """
        while True:
            with self._lock:
                picture = self._pictures.get(content_hash)
                is_first = picture is None
                if picture is None:
                    picture = self._pictures[content_hash] = SharedPicture(content_hash)
            if not is_first:
                picture.is_ready.wait()
                if picture.has_failed:
                    continue
                return picture
            try:
                self._make(picture, prepare)
            except BaseException:
                picture.has_failed = True
                with self._lock:
                    del self._pictures[content_hash]
                raise
            finally:
                picture.is_ready.set()
            return picture

    def _make(self, picture: SharedPicture, prepare: Callable[[], PreparedPicture]) -> None:
        known = None if self._lookup is None else self._lookup.find(picture.content_hash)
        if known is not None:
            picture.take(known)
            return
        made = prepare()
        picture.prepared, picture.note = made.prepared, made.note

    def keep(self, token: uuid.UUID, pictures: Iterable[SharedPicture]) -> None:
        """Keep a claim's pictures known until it is written."""
        with self._lock:
            self._unwritten[token] = list(pictures)

    def release(self, token: uuid.UUID) -> None:
        """Note that a claim is written: from now on the collection knows its pictures."""
        with self._lock:
            self._unwritten.pop(token, None)


class GroupedLookup:
    """Looks pictures up for many threads: what is asked while one statement runs goes into the next one.

    Where they cannot be looked up, as while the database is away, none is known: they are computed, and no row is charged.
    """

    def __init__(self, known: KnownPictures) -> None:
        self._known = known
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: set[bytes] = set()
        self._found: dict[bytes, KnownPicture | None] = {}
        self._failing = False

    def find(self, content_hash: bytes) -> KnownPicture | None:
        """Return what the collection has of a picture; of one hash only one thread may ask at a time."""
        with self._lock:
            self._waiting.add(content_hash)
        with self._asking:
            with self._lock:
                if content_hash in self._found:
                    return self._found.pop(content_hash)
                hashes, self._waiting = list(self._waiting), set()
            found = self._ask(hashes)
            with self._lock:
                self._found.update((other, found.get(other)) for other in hashes if other != content_hash)
            return found.get(content_hash)

    def _ask(self, hashes: list[bytes]) -> dict[bytes, KnownPicture]:
        try:
            found = self._known.find(hashes)
        except (psycopg.Error, ImgvecError) as error:
            # Of a collection that was dropped the worker itself says so.
            if not self._failing and not isinstance(error, psycopg.errors.UndefinedTable):
                log.warning(
                    "pictures are not looked up for the moment, all are computed: %s", one_line(error)
                )
            self._failing = True
            return {}
        self._failing = False
        return found
