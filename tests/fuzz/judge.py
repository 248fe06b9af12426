"""What must be true of any bytes whatever: pixels or an error with a code, and a parent that lives."""

import io
import os
import sys
from collections import Counter
from pathlib import Path

from PIL import Image
from skimage import data as photographs

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from trade_files import all_files, dng

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed, describe_sandboxed
from imgvec_pg.images.limits import MAX_ASPECT, MAX_PIXELS

# The readers that are not asked for by default too.
os.environ.setdefault("IMGVEC_FORMATS", "tiff")
CODES = {"empty", "unidentified", "format_denied", "truncated", "too_large", "decode_limit"}
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF")


class Surprise(Exception):
    """Bytes that ended otherwise than they may."""


def judge(data: bytes, counts: Counter[str]) -> None:
    """Decode bytes in a child and count how they ended.

    Raises:
        Surprise: As they must not.
    """
    try:
        image = decode_sandboxed(data)
    except ImageError as error:
        check_error(error)
        counts[error.code] += 1
        return
    check_image(image)
    counts["decoded"] += 1
    try:
        described = describe_sandboxed(data)
    except ImageError as error:
        raise Surprise(f"it decodes and cannot be described: {error}") from error
    if {described.width, described.height} != set(image.size):
        raise Surprise(f"described as {described}, decoded as {image.size}")


def check_error(error: ImageError) -> None:
    """Hold an error to its documentation."""
    message = str(error)
    if error.code not in CODES or not message.isprintable() or len(message) > 1000:
        raise Surprise(f"{error.code}: {message!r}")


def check_image(image: Image.Image) -> None:
    """Hold an image to the limits."""
    width, height = image.size
    if image.mode != "RGB" or width * height > MAX_PIXELS or max(image.size) > MAX_ASPECT * min(image.size):
        raise Surprise(f"an image of mode {image.mode} and {width} x {height} pixels")


def require_good_one() -> None:
    """Hold the children to decoding a good picture, after whatever they met."""
    data = (Path(photographs.__file__).parent / "rocket.jpg").read_bytes()
    if decode_sandboxed(data).tobytes() != decode_image(data).tobytes():
        raise Surprise("a good picture no longer decodes to its pixels")


def seeds() -> list[bytes]:
    """Return small good pictures of every format and mode, those of the trades among them."""
    found = []
    with Image.open(Path(photographs.__file__).parent / "rocket.jpg") as whole:
        small = whole.resize((48, 32))
    variants = [
        small,
        small.convert("L"),
        small.convert("P"),
        small.convert("RGBA"),
        small.convert("CMYK"),
        small.convert("1"),
    ]
    variants.append(Image.new("I;16", (24, 16), 40_000))
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in FORMATS:
        for image in variants:
            for options in (
                {},
                {"exif": exif},
                {"progressive": True} if form == "JPEG" else {"save_all": True},
            ):
                buffer = io.BytesIO()
                try:
                    image.save(buffer, form, **options)
                except (OSError, ValueError, KeyError):  # not every format has every mode
                    continue
                found.append(buffer.getvalue())
    found += [*(file.data for file in all_files()), dng()]
    return list(dict.fromkeys(found))
