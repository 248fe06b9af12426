"""Verify embeddings against their images: hashes of files and bytes, and a sample embedded again.

Pictures behind URLs are left alone: a check of a million rows is no reason to ask a host a million times.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import INT8_GOLDEN_COSINE, least_picture_cosine
from imgvec_pg.errors import ImageError, PicturesAwayError
from imgvec_pg.images.decoding.sandbox import decode_for
from imgvec_pg.images.fetching.application_fetch import Fetch, find_fetch, read_picture
from imgvec_pg.images.reference import ImageReference, url_scheme
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.verify import Verified, reading_only
from imgvec_pg.store.model_registry import read_fingerprint, require_same_model
from imgvec_pg.store.queue.jobs import Key

FILES_AT_ONCE = 1024
READERS = 4
SAME_FROM_COSINE = 0.999
"""Two precisions of one model differ less than this, int8 aside."""
INT8 = "int8"


@dataclass(frozen=True)
class EmbeddedPicture:
    """An embedded row: its key, the version and the SHA-256 that its embedding has, and where its picture is."""

    key: Key
    version: int
    content_hash: bytes
    path: str | None
    content: bytes | None = None
    embedding: str = ""
    precision: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether its picture is behind a URL."""
        return self.path is not None and url_scheme(self.path) is not None


@dataclass
class PictureCheck:
    """Result of reading the images, besides what it adds to `verified`.

    Attributes:
        reads_all: Whether all pictures are read and compared anyway, so that a sample need not tell of their bytes.
        outdated: Keys and versions of embeddings whose picture is another one now.
        doubtful: Of those that the model would make otherwise.
    """

    verified: Verified
    reads_all: bool = False
    outdated: list[tuple[Key, int]] = field(default_factory=list)
    doubtful: list[tuple[Key, int]] = field(default_factory=list)
    _noted: set[str] = field(default_factory=set)

    def note(self, kind: str, picture: EmbeddedPicture) -> None:
        """Note one row, once; those that a worker can embed again are kept to be enqueued."""
        if repr(picture.key) in self._noted:
            return
        self._noted.add(repr(picture.key))
        self.verified.add(kind, 1, [picture.key])
        if kind == "different_vector":
            self.doubtful.append((picture.key, picture.version))
        elif kind != "unreadable":
            self.outdated.append((picture.key, picture.version))


def check_files(
    connection: Connection,
    collection: Collection,
    read_path: Fetch,
    check: PictureCheck,
    progress: Callable[[int], None] = lambda files: None,
) -> None:
    """Read the files of all embedded rows and compare their hashes.

    Args:
        read_path: As `path_reader` gives it.

    Raises:
        PicturesAwayError: The root is not there.
    """
    if collection.path_column is None:
        return
    read = 0
    with ThreadPoolExecutor(READERS, thread_name_prefix="imgvec-verify") as pool:
        for page in _embedded_files(connection, collection):
            for picture, data in zip(
                page, pool.map(lambda picture: _fetch(picture, read_path), page), strict=True
            ):
                if isinstance(data, ImageError):
                    check.note("unreadable", picture)
                elif hashlib.sha256(data).digest() != picture.content_hash:
                    check.note("changed_bytes", picture)
            read += len(page)
            check.verified.pictures_read += len(page)
            progress(read)


def check_sample(
    connection: Connection,
    collection: Collection,
    read_path: Fetch,
    embedder: Embedder,
    sample: int,
    check: PictureCheck,
) -> None:
    """Embed rows drawn at random anew, one by one, and compare the vectors.

    Args:
        read_path: As `path_reader` gives it.

    Raises:
        PicturesAwayError: The root is not there.
        ModelError: The model is not the one on record.
    """
    require_same_model(collection, embedder, read_fingerprint(connection, collection))
    parts = bindable(collection.parts(vector_schema(connection)))
    with reading_only(connection, collection):
        rows = connection.execute(
            render("collection/sample_embedded.sql", **parts), {"sample": sample}, binary=False
        ).fetchall()
    for picture in (EmbeddedPicture(*row) for row in rows):
        if picture.is_remote:
            continue
        data = _fetch(picture, read_path)
        check.verified.pictures_read += 1
        if isinstance(data, ImageError):
            check.note("unreadable", picture)
        elif picture.content_hash and hashlib.sha256(data).digest() != picture.content_hash:
            if not check.reads_all:
                check.note("changed_bytes", picture)
        elif cosine_similarity(picture, data, embedder, collection) < same_from(picture.precision, embedder):
            check.note("different_vector", picture)


def same_from(precision: str, embedder: Embedder) -> float:
    """Return the least cosine of what a row's precision and an embedder make of one picture."""
    is_int8 = INT8 in (precision, embedder.precision)
    return min(least_picture_cosine(embedder), INT8_GOLDEN_COSINE) if is_int8 else SAME_FROM_COSINE


def cosine_similarity(
    picture: EmbeddedPicture, data: bytes, embedder: Embedder, collection: Collection
) -> float:
    """Compare a stored embedding with the one that the model gives now; -1 where it gives none."""
    try:
        image = decode_for(embedder, data, collection.rendering, collection.bands)
        now = embedder.embed_images([image])[0].astype(np.float64)
    except ImageError:
        return -1.0
    stored = np.array(picture.embedding.strip("[]").split(","), dtype=np.float64)
    return float(stored @ now / (np.linalg.norm(stored) * np.linalg.norm(now)))


def path_reader(collection: Collection, root: Path | None) -> Fetch:
    """Return what reads a collection's paths: as its workers do, what IMGVEC_FETCH gives, or files below the root."""
    fetch = None if root else find_fetch(collection.name)
    return lambda path: read_picture(ImageReference(path=path), root, fetch=fetch)


def _fetch(picture: EmbeddedPicture, read_path: Fetch) -> bytes | ImageError:
    try:
        if picture.path is None:
            return read_picture(ImageReference(content=picture.content), None)
        return read_path(picture.path)
    except PicturesAwayError:
        raise
    except ImageError as error:
        return error


def _embedded_files(connection: Connection, collection: Collection) -> Iterator[list[EmbeddedPicture]]:
    """Yield pages of the embedded rows whose picture is a file."""
    parts = bindable(collection.parts(vector_schema(connection)))
    behind = sql.SQL("AND {}").format(collection.key_sql.behind("e"))
    after: Key | None = None
    while True:
        statement = render(
            "collection/read_embedded.sql", **parts, after_condition=behind if after else sql.SQL("")
        )
        with reading_only(connection, collection):
            rows = connection.execute(
                statement, {"after": Jsonb(after), "page_size": FILES_AT_ONCE}
            ).fetchall()
        page = [EmbeddedPicture(*row) for row in rows]
        yield [picture for picture in page if not picture.is_remote]
        if len(page) < FILES_AT_ONCE:
            return
        after = page[-1].key
