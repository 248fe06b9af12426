"""Write a similarity matrix as a page and as a drawing."""

from collections import Counter
from pathlib import Path

import click

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.search.contact_sheet import MISSING
from imgvec_pg.search.display_columns import label_rows
from imgvec_pg.search.formatting import show_safely
from imgvec_pg.search.images import read_pictures, thumbnail
from imgvec_pg.search.query_types import Float32Array, show_key
from imgvec_pg.search.similarity_drawing import similarity_png
from imgvec_pg.search.similarity_page import similarity_page
from imgvec_pg.search.similarity_scale import MAX_PICTURES, PictureMatrix
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.text import counted

THUMBNAIL_PIXELS = 120


def check_readable(count: int) -> None:
    """Raise UsageError for more pictures than a page can show."""
    if count > MAX_PICTURES:
        raise UsageError(
            f"{count} pictures were asked for; expected {MAX_PICTURES} at most with --html or --png "
            "(--csv and --json take 500)"
        )


def picture_matrix(
    connection: Connection,
    collection: Collection,
    keys: list[Key],
    similarities: Float32Array,
    facts: list[str],
    root: Path | None,
) -> PictureMatrix:
    """Return a matrix with its pictures and names; what cannot be shown is told once.

    Args:
        facts: What else stands above it.
        root: Folder that paths are under, instead of the collection's.
    """
    labels = label_rows(connection, collection, keys)
    names = []
    for key in keys:
        shown = show_key(key)
        label = labels.get(shown)
        names.append(show_safely(f"{shown} {label}" if label else shown))
    thumbnails: list[bytes | str] = []
    for picture in read_pictures(connection, collection, keys, root):
        try:
            if isinstance(picture, ImageError):
                raise picture
            thumbnails.append(thumbnail(picture, THUMBNAIL_PIXELS, collection.bands))
        except ImageError as error:
            thumbnails.append(MISSING.get(error.code, "not a readable image"))
    reasons = Counter(one for one in thumbnails if isinstance(one, str))
    if reasons:
        told = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        click.echo(f"{counted(reasons.total(), 'picture')} cannot be shown ({told})", err=True)
    about = [f"collection {collection.name}", f"model {collection.model_name}", *facts]
    title = f"{counted(len(keys), 'picture')} of {collection.shown_source}"
    return PictureMatrix(names, similarities, thumbnails, title, about)


def write_matrix(matrix: PictureMatrix, html_file: Path | None, png_file: Path | None) -> None:
    """Write the files asked for and say where they are.

    Raises:
        UsageError: One cannot be written.
    """
    page = similarity_page(matrix).encode() if html_file else b""
    drawing = similarity_png(matrix) if png_file else b""
    for kind, file, content in (("page", html_file, page), ("drawing", png_file, drawing)):
        if file is None:
            continue
        try:
            file.write_bytes(content)
        except OSError as error:
            raise UsageError(
                f"cannot write {file}: {error.strerror}; expected a file in an existing folder"
            ) from error
        click.echo(f"{kind}: {file}", err=True)
