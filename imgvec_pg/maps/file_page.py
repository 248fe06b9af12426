"""A map as one HTML file that needs no other and no server."""

import base64
import hashlib
import io
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from PIL import Image

WEB = Path(__file__).parent / "web"
SCRIPTS = ("points.js", "map.js", "panel.js", "file.js")
MOST_POINTS = 20_000
"""A file of more would be too large to open."""
TILE, TILES_ACROSS = 56, 32
"""Pixels of a picture's square, and pictures beside each other in one sheet: 1,792 pixels, which every browser draws."""
QUALITY = 80


def sheets(pictures: Sequence[bytes | None]) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Put pictures into sheets, each at the left upper corner of its square.

    Args:
        pictures: JPEGs of at most TILE pixels a side, None where there is none.

    Returns:
        JPEGs of TILES_ACROSS^2 pictures each, and the width and height of each picture; 0 where there is none.
    """
    per_sheet = TILES_ACROSS**2
    made, sizes = [], []
    for first in range(0, len(pictures), per_sheet):
        side = TILE * TILES_ACROSS
        sheet = Image.new("RGB", (side, side), "white")
        for place, jpeg in enumerate(pictures[first : first + per_sheet]):
            if jpeg is None:
                sizes.append((0, 0))
                continue
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as opened:  # `thumbnail` has made it
                sheet.paste(opened, (place % TILES_ACROSS * TILE, place // TILES_ACROSS * TILE))
                sizes.append(opened.size)
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=QUALITY, optimize=True)
        made.append(buffer.getvalue())
    return made, sizes


def file_page(title: str, packed: bytes, sheet_jpegs: Sequence[bytes]) -> str:
    """Return the page. Its policy lets only its own script and style in.

    Args:
        packed: As `pack` returns it, with titles, sizes, tile and perSheet in its JSON.
    """
    script = "\n".join(_text(name) for name in SCRIPTS)
    style = _text("file.css") + _text("map.css")
    images = "\n".join(
        f'<img class="sheet" alt="" src="data:image/jpeg;base64,{base64.b64encode(sheet).decode("ascii")}">'
        for sheet in sheet_jpegs
    )
    return Template(_text("file.html")).substitute(
        title=escape(title),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        body=_text("body.html"),
        sheets=images,
        data=base64.b64encode(packed).decode("ascii"),
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _text(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")
