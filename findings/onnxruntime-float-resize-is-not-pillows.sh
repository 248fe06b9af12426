#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, Pillow 13.0.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# ONNX's Resize (cubic, coefficient -0.5, antialias 1, exclude_outside 1) of a uint8 tensor is Pillow's BICUBIC to the last bit. The same node
# on the same picture as float32, clipped to 0..255 and rounded afterwards, as an exported preprocessing does, is up to 8 levels away
# from it at strong edges, and is Pillow's own resize of mode "F". Bilinear agrees within a level both ways.
# Expected: within a level too, the rounding. But 8-bit resizing clips what overshoots *between* its two passes, where
# floats keep it. Where the cast to float stands in the graph, before or after Resize, therefore decides whose pixels a model sees.
#
# Output seen (97 x 131 pixels of noise with a black and a white bar, to 24 x 32; the greatest difference to Pillow's 8-bit picture, in levels):
#   cubic: onnxruntime uint8 0, onnxruntime float32 8, Pillow mode F 8
#   linear: onnxruntime uint8 1, onnxruntime float32 1, Pillow mode F 1
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 pillow==13.0.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from PIL import Image

HEIGHT, WIDTH = 24, 32
picture = np.random.default_rng(0).integers(0, 256, (97, 131, 3)).astype(np.uint8)
picture[30:60] = 255
picture[:, 60:90] = 0


def by_onnx(mode, element_type, pixels):
    """Resize pixels (height, width, 3) by one ONNX node."""
    nchw = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode=mode, cubic_coeff_a=-0.5, antialias=1, exclude_outside=1
    )
    shape = [1, 3, HEIGHT, WIDTH]
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", element_type, nchw.shape)],
        [helper.make_tensor_value_info("y", element_type, shape)],
        [helper.make_tensor("sizes", TensorProto.INT64, [4], shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": nchw})[0][0].transpose(1, 2, 0)


def by_pillow_floats(resampling):
    """Resize each band of the picture in Pillow's mode F."""
    bands = [Image.fromarray(picture[..., band].astype(np.float32)).resize((WIDTH, HEIGHT), resampling) for band in range(3)]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


as_seen = True
for mode, resampling in (("cubic", Image.Resampling.BICUBIC), ("linear", Image.Resampling.BILINEAR)):
    reference = np.asarray(Image.fromarray(picture).resize((WIDTH, HEIGHT), resampling)).astype(int)
    results = (
        by_onnx(mode, TensorProto.UINT8, picture),
        by_onnx(mode, TensorProto.FLOAT, picture.astype(np.float32)),
        by_pillow_floats(resampling),
    )
    levels = [int(np.abs(np.rint(np.clip(result.astype(float), 0, 255)) - reference).max()) for result in results]
    print(f"{mode}: onnxruntime uint8 {levels[0]}, onnxruntime float32 {levels[1]}, Pillow mode F {levels[2]}")
    # The two float resizes are one: their difference is rounding.
    as_seen &= float(np.abs(results[1] - results[2]).max()) < 0.01
    as_seen &= levels[0] <= 1 and (levels[1] >= 4 if mode == "cubic" else levels[1] <= 1)
sys.exit(not as_seen)
PYTHON
