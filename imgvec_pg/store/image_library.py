"""The built-in library: files on disk as rows of imgvec.image."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.encodings import can_hold, server_encoding
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.header import ImageDescription
from imgvec_pg.images.decoding.sandbox import describe_sandboxed
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.fetching.folders import FoundFile, Met, SymbolicLink, Unreadable
from imgvec_pg.images.reference import ImageReference, shown

FILES_PER_TRANSACTION = 500
# Workers read the library below this root too (imgvec collection create --library).
ROOT = Path("/")


@dataclass(frozen=True)
class FailedFile:
    """A file that was not added, and why, without its name; `path` is fit to print."""

    path: str
    code: str
    message: str


@dataclass
class Added:
    """What became of the files."""

    added: int = 0
    updated: int = 0
    known: int = 0
    not_images: int = 0
    symbolic_links: int = 0
    failed: list[FailedFile] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        """Files so far."""
        return self.added + self.updated + self.known + self.not_images + len(self.failed)


@dataclass(frozen=True)
class KnownImage:
    """What the library has of a file; size and time are None where others wrote the row."""

    content_hash: bytes
    size: int | None
    mtime_ns: int | None


@dataclass(frozen=True)
class NewImage:
    """A file that was read."""

    file: FoundFile
    description: ImageDescription
    content_hash: bytes


def add_files(
    connection: Connection, met: Iterable[Met], progress: Callable[[Added], None] | None = None
) -> Added:
    """Enter files into the library, FILES_PER_TRANSACTION at a time; those known and unchanged are not read again.

    A file met in a folder that is no image is counted only; one that was named is a failure.
    """
    result = Added()
    files = _files(connection, met, result)
    while batch := list(islice(files, FILES_PER_TRANSACTION)):
        with connection.transaction():
            # A file may have been named twice, and one statement cannot write a row twice.
            _add_batch(connection, list({file.path: file for file in batch}.values()), result)
        if progress is not None:
            progress(result)
    return result


def _files(connection: Connection, met: Iterable[Met], result: Added) -> Iterator[FoundFile]:
    """Pass on the files whose names the database can store; note the rest in the result."""
    for item in met:
        if isinstance(item, SymbolicLink):
            result.symbolic_links += 1
        elif isinstance(item, Unreadable):
            result.failed.append(FailedFile(printable(item.path), "unreadable", item.reason))
        elif printable(item.path) != item.path:
            message = "its name is not UTF-8, which a text column cannot hold: rename it"
            result.failed.append(FailedFile(printable(item.path), "name_not_utf8", message))
        elif not can_hold(connection, item.path):
            encoding = server_encoding(connection)
            message = f"its name has letters that the database's encoding {encoding} lacks: rename it"
            result.failed.append(FailedFile(item.path, "name_not_in_encoding", message))
        else:
            yield item


def printable(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 as backslash escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _add_batch(connection: Connection, batch: list[FoundFile], result: Added) -> None:
    known = _known_images(connection, [file.path for file in batch])
    images = []
    for file in batch:
        before = known.get(file.path)
        if before is not None and (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            result.known += 1
            continue
        try:
            image = _read(file)
        except ImageError as error:
            if error.code == "unidentified" and not file.is_named:
                result.not_images += 1
            else:
                message = str(error).removeprefix(shown(file.path)).lstrip()
                result.failed.append(FailedFile(file.path, error.code, message))
            continue
        images.append(image)
        if before is None:
            result.added += 1
        elif before.content_hash != image.content_hash:
            result.updated += 1
        else:
            result.known += 1
    _write(connection, images)


def _known_images(connection: Connection, paths: list[str]) -> dict[str, KnownImage]:
    rows = connection.execute(load_sql("queries/known_images.sql"), {"uris": paths})
    return {uri: KnownImage(content_hash, size, mtime_ns) for uri, content_hash, size, mtime_ns in rows}


def _read(file: FoundFile) -> NewImage:
    data = fetch_bytes(ImageReference(path=file.path), ROOT)
    return NewImage(file, describe_sandboxed(data), hashlib.sha256(data).digest())


def _write(connection: Connection, images: list[NewImage]) -> None:
    if not images:
        return
    connection.execute(
        load_sql("queries/write_images.sql"),
        {
            "uris": [image.file.path for image in images],
            "media_types": [image.description.media_type for image in images],
            "widths": [image.description.width for image in images],
            "heights": [image.description.height for image in images],
            "taken_at": [image.description.taken_at for image in images],
            "sizes": [image.file.size for image in images],
            "mtimes": [image.file.mtime_ns for image in images],
            "content_hashes": [image.content_hash for image in images],
        },
    )
