"""Built-in image library: files on disk as rows of imgvec.image."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psycopg

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.encodings import can_hold, server_encoding
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.header import ImageDescription
from imgvec_pg.images.decoding.sandbox import describe_sandboxed
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.fetching.found_files import (
    EXCLUDED,
    HIDDEN,
    PICTURE_SUFFIXES,
    FoundFile,
    LeftOut,
    Met,
    OtherMembers,
    SymbolicLink,
    Unreadable,
)
from imgvec_pg.images.fetching.gone_files import GoneFiles
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
    """Counts of `imgvec add`: files added, updated, known, moved, failed, left out.

    Attributes:
        moved: Known pictures met under another path while nothing is left at the old one.
        hidden, system, excluded: Files and whole folders that were left out (LeftOut).
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    known: int = 0
    not_images: int = 0
    symbolic_links: int = 0
    hidden: int = 0
    system: int = 0
    excluded: int = 0
    failed: list[FailedFile] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        """Files so far."""
        return self.added + self.updated + self.moved + self.known + self.not_images + len(self.failed)


@dataclass(frozen=True)
class KnownImage:
    """A file as registered in the library; size and time are None where others wrote the row."""

    id: int
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
    connection: Connection,
    met: Iterable[Met],
    progress: Callable[[Added], None] | None = None,
    seen: set[int] | None = None,
) -> Added:
    """Enter files into the library, FILES_PER_TRANSACTION at a time; those known and unchanged are not read again.

    A file met in a folder that is no image, and is not named like one, is counted only. A picture that is known by its
    content under a path where nothing is any more has moved: its row keeps its id and embeddings and gets the new path.
    Members of archives are files here, whose path goes on behind the archive's.

    Args:
        seen: Is given the ids of the rows whose files were met.
    """
    result = Added()
    files = _files(connection, met, result)
    gone = GoneFiles()
    while batch := list(islice(files, FILES_PER_TRANSACTION)):
        with connection.transaction():
            # A file may have been named twice, and one statement cannot write a row twice.
            unique = list({file.path: file for file in batch}.values())
            known = _known_images(connection, [file.path for file in unique])
            if seen is not None:
                seen.update(image.id for image in known.values())
            images = _read_changed(unique, known, result)
            _write(connection, _move(connection, images, known, gone, result))
        if progress is not None:
            progress(result)
    return result


def _files(connection: Connection, met: Iterable[Met], result: Added) -> Iterator[FoundFile]:
    """Pass on the files whose names the database can store; note the rest in the result."""
    for item in met:
        if isinstance(item, SymbolicLink):
            result.symbolic_links += 1
        elif isinstance(item, LeftOut):
            result.hidden += item.why == HIDDEN
            result.excluded += item.why == EXCLUDED
            result.system += item.why not in (HIDDEN, EXCLUDED)
        elif isinstance(item, OtherMembers):
            result.not_images += item.count
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


def _read_changed(batch: list[FoundFile], known: dict[str, KnownImage], result: Added) -> list[NewImage]:
    """Read the files that are not known as they are, and count all but new ones."""
    images = []
    for file in batch:
        before = known.get(file.path)
        if before is not None and (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            result.known += 1
            continue
        try:
            image = _read(file)
        except ImageError as error:
            is_named = file.is_named or Path(file.path).suffix.lower() in PICTURE_SUFFIXES
            if error.code == "unidentified" and not is_named:
                result.not_images += 1
            else:
                message = str(error).removeprefix(shown(file.path)).lstrip()
                result.failed.append(FailedFile(file.path, error.code, message))
            continue
        images.append(image)
        if before is not None and before.content_hash != image.content_hash:
            result.updated += 1
        elif before is not None:
            result.known += 1
    return images


def _move(
    connection: Connection,
    images: list[NewImage],
    known: dict[str, KnownImage],
    gone: GoneFiles,
    result: Added,
) -> list[NewImage]:
    """Give the rows of files that have moved their new paths; return the images that are left to write."""
    new = [image for image in images if image.file.path not in known]
    moves = _find_moves(connection, new, gone) if new else {}
    if moves:
        moved = [(old, image) for image in new if (old := moves.get(image.file.path)) is not None]
        values = {
            "ids": [old.id for old, _ in moved],
            "old_uris": [old.uri for old, _ in moved],
            "uris": [image.file.path for _, image in moved],
            "sizes": [image.file.size for _, image in moved],
            "mtimes": [image.file.mtime_ns for _, image in moved],
        }
        try:
            with connection.transaction():
                rows = connection.execute(load_sql("queries/move_images.sql"), values).fetchall()
        except psycopg.errors.UniqueViolation:
            rows = []  # another `imgvec add` has entered one of them meanwhile
        written = {uri for (uri,) in rows}
        result.moved += len(written)
        images = [image for image in images if image.file.path not in written]
    result.added += sum(image.file.path not in known for image in images)
    return images


@dataclass(frozen=True)
class LibraryRow:
    """A row of the library that stands for a file."""

    id: int
    uri: str


def _find_moves(connection: Connection, new: list[NewImage], gone: GoneFiles) -> dict[str, LibraryRow]:
    """Return for each new path the row of the same content whose file is gone, that of the same file name first."""
    free: dict[bytes, list[LibraryRow]] = {}
    for content_hash, row_id, uri in connection.execute(
        load_sql("queries/images_of_content.sql"), {"content_hashes": [image.content_hash for image in new]}
    ):
        if gone.may_have_moved(uri):
            free.setdefault(bytes(content_hash), []).append(LibraryRow(row_id, uri))
    moves = {}
    for image in new:
        rows = free.get(image.content_hash)
        if rows:
            name = Path(image.file.path).name
            best = next((row for row in rows if Path(row.uri).name == name), rows[0])
            rows.remove(best)
            moves[image.file.path] = best
    return moves


def _known_images(connection: Connection, paths: list[str]) -> dict[str, KnownImage]:
    rows = connection.execute(load_sql("queries/known_images.sql"), {"uris": paths})
    return {uri: KnownImage(*values) for uri, *values in rows}


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
