"""JPEG without its end marker: whether all of its pixels are there, told by decoding it with other bytes at its end."""

import random
from collections.abc import Iterator

from PIL import Image, ImageFile

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.formats import open_image

END = b"\xff\xd9"
_RESTART_INTERVAL = b"\xff\xdd\x00\x04"
_FIRST_RESTART = 0xD0
FILLER_BYTES = 256


def load_without_end(data: bytes) -> ImageFile.ImageFile | None:
    """Load a JPEG that ends without its marker; None where pixels are missing too.

    libjpeg fills in what is missing and tells nobody through Pillow. But where pixels are missing, further bytes of compressed
    data change the picture; where all are there, they are skipped. So it is decoded with several such endings.
    """
    if data.rstrip(b"\0").endswith(END):
        return None
    wanted = _load(data + END)
    if wanted is None:
        return None
    pixels = wanted.tobytes()
    for filler in _fillers(data):
        other = _load(data + filler + END)
        if other is None or other.tobytes() != pixels:
            return None
    return wanted


def _fillers(data: bytes) -> Iterator[bytes]:
    chance = random.Random(0)  # noqa: S311 - any bytes do
    noise = bytes(chance.choices(range(1, 255), k=FILLER_BYTES))
    yield noise
    if _RESTART_INTERVAL in data:
        # Where a restart marker is due, nothing else is taken for pixels.
        last = max((data.rfind(bytes([0xFF, marker])), marker) for marker in range(0xD0, 0xD8))
        due = _FIRST_RESTART if last[0] < 0 else _FIRST_RESTART + (last[1] + 1) % 8
        yield bytes([0xFF, due]) + noise


def _load(data: bytes) -> ImageFile.ImageFile | None:
    try:
        _, image = open_image(data)
        image.load()
    except MemoryError:
        raise
    except (ImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None
    return image
