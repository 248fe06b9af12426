"""Small pictures for people, encoded anew: no foreign bytes reach a browser."""

import io

from PIL import Image

from imgvec_pg.images.decoding.sandbox import decode_guarded

THUMBNAIL_PIXELS = 240
JPEG_QUALITY = 82


def thumbnail(data: bytes, pixels: int = THUMBNAIL_PIXELS) -> bytes:
    """Return an encoded picture as a JPEG of at most `pixels` a side.

    Raises:
        ImageError: It does not decode.
    """
    image = decode_guarded(data)
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
