"""Write a map as a drawing and as a page."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from imgvec_pg.cli.output.messages import say
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.maps.drawing import PICTURE, map_png, shown_pictures
from imgvec_pg.maps.file_page import MOST_POINTS, TILE, TILES_ACROSS, file_page, sheets
from imgvec_pg.maps.pack import facts, pack, shuffled
from imgvec_pg.maps.read_map import ColouredMap, RowAt, read_map, rows_at
from imgvec_pg.search.contact_sheet import MISSING
from imgvec_pg.search.display_columns import label_rows
from imgvec_pg.search.images import read_pictures, thumbnail
from imgvec_pg.search.query_types import show_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.text import counted


def write_map_files(
    connection: Connection,
    collection: Collection,
    by: str,
    root: Path | None,
    html_file: Path | None,
    png_file: Path | None,
) -> None:
    """Write the files asked for and say where they are.

    Raises:
        UsageError: One cannot be written, or there are too many points for a page.
    """
    shown = read_map(connection, collection, by)
    if html_file is not None and len(shown.places) > MOST_POINTS:
        raise UsageError(
            f"the map has {len(shown.places):,} points; expected {MOST_POINTS:,} at most for --html (imgvec browse shows more, "
            "and --where makes a map of fewer)"
        )
    title = f"{collection.shown_source}, like beside like"
    if png_file is not None:
        chosen = shown_pictures(shown.places)
        found = rows_at(connection, collection, shown.places[chosen].tolist())
        pictures = read_thumbnails(connection, collection, [key_of(one) for one in found], root, PICTURE * 2)
        by_point = dict(zip(chosen.tolist(), pictures, strict=True))
        drawn = map_png(
            shown, title, facts(shown, collection), {point: one for point, one in by_point.items() if one}
        )
        write_file(png_file, drawn, "drawing")
    if html_file is not None:
        write_file(html_file, page_of(connection, collection, shown, title, root).encode(), "page")


def page_of(
    connection: Connection, collection: Collection, shown: ColouredMap, title: str, root: Path | None
) -> str:
    """Return the page of a map, with its pictures."""
    order = shuffled(len(shown.places))
    places, which = np.unique(shown.places[order], axis=0, return_inverse=True)
    found = rows_at(connection, collection, places.tolist())
    keys = [key_of(one) for one in found]
    labels = label_rows(connection, collection, [key for key in keys if key])
    names = [labels.get(show_key(key)) or show_key(key) if key else "" for key in keys]
    once = read_thumbnails(connection, collection, keys, root, TILE)
    made, sizes = sheets([once[place] for place in which.ravel().tolist()])
    titles = [names[place] for place in which.ravel().tolist()]
    more = {"titles": titles, "sizes": sizes, "tile": TILE, "perSheet": TILES_ACROSS**2}
    return file_page(title, pack(shown, collection, order, **more), made)


def key_of(found: RowAt | None) -> Key | None:
    """Return the key of a row that was found."""
    return None if found is None else found.key


def read_thumbnails(
    connection: Connection, collection: Collection, keys: Sequence[Key | None], root: Path | None, pixels: int
) -> list[bytes | None]:
    """Return a small JPEG of each row's picture; what cannot be shown is told once."""
    known = [key for key in keys if key is not None]
    if len(known) > 1000:
        say(f"reading {len(known):,} pictures")
    made: list[bytes | None] = []
    reasons: Counter[str] = Counter()
    for picture in read_pictures(connection, collection, known, root):
        try:
            if isinstance(picture, ImageError):
                raise picture
            made.append(thumbnail(picture, pixels, collection.bands))
        except ImageError as error:
            reasons[MISSING.get(error.code, "not a readable image")] += 1
            made.append(None)
    if reasons:
        told = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        click.echo(f"{counted(reasons.total(), 'picture')} cannot be shown ({told})", err=True)
    left = iter(made)
    return [None if key is None else next(left) for key in keys]


def write_file(file: Path, content: bytes, kind: str) -> None:
    """Write a file and say where it is.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}; expected a file in an existing folder"
        ) from error
    click.echo(f"{kind}: {file}", err=True)
