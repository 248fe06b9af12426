#!/usr/bin/env bash
# hnswlib 0.8.0, faiss-cpu 1.15.1, usearch 2.26.6, voyager 2.2.3, numpy 2.4.6, Python 3.11, Linux x86-64.
# A third of the rows is one vector (a placeholder picture, a logo, "no photo available"), inserted among the others in random
# order. Each library's HNSW graph then loses the OTHER rows: queries that are rows of their own, different from the copies,
# miss most of their ten neighbours, and some find not even themselves. Every answer has ten rows and no error. Links of
# a row go to its nearest, so copies link to copies alone, and what was reached through them no longer is.
# Expected: at least 0.9 of the true ten, as the copies are far from most queries, and ten links of each are wasted at most.
#
# Output seen (6,000 x 64, ef 50 for search, 150 queries; ties count as right):
#   hnswlib 0.8.0    no copies: recall 0.997, worst 0.9; 2,000 copies: recall 0.887, worst 0.0
#   faiss 1.15.1     no copies: recall 0.987, worst 0.8; 2,000 copies: recall 0.763, worst 0.0
#   usearch 2.26.6   no copies: recall 0.990, worst 0.8; 2,000 copies: recall 0.901, worst 0.0
#   voyager 2.2.3    no copies: recall 0.992, worst 0.7; 2,000 copies: recall 0.471, worst 0.0
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check hnswlib==0.8.0 faiss-cpu==1.15.1 usearch==2.26.6 voyager==2.2.3 \
  numpy==2.4.6 packaging tqdm
cd "$folder" && "$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import hnswlib
import numpy as np
import voyager
from usearch.index import Index as Usearch

ROWS, DIMENSIONS, COPIES, EF = 6000, 64, 2000, 50


def make(copies):
    random = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(np.arange(1, DIMENSIONS + 1))
    vectors = random.standard_normal((ROWS, DIMENSIONS)) * spectrum + 0.5 * random.standard_normal(DIMENSIONS)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    chosen = random.permutation(ROWS)[:COPIES]
    if copies:
        vectors[chosen] = vectors[chosen[0]]
    return vectors, np.setdiff1d(np.arange(ROWS), chosen)[:150]


def by_hnswlib(vectors):
    index = hnswlib.Index("cosine", DIMENSIONS)
    index.init_index(ROWS)
    index.add_items(vectors, num_threads=1)
    index.set_ef(EF)
    return lambda query: index.knn_query(query, 10)[0][0]


def by_faiss(vectors):
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(DIMENSIONS, 16)
    index.hnsw.efSearch = EF
    index.add(vectors)
    return lambda query: index.search(query[None], 10)[1][0]


def by_usearch(vectors):
    index = Usearch(ndim=DIMENSIONS, metric="cos", expansion_search=EF)
    index.add(np.arange(ROWS), vectors, threads=1)
    return lambda query: index.search(query, 10).keys


def by_voyager(vectors):
    index = voyager.Index(voyager.Space.Cosine, DIMENSIONS)
    index.add_items(vectors, num_threads=1)
    return lambda query: index.query(query, 10, query_ef=EF)[0]


def recall(build, copies):
    vectors, queries = make(copies)
    search, shares = build(vectors), []
    for query in queries:
        cosines = vectors @ vectors[query]
        tenth = np.sort(cosines)[-10]
        shares.append(sum(cosines[int(row)] >= tenth - 1e-5 for row in {int(row) for row in search(vectors[query])}) / 10)
    return float(np.mean(shares)), min(shares)


unchanged = True
for name, build in (
    ("hnswlib 0.8.0", by_hnswlib),
    ("faiss 1.15.1", by_faiss),
    ("usearch 2.26.6", by_usearch),
    ("voyager 2.2.3", by_voyager),
):
    (without, worst_without), (with_copies, worst) = recall(build, False), recall(build, True)
    print(
        f"{name:16} no copies: recall {without:.3f}, worst {worst_without:.1f}; "
        f"2,000 copies: recall {with_copies:.3f}, worst {worst:.1f}"
    )
    unchanged &= without > 0.95 and with_copies < 0.93 and worst == 0
sys.exit(not unchanged)
PYTHON
