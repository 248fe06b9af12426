"""Run a search from an HTTP request: shared by pages and JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Request

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError, ImageError, ImgvecError, NoWorkerError, UsageError
from imgvec_pg.search.images import read_pictures, thumbnail
from imgvec_pg.search.nearest import NearestOptions, Neighbours, find_nearest
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES, Embedding, vector_of_image, vector_of_words
from imgvec_pg.search.rows import ask_with_row, find_row, is_visible, parse_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.registry import get_collection

MAX_SHOWN = 200


@dataclass(frozen=True)
class Searchable:
    """What is searched, and what of it may be seen.

    Attributes:
        collection: Its name; None takes the only one there is.
        columns: Columns of the source that answers show.
        where: SQL condition that each row must meet, the application's own and never a visitor's.
        root: Where this machine keeps the pictures, instead of the collection's root.
        distinct: Whether rows with the same picture come as one; a visitor's ?all_rows=1 has each by itself.
    """

    collection: str | None = None
    columns: Sequence[str] = ()
    where: str | None = None
    root: Path | None = None
    embedding: Embedding = "auto"
    distinct: bool = True

    def find(self, connection: Connection) -> Collection:
        """Return the collection.

        Raises:
            CollectionNotFoundError, UsageError: There is none, or several and none is named.
        """
        return get_collection(connection, self.collection, say_which="collection=NAME")

    def answer(self, connection: Connection, request: Request, chosen: str | None = None) -> Neighbours:
        """Answer ?q=WORDS, ?like=KEY or an uploaded picture, at most ?k=N rows.

        Args:
            chosen: A condition that answers must meet besides `where`; a row that is searched with need not.

        Raises:
            ImgvecError: The query cannot be answered; `status_of` says whose fault that is.
        """
        collection = self.find(connection)
        distinct = self.distinct and request.values.get("all_rows") != "1"
        where = (
            self.where
            if chosen is None
            else chosen
            if self.where is None
            else f"({self.where}\n) AND ({chosen}\n)"
        )
        options = NearestOptions(read_k(request), where, self.columns, distinct=distinct)
        words, like = request.values.get("q", ""), request.args.get("like", "")
        upload = request.files.get("image")
        given = [bool(words), bool(like), upload is not None]
        if sum(given) != 1:
            raise UsageError("expected one of q=WORDS, like=KEY and an uploaded image")
        if upload is not None:
            data = upload.stream.read(MAX_UPLOAD_BYTES + 1)
            vector = vector_of_image(connection, collection, data, self.embedding)
            return find_nearest(connection, collection, vector, options)
        if like:
            self.require_visible(connection, collection, parse_key(collection, like))
            return find_nearest(
                connection, collection, ask_with_row(connection, collection, like).target, options
            )
        vector = vector_of_words(connection, collection, words, self.embedding)
        return find_nearest(connection, collection, vector, options)

    def picture(self, connection: Connection, key: str, pixels: int) -> bytes:
        """Return the picture of a row as a JPEG, encoded anew.

        The key comes from a visitor, the path from the table: a visitor names no file.

        Raises:
            ImageError, CollectionError, UsageError: There is no such row or picture.
        """
        collection = self.find(connection)
        row = self.require_visible(connection, collection, parse_key(collection, key))
        found = next(read_pictures(connection, collection, [row], self.root))
        if isinstance(found, ImageError):
            raise found
        return thumbnail(found, pixels, collection.bands)

    def require_visible(self, connection: Connection, collection: Collection, key: Key) -> Key:
        """Return the key of an embedded row that meets the condition, as the database has it.

        Raises:
            CollectionError: There is none.
        """
        row = find_row(connection, collection, key)
        if self.where is not None and not is_visible(connection, collection, row.key, self.where):
            raise CollectionError("there is no such row")
        return row.key


def key_in_url(key: Key) -> str:
    """Return a key as parse_key reads it: the value alone, or JSON for a key of several columns."""
    if len(key) == 1:
        return str(next(iter(key.values())))
    return json.dumps(key, default=str, ensure_ascii=False)


def read_k(request: Request) -> int:
    """Return ?k, 1 to 200, 24 where it is not given.

    Raises:
        UsageError: It is another.
    """
    text = request.values.get("k", "24")
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_SHOWN):
        raise UsageError(f"k is {text[:20]!r}; expected 1 to {MAX_SHOWN}")
    return int(text)


def status_of(error: ImgvecError) -> int:
    """Return the HTTP status of an error: 400 the visitor's, 404 no such row, 503 ours, for now."""
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, CollectionError | ImageError):
        return 404
    return 503 if isinstance(error, NoWorkerError) else 500
