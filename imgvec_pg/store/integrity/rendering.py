"""Bring a collection to the newest rendering: find the rows whose pixels it changes, and enqueue those alone.

What a row was rendered by follows from its collection: by `rendering`, or by `rendering_from` where it was embedded before
`rendering_since`. All change in one transaction, under the lock that every write of embeddings takes (begin_rendering.sql); a
worker that decoded by the version before gives its batch back (EmbeddingStore.write). Then the rows are compared page by page. A
page's keys are enqueued, and its end noted, in one transaction: who is killed here goes on behind the last page, who is killed
embedding them loses a lease.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import ImageError, PicturesAwayError
from imgvec_pg.images.decoding.sandbox import compare_sandboxed
from imgvec_pg.images.fetching.application_fetch import Fetch, read_picture
from imgvec_pg.images.reference import ImageReference, url_scheme
from imgvec_pg.images.rendering.version import NEWEST
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.verify import enqueue_again, reading_only
from imgvec_pg.store.queue.jobs import Key

PAGE_ROWS = 256
CONTENT_ROWS = 8
"""Rows read at once where pictures lie in the table: each may have 64 MiB."""
READERS = 4


@dataclass(frozen=True)
class RenderedRow:
    """An embedded row: its key, the version of its embedding, and where its picture is."""

    key: Key
    version: int
    path: str | None
    has_content: bool

    @property
    def is_remote(self) -> bool:
        """Whether its picture is behind a URL."""
        return self.path is not None and url_scheme(self.path) is not None


@dataclass(frozen=True)
class ChangedRow:
    """A row whose pixels change, and their mean difference, above 0 to 255; None behind a URL, where nobody has looked."""

    key: Key
    version: int
    difference: float | None


@dataclass
class RenderingCheck:
    """Result of comparing renderings.

    Attributes:
        compared: Rows looked at.
        changed: Those whose pixels change.
        unreadable: Keys of those whose picture cannot be had or decoded, and why.
        enqueued: Rows enqueued.
    """

    compared: int = 0
    changed: list[ChangedRow] = field(default_factory=list)
    unreadable: list[tuple[Key, str]] = field(default_factory=list)
    enqueued: int = 0


@dataclass(frozen=True)
class _Place:
    older: int
    since: datetime | None
    after: Key | None


def find_changed(
    connection: Connection,
    collection: Collection,
    read_path: Fetch,
    progress: Callable[[int], None] = lambda rows: None,
) -> RenderingCheck:
    """Compare all rows that are not of the newest rendering, and change nothing.

    Args:
        read_path: As `verify_images.path_reader` gives it.

    Raises:
        PicturesAwayError: The folder with the pictures is gone.
    """
    check = RenderingCheck()
    place = _Place(collection.rendering, None, None)
    if collection.rendering_from is not None:
        row = connection.execute(
            load_sql("queries/rendering_place.sql"), {"collection_id": collection.id}
        ).fetchone()
        place = _Place(*row) if row is not None else place
    for page in _pages(connection, collection, place):
        _compare(connection, collection, page, place.older, read_path, check)
        progress(check.compared)
    return check


def bring_to_newest(
    connection: Connection,
    collection: Collection,
    read_path: Fetch,
    progress: Callable[[int], None] = lambda rows: None,
) -> RenderingCheck:
    """Give the collection the newest rendering and enqueue the rows whose pixels that changes; goes on where it was cut off.

    Raises:
        PicturesAwayError: The folder with the pictures is gone; run it again once it is there.
    """
    check = RenderingCheck()
    values = {"collection_id": collection.id, "newest": NEWEST}
    with connection.transaction():
        connection.execute(
            load_sql("queries/lock_collection_exclusive.sql"), {"collection_id": collection.id}
        )
        row = connection.execute(load_sql("queries/begin_rendering.sql"), values).fetchone()
    if row is None:
        return check
    place = _Place(*row)
    for page in _pages(connection, collection, place):
        found = len(check.changed)
        _compare(connection, collection, page, place.older, read_path, check)
        changed = [(row.key, row.version) for row in check.changed[found:]]
        with connection.transaction():
            check.enqueued += enqueue_again(connection, collection, changed)
            connection.execute(
                load_sql("queries/note_rendering.sql"),
                {**values, "last_key": Jsonb(page[-1].key), "is_last": False},
            )
        progress(check.compared)
    connection.execute(load_sql("queries/note_rendering.sql"), {**values, "last_key": None, "is_last": True})
    return check


def _pages(connection: Connection, collection: Collection, place: _Place) -> Iterator[list[RenderedRow]]:
    """Yield the rows of the older rendering, some at a time."""
    parts = bindable(collection.parts(vector_schema(connection)))
    behind = sql.SQL("AND {}").format(collection.key_sql.behind("e"))
    after = place.after
    while True:
        condition = behind if after else sql.SQL("")
        statement = render("collection/read_rendered.sql", **parts, after_condition=condition)
        with reading_only(connection, collection):
            rows = connection.execute(
                statement, {"after": Jsonb(after), "since": place.since, "page_size": PAGE_ROWS}
            ).fetchall()
        page = [RenderedRow(*row) for row in rows]
        if page:
            yield page
        if len(page) < PAGE_ROWS:
            return
        after = page[-1].key


def _compare(
    connection: Connection,
    collection: Collection,
    page: Sequence[RenderedRow],
    older: int,
    read_path: Fetch,
    check: RenderingCheck,
) -> None:
    def difference(picture: tuple[RenderedRow, bytes | None]) -> float | ImageError | None:
        row, content = picture
        try:
            if content is None and row.path is not None:
                content = read_path(row.path)
            data = read_picture(ImageReference(content=content), None)
            return compare_sandboxed(data, older, NEWEST, collection.bands)
        except PicturesAwayError:
            raise
        except ImageError as error:
            return error

    check.compared += len(page)
    check.changed += [ChangedRow(row.key, row.version, None) for row in page if _is_behind_url(row)]
    here = [row for row in page if not _is_behind_url(row)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="imgvec-compare") as pool:
        for start in range(0, len(here), CONTENT_ROWS):
            part = here[start : start + CONTENT_ROWS]
            contents = _read_contents(connection, collection, [row.key for row in part if row.has_content])
            pictures = [(row, contents.get(repr(row.key))) for row in part]
            for row, found in zip(part, pool.map(difference, pictures), strict=True):
                if isinstance(found, ImageError):
                    check.unreadable.append((row.key, f"{found.code}: {found}"))
                elif found:
                    check.changed.append(ChangedRow(row.key, row.version, found))


def _is_behind_url(row: RenderedRow) -> bool:
    return row.is_remote and not row.has_content


def _read_contents(connection: Connection, collection: Collection, keys: Sequence[Key]) -> dict[str, bytes]:
    """Return the pictures that lie in the table, by their keys' text."""
    if not keys:
        return {}
    parts = bindable(collection.parts(vector_schema(connection)))
    with reading_only(connection, collection):
        rows = connection.execute(
            render("collection/read_images.sql", **parts), {"keys": Jsonb(list(keys))}, binary=True
        ).fetchall()
    return {repr(keys[position - 1]): content for position, _, content, _ in rows if content is not None}
