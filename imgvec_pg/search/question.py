"""What is searched for: a vector, or a row that is embedded already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.store.jobs import Key

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RowKey:
    """A row that is embedded: its key as JSON, and each key column's value as PostgreSQL prints it."""

    key: Key
    texts: Sequence[str]


@dataclass(frozen=True)
class Question:
    """A question ready to be asked.

    Attributes:
        kind: "words", "image" or "row".
        shown: The words, the file's name or the key, for people.
        target: A vector of shape (dimensions,), L2 norm 1; or a row, which is then not in its own answer.
        picture: The encoded bytes of the picture that is asked with, where there is one.
    """

    kind: str
    shown: str
    target: Float32Array | RowKey
    picture: bytes | None = None


def unit_vector(vector: npt.NDArray[np.floating[Any]]) -> Float32Array:
    """Return a vector at L2 norm 1; it is finite and not zero, of any length.

    A halfvec ends at 65,504 and rounds to zero what is below 3e-8: so short a query would find arbitrary rows.
    """
    # By the largest first: the squares of very small or large numbers have no float.
    scaled = vector.astype(np.float64) / np.abs(vector).max()
    unit: Float32Array = (scaled / np.linalg.norm(scaled)).astype(np.float32)
    return unit


def vector_text(embedding: Float32Array) -> str:
    """Return a vector as pgvector reads it: "[0.6,0.8]"."""
    # Nine digits tell every float32 (IEEE 754), in a third of the time that str() takes for as many as a float64 has.
    return "[" + ("%.9g," * len(embedding))[:-1] % tuple(embedding.tolist()) + "]"


def show_key(key: Key) -> str:
    """Return a key for people: "7", or "tenant=3, id=7"."""
    if len(key) == 1:
        return str(next(iter(key.values())))
    return ", ".join(f"{name}={value}" for name, value in key.items())
