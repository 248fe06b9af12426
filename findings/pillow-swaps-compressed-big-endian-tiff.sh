#!/usr/bin/env bash
# Pillow 13.0.0, tifffile 2026.3.3, imagecodecs 2026.3.6, numpy 2.4.6, Python 3.11, Linux x86-64.
# A grey TIFF written with its big end first opens right in Pillow while it is uncompressed. Compressed, its samples come out
# with their bytes exchanged where they are 32-bit floats, 32-bit integers or signed 16-bit integers: libtiff has already
# turned them into the machine's order, and Pillow turns them once more. Unsigned 16-bit samples are right both ways.
# Expected: the same samples whatever the compression. Nothing is raised; what is embedded or trained on is noise.
#
# Output seen (the stored samples are 0 to 255):
#   float32 none: 0 to 255
#   float32 zlib: 0 to 9.12105e-41
#   int32 none: 0 to 255
#   int32 zlib: -2.14748e+09 to 2.13071e+09
#   int16 none: 0 to 255
#   int16 zlib: -32768 to 32512
#   uint16 none: 0 to 255
#   uint16 zlib: 0 to 255
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import tifffile
from PIL import Image

wrong = []
for dtype in ("float32", "int32", "int16", "uint16"):
    samples = np.tile(np.arange(256), (64, 1)).astype(dtype)
    for compression in (None, "zlib"):
        tiff = io.BytesIO()
        tifffile.imwrite(tiff, samples, byteorder=">", compression=compression)
        found = np.asarray(Image.open(tiff))
        print(f"{dtype} {compression or 'none'}: {found.min():g} to {found.max():g}")
        if not np.array_equal(found, samples):
            wrong.append((dtype, compression))
sys.exit(wrong != [("float32", "zlib"), ("int32", "zlib"), ("int16", "zlib")])
PYTHON
