"""Rows of the built-in library whose files went from disk, and rows that somebody wants forgotten."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError
from imgvec_pg.images.fetching.gone_files import GoneFiles, folder_of, is_gone
from imgvec_pg.store.library.image_library import LibraryRow, printable

ROWS_PER_TRANSACTION = 500
ROWS_AT_ONCE = 10_000


@dataclass
class GoneRows:
    """The library's rows without a file.

    Attributes:
        deleted: Their folder is there and holds something.
        away: Their folder is gone or empty: deleted as well, or a disk that is not mounted.
        absent: Folders below which the library knows pictures and none of them is there, and how many.
    """

    deleted: list[LibraryRow] = field(default_factory=list)
    away: list[LibraryRow] = field(default_factory=list)
    absent: dict[Path, int] = field(default_factory=dict)

    @property
    def away_folders(self) -> list[str]:
        """The folders of those that are away, each once."""
        return sorted({str(folder_of(row.uri)) for row in self.away})


def find_gone(
    connection: Connection, folders: Iterable[Path], seen: Container[int] = frozenset()
) -> GoneRows:
    """Find the rows at and below some paths whose files are not on disk.

    Args:
        folders: Absolute paths, of archives too.
        seen: Ids of rows whose files were met just now.
    """
    gone = GoneRows()
    files = GoneFiles()
    looked_at: set[int] = set()
    for folder in folders:
        known = 0
        missing = []
        for row in _each_below(connection, folder):
            known += 1
            if row.id not in seen and is_gone(row.uri):
                missing.append(row)
        if missing and len(missing) == known:
            gone.absent[folder] = known
        for row in missing:
            if row.id not in looked_at:
                looked_at.add(row.id)
                (gone.deleted if files.is_deleted(row.uri) else gone.away).append(row)
    return gone


def find_below(connection: Connection, path: Path) -> list[LibraryRow]:
    """Return the rows of a file, or of all files below a folder, in order of path."""
    return list(_each_below(connection, path))


def _each_below(connection: Connection, path: Path) -> Iterator[LibraryRow]:
    """Yield what `find_below` returns, ROWS_AT_ONCE at a time: a corpus of tars has millions."""
    name = str(path)
    if printable(name) != name:  # which no text column can hold
        return
    values = {"path": name, "prefix": name.rstrip("/") + "/"}
    with connection.transaction(), connection.cursor("imgvec_images_below") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(load_sql("queries/images_below.sql"), values)
        for row in cursor:
            yield LibraryRow(*row)


def forget_images(connection: Connection, rows: Sequence[LibraryRow]) -> int:
    """Take rows out of the library, ROWS_PER_TRANSACTION at a time, and return how many went; no file is touched.

    Raises:
        CollectionError: A table of the application's still refers to one of them; that transaction was undone.
        psycopg.errors.InsufficientPrivilege: The role may not.
    """
    forgotten = 0
    for start in range(0, len(rows), ROWS_PER_TRANSACTION):
        batch = rows[start : start + ROWS_PER_TRANSACTION]
        values = {"ids": [row.id for row in batch], "uris": [row.uri for row in batch]}
        try:
            row = connection.execute(load_sql("queries/forget_images.sql"), values).fetchone()
        except psycopg.errors.ForeignKeyViolation as error:
            raise CollectionError(
                f"pictures of the library are still needed ({one_line(error)}); {forgotten:,} were forgotten before: "
                "delete what refers to the others, or let its foreign key cascade"
            ) from error
        forgotten += int(row[0]) if row else 0
    return forgotten
