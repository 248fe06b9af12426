#!/usr/bin/env bash
# lancedb 0.40.0 (pyarrow 26.0.1, numpy 2.4.6), Python 3.11, Linux x86-64.
# A search that names no distance type measures L2 while the column has no index, and silently measures the index's
# own metric once there is one: building an index changes the meaning of `_distance`, and for vectors that are not of
# unit length the order too. Expected: L2 as before, or an error. (A search that names "l2" keeps it, by brute force.)
# Thresholds tuned on a small table without an index mean something else after the first create_index.
#
# Output seen:
#   no distance type, no index: 56.577 (L2 squared is 56.577)
#   no distance type, cosine index: 1.040
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lancedb==0.40.0 pyarrow==26.0.1 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import lancedb
import numpy as np
import pyarrow as pa

ROWS, DIMENSIONS = 20_000, 64
vectors = np.random.default_rng(0).normal(size=(ROWS, DIMENSIONS)).astype(np.float32)
column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS)
table = lancedb.connect("db").create_table("pictures", pa.table({"id": range(ROWS), "vector": column}))


def second_nearest():
    return table.search(vectors[0], vector_column_name="vector").limit(2).to_list()[1]["_distance"]


before = second_nearest()
l2 = float(np.sort(((vectors - vectors[0]) ** 2).sum(axis=1))[1])
table.create_index(metric="cosine", num_partitions=1, vector_column_name="vector", index_type="IVF_HNSW_SQ")
after = second_nearest()
print(f"no distance type, no index: {before:.3f} (L2 squared is {l2:.3f})\nno distance type, cosine index: {after:.3f}")
sys.exit(not (abs(before - l2) < 0.01 and after < 2.1))
PYTHON
