"""Shared pictures: rows with the same bytes have one picture, prepared and embedded once.

A picture is known while a batch in hand has it, until that is written; from then on the collection has it
(store/pictures/known_pictures.py). What the collection has is neither decoded nor embedded, and is confirmed as it is written
(confirm_known.sql).
"""

import logging
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
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

    def get(
        self, hashes: Collection[bytes], prepare: Callable[[bytes], PreparedPicture | Exception]
    ) -> dict[bytes, SharedPicture | Exception]:
        """Return the pictures with these bytes, by their hashes, or why there are none.

        Args:
            prepare: Called with the hash of one that no row in hand or of the collection has; it returns errors. Other rows with
                the same bytes then try for themselves.
        """
        found: dict[bytes, SharedPicture | Exception] = {}
        while left := [each for each in hashes if each not in found]:
            mine, others = self._part(left)
            # One's own come first: two threads that each wait for a picture of the other's are none.
            self._make(mine, prepare, found)
            for content_hash, picture in others.items():
                picture.is_ready.wait()
                if not picture.has_failed:
                    found[content_hash] = picture
        return found

    def _part(self, hashes: Iterable[bytes]) -> tuple[dict[bytes, SharedPicture], dict[bytes, SharedPicture]]:
        """Return pictures for which this thread is the first to ask, and those in hand."""
        mine, others = {}, {}
        with self._lock:
            for content_hash in hashes:
                picture = self._pictures.get(content_hash)
                if picture is None:
                    mine[content_hash] = self._pictures[content_hash] = SharedPicture(content_hash)
                else:
                    others[content_hash] = picture
        return mine, others

    def _make(
        self,
        mine: dict[bytes, SharedPicture],
        prepare: Callable[[bytes], PreparedPicture | Exception],
        found: dict[bytes, SharedPicture | Exception],
    ) -> None:
        """Look pictures up, prepare those that are new, and add them, or why there are none, to what is found."""
        try:
            known = {} if self._lookup is None or not mine else self._lookup.find(list(mine))
            for content_hash, picture in mine.items():
                if content_hash in known:
                    picture.take(known[content_hash])
                else:
                    made = prepare(content_hash)
                    if isinstance(made, Exception):
                        self._fail(picture)
                        found[content_hash] = made
                        continue
                    picture.prepared, picture.note = made.prepared, made.note
                found[content_hash] = picture
                picture.is_ready.set()
        finally:
            for picture in mine.values():
                if not picture.is_ready.is_set():
                    self._fail(picture)

    def _fail(self, picture: SharedPicture) -> None:
        picture.has_failed = True
        with self._lock:
            del self._pictures[picture.content_hash]
        picture.is_ready.set()

    def keep(self, token: uuid.UUID, pictures: Iterable[SharedPicture]) -> None:
        """Keep a claim's pictures known until it is written."""
        with self._lock:
            self._unwritten[token] = list(pictures)

    def release(self, token: uuid.UUID) -> None:
        """Note that a claim is written: from now on the collection knows its pictures.

        They are asked of it again, whoever still holds them: one whose row had no longer that vector was not written, and would
        be refused for ever.
        """
        with self._lock:
            for picture in self._unwritten.pop(token, ()):
                if self._pictures.get(picture.content_hash) is picture:
                    del self._pictures[picture.content_hash]


class GroupedLookup:
    """Looks pictures up for many threads: what they ask while one statement runs goes into the next one.

    Where they cannot be looked up, as while the database is away, none is known: they are computed, and no row is charged.
    """

    def __init__(self, known: KnownPictures) -> None:
        self._known = known
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: set[bytes] = set()
        self._found: dict[bytes, KnownPicture | None] = {}
        self._failing = False

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, KnownPicture]:
        """Return what the collection has of pictures, by their hashes; of one hash only one thread may ask at a time."""
        with self._lock:
            self._waiting.update(hashes)
        with self._asking:
            with self._lock:
                # Another thread asked for all of them with its own, or for none.
                if hashes[0] in self._found:
                    answers = {each: self._found.pop(each) for each in hashes}
                    return {each: known for each, known in answers.items() if known is not None}
                asked, self._waiting = list(self._waiting), set()
            found = self._ask(asked)
            with self._lock:
                self._found.update((other, found.get(other)) for other in set(asked).difference(hashes))
            return {each: found[each] for each in hashes if each in found}

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
