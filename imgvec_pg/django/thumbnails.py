"""Thumbnail of a row's image as a small JPEG."""

from pathlib import Path

from django.db.models import Model

from imgvec_pg.django.image_search import ImageSearch
from imgvec_pg.django.storages import fetch_for
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.search.images import THUMBNAIL_PIXELS, thumbnail


def picture_of(search: ImageSearch, row: Model, pixels: int = THUMBNAIL_PIXELS) -> bytes:
    """Return a row's picture as a JPEG of at most `pixels` a side.

    Raises:
        ImageError: It cannot be had or decoded.
    """
    return thumbnail(read_bytes(search, row), pixels)


def has_picture(search: ImageSearch, row: Model) -> bool:
    """Whether a row says of a picture: neither NULL nor '' does."""
    return any(getattr(row, name) for name in search.image)


def read_bytes(search: ImageSearch, row: Model) -> bytes:
    """Return a row's picture as it is stored.

    Raises:
        ImageError: It cannot be had.
    """
    fetch = fetch_for(search)
    for name in search.image:
        value = getattr(row, name)
        if not value:
            continue
        if isinstance(value, bytes | memoryview):
            return fetch_bytes(ImageReference(content=bytes(value)), None)
        if fetch is not None:
            return fetch(str(value))
        if search.options["root"] is not None:
            return fetch_bytes(ImageReference(path=str(value)), Path(search.options["root"]))
    raise ImageError("empty", "the row has no picture here")
