#!/usr/bin/env bash
# Pillow 13.0.0 (LittleCMS 2.19), numpy 2.4.6, Python 3.11, Linux x86-64.
# An 8-bit grey picture with a profile of linear light (gamma 1.0), converted to sRGB by ImageCms: level 1 of 255 must become
# 13, level 2 must become 22, by the profile's own formula, and does with NOOPTIMIZE. By default LittleCMS puts a coarse table in place
# of the curve for grey input, and gives 6 and 12: the darkest greys lose half of their level. RGB profiles are not affected.
# Expected: the same to within a level, as for RGB. Scans and microscopes' pictures in linear grey come out too dark in their shadows.
#
# Output seen (right is 0 13 22 28 34 38 42 46):
#   optimized: 0 6 12 19 25 31 37 43
#   NOOPTIMIZE: 0 13 22 28 34 38 42 46
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import numpy as np
from PIL import Image, ImageCms


def grey_profile():
    fixed = lambda *numbers: b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">I", 2) + struct.pack(">2H", 0, 65535),
    }
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


ramp = np.arange(256, dtype=np.uint8)[None]
linear = ramp[0] / 255
right = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
errors = []
for name, flags in (("optimized", ImageCms.Flags.NONE), ("NOOPTIMIZE", ImageCms.Flags.NOOPTIMIZE)):
    profile = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile()))
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "L", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags)
    found = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp), transform))[0, :, 0].astype(int)
    print(f"{name}:", *found[:8])
    errors.append(np.abs(found - right).max())
sys.exit(not (errors[0] > 5 and errors[1] <= 1))
PYTHON
