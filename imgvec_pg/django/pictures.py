"""The picture of a row as a small JPEG, to be shown to people."""

import io

from django.db.models import Model
from PIL import Image

from imgvec_pg.django.imagesearch import ImageSearch
from imgvec_pg.django.storages import fetch_for
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decode import decode_image
from imgvec_pg.images.fetch import fetch_bytes
from imgvec_pg.images.reference import ImageReference

THUMBNAIL_PIXELS = 240
JPEG_QUALITY = 82


def thumbnail(search: ImageSearch, row: Model, pixels: int = THUMBNAIL_PIXELS) -> bytes:
    """Return a row's picture as a JPEG of at most `pixels` a side: encoded anew, so that no foreign bytes are served.

    Raises:
        ImageError: It cannot be had or decoded.
    """
    image = decode_image(_read(search, row))
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _read(search: ImageSearch, row: Model) -> bytes:
    fetch = fetch_for(search)
    for name in search.image:
        value = getattr(row, name)
        if not value:
            continue
        if isinstance(value, bytes | memoryview):
            return fetch_bytes(ImageReference(content=bytes(value)), None)
        if fetch is not None:
            return fetch(str(value))
    raise ImageError("empty", "the row has no picture here")
