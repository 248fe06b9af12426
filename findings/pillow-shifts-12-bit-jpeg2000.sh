#!/usr/bin/env bash
# Pillow 13.0.0, imagecodecs 2026.3.6, opencv-python-headless 5.0.0.93, tifffile 2026.3.3, Python 3.11, Linux x86-64.
# The same 12-bit grey samples (0 to 4080) come out of Pillow on two scales, both in mode "I;16": as stored from a TIFF
# or PNG of 16 bits, and shifted left by four bits (0 to 65280) from a JPEG 2000 file of 12 bits. OpenCV gives 0 to 4080
# from both. Expected: as stored, as for TIFF. A rule such as "the highest value tells how many bits are used" therefore
# must not be applied to JPEG 2000, and one that divides 16-bit pictures by 4095 turns it white.
#
# Output seen:
#   Pillow, TIFF of 16 bits: I;16 0..4080
#   Pillow, JPEG 2000 of 12 bits: I;16 0..65280
#   OpenCV, JPEG 2000 of 12 bits: 0..4080
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 imagecodecs==2026.3.6 \
    opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

samples = np.tile((np.arange(256) * 16).astype(np.uint16), (64, 1))
jpeg2000 = imagecodecs.jpeg2k_encode(samples, bitspersample=12, level=0)
tiff = io.BytesIO()
tifffile.imwrite(tiff, samples)


def pillow(data):
    image = Image.open(io.BytesIO(data))
    pixels = np.asarray(image)
    return f"{image.mode} {pixels.min()}..{pixels.max()}"


read = cv2.imdecode(np.frombuffer(jpeg2000, np.uint8), cv2.IMREAD_UNCHANGED)
seen = (pillow(tiff.getvalue()), pillow(jpeg2000), f"{read.min()}..{read.max()}")
print("Pillow, TIFF of 16 bits: {}\nPillow, JPEG 2000 of 12 bits: {}\nOpenCV, JPEG 2000 of 12 bits: {}".format(*seen))
sys.exit(seen != ("I;16 0..4080", "I;16 0..65280", "0..4080"))
PYTHON
