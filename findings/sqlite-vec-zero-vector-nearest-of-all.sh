#!/usr/bin/env bash
# sqlite-vec 0.1.9, apsw 3.54.1.0, numpy 2.4.6, Python 3.11, Linux x86-64.
# The cosine distance to a vector of zeros (a picture that could not be embedded, a padded batch) is 0/0: sqlite-vec's vec0 gives
# NULL. Where such a row comes in a KNN search depends on where it is stored: in the first row of the table it is the nearest
# neighbour of EVERY query, and a search with k = 1 finds nothing else; in row 150 it is the nearest of none.
# Expected: last, or left out, wherever it stands (pgvector's HNSW leaves zeros out for cosine; DuckDB's NaN sorts last).
# It looks as if a selection that starts at the first row never sees a NaN beaten, as NaN compares false with everything.
#
# Output seen (300 random vectors; every stored one is a query with k = 1):
#   zeros in row 0: nearest of 300 of 300 queries, distance None
#   zeros in row 150: nearest of 0 of 300 queries
#   zeros in rows 0, 1, 2: first four of a query for row 50: [(0, None), (1, None), (2, None), (50, 0.0)]
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check sqlite-vec==0.1.9 apsw==3.54.1.0 numpy==2.4.6
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import sys

import apsw
import numpy as np
import sqlite_vec

NEAREST = "SELECT id, distance FROM picture WHERE embedding MATCH ? AND k = ?"


def stored(zeros):
    vectors = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)
    vectors[zeros] = 0
    database = apsw.Connection(":memory:")
    database.enable_load_extension(True)
    database.load_extension(sqlite_vec.loadable_path())
    database.execute(
        "CREATE VIRTUAL TABLE picture USING vec0(id integer primary key, embedding float[8] distance_metric=cosine)"
    )
    database.executemany("INSERT INTO picture VALUES (?, ?)", [(row, vector.tobytes()) for row, vector in enumerate(vectors)])
    return database, vectors


def nearest_of(row):
    database, vectors = stored([row])
    found = [database.execute(NEAREST, (vector.tobytes(), 1)).fetchall()[0] for vector in np.delete(vectors, row, axis=0)]
    # The zeros themselves are asked for too: their distance to everything is NULL.
    found.append(database.execute(NEAREST, (vectors[row].tobytes(), 1)).fetchall()[0])
    return sum(key == row for key, _ in found), found[0][1]


first, distance = nearest_of(0)
print(f"zeros in row 0: nearest of {first} of 300 queries, distance {distance}")
later, _ = nearest_of(150)
print(f"zeros in row 150: nearest of {later} of 300 queries")
database, vectors = stored([0, 1, 2])
four = database.execute(NEAREST, (vectors[50].tobytes(), 4)).fetchall()
four = [(key, far if far is None else round(abs(far), 6)) for key, far in four]
print(f"zeros in rows 0, 1, 2: first four of a query for row 50: {four}")
as_seen = (first, distance, later) == (300, None, 0) and four == [(0, None), (1, None), (2, None), (50, 0.0)]
sys.exit(not as_seen)
PYTHON
