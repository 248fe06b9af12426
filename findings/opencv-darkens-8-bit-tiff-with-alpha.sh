#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6, Python 3.11, Linux x86-64.
# A TIFF whose alpha is not premultiplied (ExtraSamples 2, "unassociated") comes out of imdecode with its colours multiplied by the alpha, for
# 8 bits and with both flags: orange of opacity 1/2 becomes brown of opacity 1/2. Of 16 bits the colours are those of the file, and so they are of a
# PNG with the same pixels. A file that OpenCV itself wrote keeps its values, since that names no ExtraSamples.
# Expected: as stored, as for 16 bits and for PNG. Laid over white by the alpha, which multiplies once more, translucent parts darken.
# OpenCV takes 8-bit TIFFs by libtiff's RGBA interface, which gives premultiplied samples.
#
# Output seen (the stored RGBA is 200 100 0 128):
#   PNG of 8 bits: 200 100 0 128
#   TIFF of 8 bits: 100 50 0 128 (IMREAD_COLOR 100 50 0; Pillow 200 100 0 128)
#   TIFF of 16 bits, divided by 257: 200 100 0 128
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

pixels = np.full((8, 8, 4), (200, 100, 0, 128), np.uint8)


def tiff(samples):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="rgb", extrasamples=["unassalpha"])
    return file.getvalue()


def opened(data, flag=cv2.IMREAD_UNCHANGED):
    """The first pixel as red, green, blue and, where there is one, alpha."""
    blue, green, red, *alpha = (int(sample) for sample in cv2.imdecode(np.frombuffer(data, np.uint8), flag)[0, 0])
    return (red, green, blue, *alpha)


def words(samples):
    return " ".join(str(sample) for sample in samples)


png = io.BytesIO()
Image.fromarray(pixels).save(png, "PNG")
of_png = opened(png.getvalue())
eight = tiff(pixels)
of_eight = opened(eight)
colour = opened(eight, cv2.IMREAD_COLOR)
by_pillow = Image.open(io.BytesIO(eight)).getpixel((0, 0))
of_sixteen = tuple(sample // 257 for sample in opened(tiff(pixels.astype(np.uint16) * 257)))
print(f"PNG of 8 bits: {words(of_png)}")
print(f"TIFF of 8 bits: {words(of_eight)} (IMREAD_COLOR {words(colour)}; Pillow {words(by_pillow)})")
print(f"TIFF of 16 bits, divided by 257: {words(of_sixteen)}")
stored = (200, 100, 0, 128)
as_seen = of_png == of_sixteen == by_pillow == stored and of_eight == (100, 50, 0, 128) and colour == (100, 50, 0)
sys.exit(not as_seen)
PYTHON
