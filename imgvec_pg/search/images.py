"""The pictures of found rows, read from their source."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.fetching.application_fetch import Fetch, find_fetch, read_picture
from imgvec_pg.images.fetching.url import AllowedUrls
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

PICTURES_AT_ONCE = 16
"""Pictures of up to 64 MiB each are held in memory together."""


def read_pictures(
    connection: Connection, collection: Collection, keys: Sequence[Key], root: Path | None = None
) -> Iterator[bytes | ImageError]:
    """Give the encoded picture of each key in order, or why there is none.

    Args:
        root: Folder that paths are under, instead of the collection's; nothing outside it is read.
    """
    parts = bindable(collection.parts(vector_schema(connection)))
    # Its hash would take SELECT on watched columns, and a reader has no use for it.
    parts["s_reference_hash"] = sql.SQL("NULL")
    statement = render("collection/read_images.sql", **parts)
    folder = root or (Path(collection.root) if collection.root is not None else None)
    urls = AllowedUrls.of(collection.url_prefixes)
    fetch = None if root else find_fetch(collection.name)
    for start in range(0, len(keys), PICTURES_AT_ONCE):
        chunk = keys[start : start + PICTURES_AT_ONCE]
        rows = {
            position - 1: (path, content)
            for position, path, content, _ in connection.execute(
                statement, {"keys": Jsonb(list(chunk), dumps=dump_keys)}, binary=True
            )
        }
        for position in range(len(chunk)):
            path, content = rows.get(position, (None, None))
            yield _fetch(path, content, folder, urls, fetch)


def _fetch(
    path: str | None, content: bytes | None, folder: Path | None, urls: AllowedUrls, fetch: Fetch | None
) -> bytes | ImageError:
    try:
        # Where a row has both, its own bytes count.
        reference = ImageReference(path=path if content is None else None, content=content)
        return read_picture(reference, folder, urls, fetch)
    except ImageError as error:
        return error


THUMBNAIL_PIXELS = 240
JPEG_QUALITY = 82


def thumbnail(data: bytes, pixels: int = THUMBNAIL_PIXELS, bands: Bands = ()) -> bytes:
    """Return an encoded picture as a JPEG of at most `pixels` a side.

    Args:
        bands: Of its collection.

    Raises:
        ImageError: It does not decode.
    """
    image = decode_sandboxed(data, bands=bands)
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
