#!/usr/bin/env bash
# openvino 2026.4.1, openvino-telemetry 2025.2.0, numpy 2.4.6, Python 3.11, Linux x86-64; 1 GB of memory.
# InferRequest.infer() on a CPU with INFERENCE_NUM_THREADS=1 raises nothing where a pass fails for want of memory: it returns what
# the request's last pass left, here two rows for 256 pictures. With two threads, or by start_async() and wait() with any number,
# it is a RuntimeError ("Failed to allocate ... bytes of memory"). Whoever halves a batch at such an error, and gives each of
# several processes one thread, gets the vectors of other pictures instead.
# Expected: a RuntimeError from each.
#
# Output seen:
#   threads 1, infer: no error; 256 pictures give an array of (2, 64), the answer to the two before: True
#   threads 1, start_async and wait: RuntimeError
#   threads 2, infer: RuntimeError
#   threads 2, start_async and wait: RuntimeError
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.4.6
cat > "$folder/one.py" <<'PYTHON'
import resource
import sys
from pathlib import Path

import numpy as np
import openvino
import openvino.opset13 as ops

threads, how = int(sys.argv[1]), sys.argv[2]
random = np.random.default_rng(0)
pixels = ops.parameter(openvino.PartialShape([-1, 3, 224, 224]), openvino.Type.f32, name="pixels")
layer = pixels
for inputs, outputs in ((3, 64), (64, 64)):
    weights = ops.constant(random.normal(size=(outputs, inputs, 3, 3)).astype(np.float32) / 10)
    layer = ops.relu(ops.convolution(layer, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
features = ops.reduce_mean(layer, ops.constant(np.array([2, 3])), False)
settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(openvino.Model([features], [pixels], "network"), "CPU", settings)
request = compiled.create_infer_request()
pictures = random.random((256, 3, 224, 224), dtype=np.float32)


def ask(count):
    if how == "infer":
        return np.array(request.infer({0: pictures[:count]}, share_inputs=True)[0])
    request.start_async({0: pictures[:count]}, share_inputs=True)
    request.wait()
    return np.array(request.get_output_tensor(0).data)


two = ask(2)
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 400 * 2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    many = ask(256)
except RuntimeError as error:
    assert "alloc" in str(error), error
    told = "RuntimeError"
else:
    told = f"no error; 256 pictures give an array of {many.shape}, the answer to the two before: {np.array_equal(many, two)}"
print(f"threads {threads}, {how}: {told}")
PYTHON
for threads in 1 2; do
  for how in "infer" "start_async and wait"; do
    "$folder/venv/bin/python" "$folder/one.py" "$threads" "$how" | tee -a "$folder/seen"
  done
done
test "$(grep -c RuntimeError "$folder/seen")" = 3
grep -q "^threads 1, infer: no error; 256 pictures give an array of (2, 64), the answer to the two before: True$" "$folder/seen"
