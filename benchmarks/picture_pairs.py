"""Draw the sheets of docs/howto/rendering.md: files of the corpus by rendering 1, by rendering 2, and as they are right.

Writes docs/images/rendering-*.jpg.

    python benchmarks/picture_pairs.py
"""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "rendering"))

from golden import TIFF_ENVIRONMENT, Golden  # noqa: E402
from goldencorpus import corpus  # noqa: E402

from imgvec_pg.errors import ImageError  # noqa: E402
from imgvec_pg.images.decoding.decode import decode_image  # noqa: E402
from imgvec_pg.images.rendering.version import FIRST, NEWEST  # noqa: E402

SHEETS = {
    "samples": {
        "tiff/0 to 255 in <f4 None": "float TIFF that holds 0 to 255",
        "tiff/CT numbers": "CT numbers, int16",
        "tiff/colour, 12 bits in 16 zlib": "12 bits in 16",
        "tiff/white is zero <u2": "16 bits, white is zero",
        "tiff/16 bits separate < None": "16 bits in planes",
    },
    "colour": {
        "profile/ProPhoto, half is 0.287, jpeg": "JPEG in ProPhoto RGB",
        "profile/sRGB, half is 0.500, png": "PNG with a linear profile",
        "profile/CMYK, jpeg, 1": "JPEG in CMYK with a profile",
        "hdr/png 16 bits, PQ, BT.2020, lights": "HDR, PQ",
        "hdr/avif, HLG, lights": "HDR, HLG",
    },
    "transparency": {
        "png/colour key, 4 bits, 1 channels": "colour key at 4 bits",
        "png/white logo over grey": "white logo",
        "gif/small first frame, transparent colour False": "GIF, small first frame",
        "gif/5 empty frames first": "GIF that fades in",
        "apng/separate stand-in": "APNG with a stand-in",
    },
}
COLUMNS = ("rendering 1", "rendering 2", "right")
CELL, GAP, LABEL, HEAD = (190, 150), 8, 210, 26
INK, PAPER, EMPTY = (30, 30, 30), (255, 255, 255), (238, 238, 238)


def main() -> None:
    """Draw and write all sheets."""
    os.environ.update(TIFF_ENVIRONMENT)
    by_name = {golden.name: golden for golden in corpus()}
    for sheet, rows in SHEETS.items():
        drawn = draw_sheet([(label, by_name[name]) for name, label in rows.items()])
        path = ROOT / "docs" / "images" / f"rendering-{sheet}.jpg"
        drawn.save(path, quality=85, optimize=True)
        print(f"{path.relative_to(ROOT)}: {drawn.width} x {drawn.height}, {path.stat().st_size // 1024} KiB")


def draw_sheet(rows: list[tuple[str, Golden]]) -> Image.Image:
    """Return a sheet of a row for each file."""
    width = LABEL + len(COLUMNS) * (CELL[0] + GAP)
    sheet = Image.new("RGB", (width, HEAD + len(rows) * (CELL[1] + GAP)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, title in enumerate(COLUMNS):
        pen.text((LABEL + column * (CELL[0] + GAP), 4), title, INK, font)
    for row, (label, golden) in enumerate(rows):
        top = HEAD + row * (CELL[1] + GAP)
        pen.text((4, top + CELL[1] // 2 - 10), label, INK, font)
        pictures = (_rendered(golden, FIRST), _rendered(golden, NEWEST), Image.fromarray(golden.right))
        for column, picture in enumerate(pictures):
            sheet.paste(_in_cell(picture), (LABEL + column * (CELL[0] + GAP), top))
    return sheet


def _rendered(golden: Golden, rendering: int) -> Image.Image:
    try:
        return Image.fromarray(np.asarray(decode_image(golden.data, rendering=rendering)))
    except ImageError:
        return Image.new("RGB", CELL, PAPER)


def _in_cell(picture: Image.Image) -> Image.Image:
    cell = Image.new("RGB", CELL, EMPTY)
    picture.thumbnail((CELL[0] - 8, CELL[1] - 8), Image.Resampling.LANCZOS)
    cell.paste(picture, ((CELL[0] - picture.width) // 2, (CELL[1] - picture.height) // 2))
    return cell


if __name__ == "__main__":
    main()
