#!/usr/bin/env bash
# pillow-jxl-plugin 1.3.8, imagecodecs 2026.3.6, Pillow 13.0.0, Python 3.11, Linux x86-64.
# An animated JPEG XL opens as a still picture (`is_animated` is False, `n_frames` 1) that shows its LAST frame. Expected: the
# first, as Pillow shows of GIF, WebP, PNG and AVIF, or an error; our own first docstring said "decode the first frame".
# Whoever makes thumbnails or embeddings of an animation gets its end, which is often an empty or faded picture.
#
# Output seen:
#   frames red, green, blue: Pillow shows blue, n_frames 1, is_animated False
#   imagecodecs, index=0: red
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow-jxl-plugin==1.3.8 imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - registers itself
from PIL import Image

NAMES = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}
frames = np.zeros((3, 32, 48, 3), np.uint8)
for number, colour in enumerate(NAMES):
    frames[number] = colour
data = imagecodecs.jpegxl_encode(frames, photometric="rgb", lossless=True)
with Image.open(io.BytesIO(data)) as image:
    shown = NAMES[image.convert("RGB").getpixel((5, 5))]
    print(f"frames red, green, blue: Pillow shows {shown}, n_frames {image.n_frames}, is_animated {image.is_animated}")
first = NAMES[tuple(imagecodecs.jpegxl_decode(data, index=0)[5, 5].tolist())]
print(f"imagecodecs, index=0: {first}")
sys.exit(not (shown == "blue" and first == "red"))
PYTHON
