#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, tifffile 2026.3.3, Python 3.11, Linux x86-64.
# A white-is-zero TIFF (PhotometricInterpretation 0) of 8 bits is turned into black-is-zero by imdecode with both flags.
# One of 16 bits is turned with IMREAD_COLOR only: with IMREAD_UNCHANGED the same file is a negative. Expected: the same
# for both depths. A pipeline that reads scans with IMREAD_UNCHANGED, to keep 16 bits, indexes negatives in silence.
#
# Output seen (the stored sample is 0, that is white):
#   8 bits: IMREAD_COLOR white, IMREAD_UNCHANGED white
#   16 bits: IMREAD_COLOR white, IMREAD_UNCHANGED black
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import cv2
import numpy as np
import tifffile

seen = []
for dtype in (np.uint8, np.uint16):
    samples = np.zeros((64, 64), dtype)
    samples[:, 32:] = np.iinfo(dtype).max
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, samples, photometric="miniswhite")
    data = np.frombuffer(tiff.getvalue(), np.uint8)
    corners = [cv2.imdecode(data, flag)[0, 0].max() for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED)]
    words = ["white" if corner else "black" for corner in corners]
    print(f"{8 * samples.itemsize} bits: IMREAD_COLOR {words[0]}, IMREAD_UNCHANGED {words[1]}")
    seen.append(words)
sys.exit(seen != [["white", "white"], ["white", "black"]])
PYTHON
