#!/usr/bin/env bash
# Python 3.11, Linux x86-64: qdrant-client 1.20.0, local mode (":memory:" or a path), beside qdrant-edge-py 0.9.0, which is Qdrant's own engine in a wheel.
#
# Expected: a collection with datatype uint8 or float16 keeps and gives the same numbers in local mode, which is there for tests, as
# in the engine: rounded halves, whole numbers from 0 to 255.
# Seen: local mode takes the datatype, shows it in the collection's configuration, and keeps float32. The engine cuts numbers to 0 to 255
# without a word, with Cosine too: unit vectors with signs, as every image model makes them, become zeros, and so the ten nearest of
# local mode are found, and those of the engine are ties at score 0. In float16 70,000 is 70,000 in local mode and infinity
# in the engine.
# So a test in local mode says nothing of a collection with a datatype; and numbers that come from uint8 are no directions any more.
#
# Output seen:
#   uint8, cosine: local mode says datatype uint8, keeps [0.0, 0.042, -0.038, -0.125] ..., nearest to point 5: [(5, 1.0), (11, 0.299), (82, 0.281)]
#                  engine keeps [0.0, 0.0, 0.0, 0.0] ..., nearest to point 5: [(168, 0.0), (45, 0.0), (89, 0.0)]
#   float16, dot:  local mode keeps [0.1, 70000.0, 1.0], engine [0.0999755859375, inf, 1.0]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qdrant-client==1.20.0 qdrant-edge-py==0.9.0 numpy==2.2.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from qdrant_client import QdrantClient, models

SIZE = 64
VECTORS = np.random.default_rng(7).normal(size=(200, SIZE))
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def in_engine(datatype, distance, vectors, query):
    folder = Path(sys.argv[1]) / f"{datatype}-{len(vectors[0])}"
    folder.mkdir()
    params = edge.EdgeVectorParams(
        len(vectors[0]), getattr(edge.Distance, distance), datatype=getattr(edge.VectorStorageDatatype, datatype)
    )
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=params))
    points = [edge.Point(place, list(map(float, vector))) for place, vector in enumerate(vectors)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    kept = shard.scroll(edge.ScrollRequest(limit=1, with_vector=True))[0][0].vector
    nearest = shard.query(edge.QueryRequest(limit=10, query=edge.Query.Nearest(list(map(float, query)))))
    return kept, [(point.id, round(point.score, 3)) for point in nearest]


def in_local_mode(datatype, distance, vectors, query):
    client = QdrantClient(":memory:")
    params = models.VectorParams(
        size=len(vectors[0]), distance=models.Distance[distance.upper()], datatype=models.Datatype[datatype.upper()]
    )
    client.create_collection("x", vectors_config=params)
    client.upsert("x", [models.PointStruct(id=place, vector=list(map(float, vector))) for place, vector in enumerate(vectors)])
    told = client.get_collection("x").config.params.vectors.datatype
    kept = client.scroll("x", limit=1, with_vectors=True)[0][0].vector
    nearest = client.query_points("x", query=list(map(float, query)), limit=10).points
    return told, kept, [(point.id, round(point.score, 3)) for point in nearest]


told, local, local_nearest = in_local_mode("Uint8", "Cosine", VECTORS, VECTORS[5])
engine, engine_nearest = in_engine("Uint8", "Cosine", VECTORS, VECTORS[5])
print(f"uint8, cosine: local mode says datatype {told.value}, keeps {np.round(local[:4], 3).tolist()} ..., nearest to point 5: {local_nearest[:3]}")
print(f"               engine keeps {engine[:4]} ..., nearest to point 5: {engine_nearest[:3]}")
one = [[0.1, 70_000.0, 1.0]]
_, local_half, _ = in_local_mode("Float16", "Dot", one, one[0])
engine_half, _ = in_engine("Float16", "Dot", one, one[0])
print(f"float16, dot:  local mode keeps {np.round(local_half, 4).tolist()}, engine {engine_half}")
is_so = (
    told is models.Datatype.UINT8
    and np.allclose(local, VECTORS[0], atol=1e-6)
    and local_nearest[0] == (5, 1.0)
    and not any(engine)
    and {score for _, score in engine_nearest} == {0.0}
    and local_half[1] == 70_000.0
    and engine_half[1] == float("inf")
)
print("as described" if is_so else "otherwise now")
sys.exit(0 if is_so else 1)
PYTHON
