#!/usr/bin/env bash
# onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11, Linux x86-64.
# quantize_dynamic gives a network whose output for one row depends on the other rows of the batch: DynamicQuantizeLinear takes one
# range over the whole tensor, so the step of every row's 8 bits is set by whichever row reaches farthest. per_channel=True is of
# weights alone and changes nothing here.
# Expected: each row by itself, as the fp32 network computes it and as "dynamic" (a range for each input) suggests; at the most
# noise of one step. Seen: beside a row 32 times as large the vector of a row falls from cosine 0.9999 to 0.98, and two runs
# that batch the same rows otherwise give other vectors. Who fills an index in batches gets neighbours that depend on the order of the
# rows; one row a pass, in as many threads as cores, gives each its own (what `imgvec backfill --precision int8` does).
#
# Output seen:
#   the same row alone and beside others, fp32: least cosine 1.000000
#   the same row, int8: alone to fp32 0.9999, beside its like 0.9999, beside one 32 times as large 0.9755
#   of 32 rows in batches of 32 and of 1: vectors the same False
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper, save
from onnxruntime.quantization import QuantType, quantize_dynamic

logging.disable(logging.WARNING)
draw = np.random.default_rng(0)
WIDTHS = (256, 512, 512, 128)
nodes, weights, name = [], [], "rows"
for layer, (given, made) in enumerate(zip(WIDTHS, WIDTHS[1:], strict=False)):
    values = (draw.standard_normal((given, made)) * np.sqrt(2 / given)).astype(np.float32)
    weights.append(numpy_helper.from_array(values, f"w{layer}"))
    last = layer == len(WIDTHS) - 2
    nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], ["features" if last else f"m{layer}"]))
    if not last:
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
    name = f"r{layer}"
graph = helper.make_graph(
    nodes,
    "network",
    [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", WIDTHS[0]])],
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTHS[-1]])],
    weights,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
checker.check_model(model)
save(model, "fp32.onnx")
quantize_dynamic("fp32.onnx", "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
sessions = {
    kind: onnxruntime.InferenceSession(f"{kind}.onnx", providers=["CPUExecutionProvider"]) for kind in ("fp32", "int8")
}


def embed(kind, rows):
    """Return unit vectors of rows, shape (n, 128), float32, in one pass."""
    (features,) = sessions[kind].run(None, {"rows": np.ascontiguousarray(rows, dtype=np.float32)})
    return features / np.linalg.norm(features, axis=1, keepdims=True)


rows = draw.standard_normal((32, WIDTHS[0])).astype(np.float32)
one, large = rows[:1], 32 * rows[1:2]
exact = embed("fp32", one)[0]
fp32 = min(float(embed("fp32", np.concatenate([one, other]))[0] @ exact) for other in (rows[1:], large))
alone, like, beside_large = (
    float(embed("int8", batch)[0] @ exact) for batch in (one, rows, np.concatenate([one, large]))
)
same = bool(np.allclose(embed("int8", rows), np.concatenate([embed("int8", row[None]) for row in rows]), atol=1e-6))
print(f"the same row alone and beside others, fp32: least cosine {fp32:.6f}")
print(f"the same row, int8: alone to fp32 {alone:.4f}, beside its like {like:.4f}, beside one 32 times as large {beside_large:.4f}")
print(f"of 32 rows in batches of 32 and of 1: vectors the same {same}")
sys.exit(not (fp32 > 0.99999 and alone > 0.999 and beside_large < 0.99 and not same))
PYTHON
