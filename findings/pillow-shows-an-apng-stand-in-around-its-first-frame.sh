#!/usr/bin/env bash
# Pillow 13.0.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# An APNG may have a default image that is no frame of its animation, a stand-in for readers that know no animations. The first
# frame is then drawn upon a canvas that is transparent (PNG 3rd edition, 11.3.5.1: "fully transparent black"). Pillow draws it
# upon the stand-in: around a first frame that is smaller than the canvas, seek(1) shows the stand-in, opaque.
# Expected: transparent there, as browsers show it. Who skips the stand-in by seek(1) may still get most of it.
#
# Output seen (the stand-in is red, the frame blue):
#   default image: True, frames: 2
#   within the first frame: 0 0 255 255
#   around it: 255 0 0 255
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys
import zlib

from PIL import Image


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pixels(width, height, color):
    return zlib.compress((b"\0" + bytes(color) * width) * height)


apng = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 6, 0, 0, 0))
    + chunk(b"acTL", struct.pack(">II", 1, 0))
    + chunk(b"IDAT", pixels(40, 30, (255, 0, 0, 255)))
    + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 10, 10, 5, 5, 1, 10, 0, 0))
    + chunk(b"fdAT", struct.pack(">I", 1) + pixels(10, 10, (0, 0, 255, 255)))
    + chunk(b"IEND", b"")
)
image = Image.open(io.BytesIO(apng))
print(f"default image: {image.default_image}, frames: {image.n_frames}")
image.seek(1)
frame = image.convert("RGBA")
within, around = frame.getpixel((8, 8)), frame.getpixel((30, 20))
print("within the first frame:", *within)
print("around it:", *around)
sys.exit((within, around) != ((0, 0, 255, 255), (255, 0, 0, 255)))
PYTHON
