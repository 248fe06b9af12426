"""A table of photos some of which are bursts of near copies, as frames of one scene, and others lie beside these."""

import numpy as np
import numpy.typing as npt
from photostore import make_collection

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

DIMENSIONS = 64


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scaled = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled.astype(np.float16).astype(np.float64)


def make_bursts(draw: np.random.Generator) -> tuple[npt.NDArray[np.float64], list[int]]:
    """5,000 pictures, four bursts of 1,000 at cosine 0.9975, and 40 pictures beside each; and the places of these."""
    centres = draw.standard_normal((100, DIMENSIONS))
    vectors = [unit(centres[np.arange(5000) % 100] + draw.standard_normal((5000, DIMENSIONS)))]
    beside: list[int] = []
    for _ in range(4):
        middle = unit(centres[draw.integers(100)] + draw.standard_normal(DIMENSIONS))
        vectors.append(unit(middle + 0.05 * unit(draw.standard_normal((1000, DIMENSIONS)))))
        begin = sum(map(len, vectors))
        far = draw.uniform(0.3, 0.8, (40, 1))
        vectors.append(unit(middle + far * unit(draw.standard_normal((40, DIMENSIONS)))))
        beside += range(begin, begin + 40)
    return np.concatenate(vectors), beside


def text(vector: npt.NDArray[np.float64]) -> str:
    return str([float(x) for x in vector])


def fill(
    connection: Connection, draw: np.random.Generator
) -> tuple[Collection, npt.NDArray[np.float64], list[int]]:
    """Make a collection of them in random order, without an index; return it with the vectors by key, and keys beside bursts."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    vectors, beside = make_bursts(draw)
    order = draw.permutation(len(vectors))
    connection.execute(
        "INSERT INTO shop.photo SELECT i, 'x.jpg' FROM unnest(%s::bigint[]) AS i", [order.tolist()]
    )
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT u.id, u.v::halfvec, 1, sha256(u.id::text::bytea), 'fp32' FROM unnest(%s::bigint[], %s::text[]) AS u (id, v)",
        [order.tolist(), [text(vectors[place]) for place in order]],
    )
    return collection, vectors, beside
