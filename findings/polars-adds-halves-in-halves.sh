#!/usr/bin/env bash
# polars 2.1.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# Over a column of Float16 arrays (parquet's FixedSizeList of halves: embeddings) `arr.sum()` and `list.sum()` round each partial sum to
# a half, one element after another: the sum of ones stops at 2048, and the squared length of a unit vector comes out as 0.99 at 768
# dimensions and 0.92 at 4096. `arr.mean()` of the same column, `Series.sum()` and numpy's sum of halves
# are right to within a half's last bits. A sum in `group_by` stops as `arr.sum()` does.
# Expected: as `Series.sum()`, since all of them give a Float16. Cosines, norms and centroids of halves need a cast to Float32 first.
#
# Output seen:
#   ones, 4096 of them: arr.sum 2048, list.sum 2048, group_by 2048, Series.sum 4096, numpy 4096
#   unit vectors of 768 dimensions: squared length by arr.sum 0.9936 on average, by arr.mean 0.9998, after a cast 1.0000
#   unit vectors of 4096 dimensions: squared length by arr.sum 0.9250 on average, by arr.mean 1.0000, after a cast 1.0000
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check polars==2.1.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import polars as pl

ones = np.ones(4096, np.float16)
row = pl.Series("v", ones[None])
grouped = pl.DataFrame({"key": [1] * 4096, "v": pl.Series(ones)}).group_by("key").agg(pl.col("v").sum())["v"][0]
sums = [row.arr.sum()[0], row.arr.to_list().list.sum()[0], grouped, pl.Series(ones).sum(), ones.sum()]
names = ["arr.sum", "list.sum", "group_by", "Series.sum", "numpy"]
print("ones, 4096 of them: " + ", ".join(f"{name} {total:.0f}" for name, total in zip(names, sums)))

as_seen = [float(total) for total in sums] == [2048, 2048, 2048, 4096, 4096]
for dimensions in (768, 4096):
    vectors = np.random.default_rng(0).standard_normal((200, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = pl.DataFrame({"v": vectors.astype(np.float16)})
    squares = pl.col("v") * pl.col("v")
    wide = pl.col("v").cast(pl.Array(pl.Float32, dimensions))
    lengths = table.select(
        halves=squares.arr.sum().cast(pl.Float64),
        mean=squares.arr.mean().cast(pl.Float64) * dimensions,
        cast=(wide * wide).arr.sum().cast(pl.Float64),
    ).mean().row(0)
    print(
        f"unit vectors of {dimensions} dimensions: squared length by arr.sum {lengths[0]:.4f} on average, "
        f"by arr.mean {lengths[1]:.4f}, after a cast {lengths[2]:.4f}"
    )
    as_seen &= lengths[0] < 0.995 and abs(lengths[1] - 1) < 1e-3 and abs(lengths[2] - 1) < 1e-3
sys.exit(not as_seen)
PYTHON
