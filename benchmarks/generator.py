"""The vectors that the benchmarks search: clustered, of a known intrinsic dimension, the same on every machine.

400 cluster centres drawn from a 24-dimensional Gaussian, each row a centre plus Gaussian noise of a third of its scale,
turned into 512 dimensions by a random rotation, plus isotropic noise of a hundredth; norm 1; seed 7. A benchmark
takes its queries from the same call and does not store them.
"""

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

DIMENSIONS, INNER, CENTRES = 512, 24, 400
BLOCK = 50_000

Vectors = npt.NDArray[np.float32]


def generate(rows: int, queries: int = 0) -> tuple[Vectors, Vectors]:
    """Return unit vectors to store, shape (rows, 512), and held-out ones to ask with, shape (queries, 512)."""
    random = np.random.default_rng(7)
    total = rows + queries
    centres = random.normal(size=(CENTRES, INNER))
    inner = centres[random.integers(CENTRES, size=total)] + random.normal(size=(total, INNER)) / 3
    rotation = np.linalg.qr(random.normal(size=(DIMENSIONS, INNER)))[0]
    vectors = np.empty((total, DIMENSIONS), dtype=np.float32)
    for first in range(0, total, BLOCK):
        block = inner[first : first + BLOCK] @ rotation.T
        block += random.normal(size=block.shape) / 100
        vectors[first : first + BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors[:rows], vectors[rows:]


def nearest_two(vectors: Vectors, sample: int = 1000) -> Vectors:
    """Return the cosine distances of the first rows to their two nearest other rows, shape (sample, 2)."""
    sample = min(sample, len(vectors))
    nearest = np.full((sample, 2), 2.0, dtype=np.float32)
    for first in range(0, len(vectors), BLOCK):
        distance = 1 - vectors[:sample] @ vectors[first : first + BLOCK].T
        own = np.arange(first, min(sample, first + BLOCK))
        distance[own, own - first] = 2.0
        nearest = np.sort(np.hstack([nearest, np.partition(distance, 1, axis=1)[:, :2]]), axis=1)[:, :2]
    return nearest


def intrinsic_dimension(nearest: Vectors) -> float:
    """Two-nearest-neighbours estimate (Facco et al. 2017, Scientific Reports 7:12140)."""
    first, second = np.sqrt(np.maximum(2 * nearest, 1e-12)).T
    return float(len(nearest) / np.log(second / first).sum())


def describe(vectors: Vectors) -> str:
    """Return a line on what was generated: size, intrinsic dimension, quantiles of the nearest distance."""
    nearest = nearest_two(vectors)
    quantiles = ", ".join(f"{q:.3f}" for q in np.quantile(nearest[:, 0], [0.05, 0.5, 0.95]))
    return (
        f"rows {len(vectors)}, dimensions {vectors.shape[1]}, intrinsic dimension {intrinsic_dimension(nearest):.1f} (2NN), "
        f"nearest cosine distance {quantiles} (quantiles 0.05, 0.5, 0.95)"
    )


def copy_embeddings(connection: Connection, collection: Collection, vectors: Vectors) -> None:
    """Store the vectors under the keys 1, 2, … of a collection whose key is one bigint; the source has the rows."""
    register_vector(connection)
    statement = sql.SQL(
        "COPY imgvec.{} ({}, embedding, version, content_hash, precision) FROM STDIN BINARY"
    ).format(sql.Identifier(collection.embedding_table), sql.Identifier(collection.key_columns[0]))
    with connection.cursor().copy(statement) as copy:
        copy.set_types(["int8", "halfvec", "int8", "bytea", "text"])
        for key, vector in enumerate(vectors, 1):
            # Of a picture of its own: rows of one hash would be indexed as one picture.
            copy.write_row((key, HalfVector(vector), 1, key.to_bytes(32, "big"), "fp32"))
