"""Axes of a radius index: directions along which vectors differ most, scaled so that they never lengthen a vector."""

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.radius_bound import axis_count
from imgvec_pg.database.sql_templates import render
from imgvec_pg.store.collection import Collection

Doubles = npt.NDArray[np.float64]
Halves = npt.NDArray[np.float16]

SAMPLE_ROWS = 8000
"""Any axes are right, better ones only leave fewer rows: a few hundred rows for each of them will do."""
ROUNDS = 6
"""Of subspace iteration: the last axes need not be exact."""
CONTRACTION = 1 - 2.0**-8
"""Room for rounding 32 axes to halves, which moves their operator norm by at most sqrt(32) 2^-11 = 0.0028."""


def sample_vectors(connection: Connection, collection: Collection, rows: int) -> Halves:
    """Read about SAMPLE_ROWS of its embedded rows, whole pages of them, all where there are few; shape (n, dimensions)."""
    statement = render(
        "collection/sample_vectors.sql",
        embedding_table=sql.Identifier(collection.embedding_table),
        vector=sql.Identifier(vector_schema(connection)),
    )
    percent = min(100.0, 100.0 * SAMPLE_ROWS / max(rows, 1))
    found = connection.execute(statement, {"percent": percent, "most": 2 * SAMPLE_ROWS}).fetchall()
    halves = [np.frombuffer(row[0], dtype=">f2", offset=4) for row in found]
    return np.array(halves, dtype=np.float16).reshape(-1, collection.dimensions)


def principal_axes(vectors: Halves) -> Doubles:
    """Return about the first principal axes of rows, orthonormal, shape (d, p), by subspace iteration."""
    dimensions = vectors.shape[1]
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1), 1e-9)[:, None]
    unit -= unit.mean(axis=0)
    axes, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dimensions, axis_count(dimensions))))
    for _ in range(ROUNDS):
        # Where rows differ along fewer directions, the rest of the axes stays as it was drawn.
        spread = unit.T @ (unit @ axes)
        axes, _ = np.linalg.qr(spread + 1e-9 * max(float(np.abs(spread).max()), 1e-9) * axes)
    return np.asarray(axes, dtype=np.float64)


def contracted(axes: Doubles) -> Halves:
    """Return axes as halves, shape (p, d), whose operator norm is at most 1.

    Raises:
        ValueError: It is more: the axes are not orthonormal.
    """
    halves: Halves = (axes.T * CONTRACTION).astype(np.float16)
    norm = float(np.linalg.norm(halves.astype(np.float64), 2))
    if not norm <= 1:
        raise ValueError(f"the axes lengthen a vector by {norm}; expected at most 1")
    return halves
