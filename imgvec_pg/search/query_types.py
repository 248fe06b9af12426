"""What is searched for: a vector, or a row that is embedded already."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.store.queue.jobs import Key


def dump_keys(keys: object) -> str:
    """Return keys as JSON: a Decimal as text, which PostgreSQL reads without rounding it, and letters as they are.

    Not every encoding of a database takes an escape (see database.encodings). What is no text at all, as an argument with
    bytes that are no UTF-8, stays an escape, which PostgreSQL refuses.
    """
    text = json.dumps(keys, default=str, ensure_ascii=False)
    return text if is_utf8(text) else json.dumps(keys, default=str)


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RowKey:
    """A row that is embedded: its key as JSON, and each key column's value as PostgreSQL prints it."""

    key: Key
    texts: Sequence[str]


@dataclass(frozen=True)
class SearchQuery:
    """A query ready to run.

    Attributes:
        kind: "words", "image" or "row".
        shown: The words, the file's name or the key, for people.
        target: A vector of shape (dimensions,), L2 norm 1; or a row, which is then not in its own answer.
        picture: The encoded bytes of the picture that is searched with, where there is one.
        truncated: A sentence where the model read only the beginning of the words.
    """

    kind: str
    shown: str
    target: Float32Array | RowKey
    picture: bytes | None = None
    truncated: str | None = None


@dataclass(frozen=True)
class EmbeddedWords:
    """The vector of words, shape (dimensions,), L2 norm 1; `truncated` as SearchQuery has it."""

    vector: Float32Array
    truncated: str | None = None


def as_unit_vector(value: object, dimensions: int | None = None, *, others: str = "") -> Float32Array:
    """Return numbers as a vector at L2 norm 1, shape (dimensions,).

    Args:
        value: An array, a sequence, or a vector as pgvector has it.
        dimensions: Those of the collection's model; None where it is not known yet.
        others: What else the caller takes, for the error: "words, a row or ".

    Raises:
        UsageError: It is not made of numbers, has another shape, is zero or not finite.
    """
    shape = f"({'dimensions' if dimensions is None else dimensions},)"
    try:
        numbers: Any = value.to_list() if hasattr(value, "to_list") else value
        array = np.asarray(numbers, dtype=np.float32)
    except (TypeError, ValueError):
        array = np.empty((), dtype=np.float32)
    if array.ndim == 0:
        raise UsageError(
            f"cannot search for {type(value).__name__}; expected {others}numbers of shape {shape}"
        )
    if array.ndim != 1 or not array.size or dimensions not in (None, array.size):
        raise UsageError(
            f"the vector has shape {array.shape}; expected {shape}, as the collection's model gives"
        )
    # As float64, which has the squares of all float32. A halfvec ends at 65,504 and rounds to zero what is below 3e-8.
    wide = array.astype(np.float64)
    norm = math.sqrt(np.vdot(wide, wide))
    if norm == 0:
        raise UsageError(
            "the vector is zero, which is equally far from all; expected one that has a direction"
        )
    if not math.isfinite(norm):
        raise UsageError("the vector is not finite; expected numbers without NaN and infinity")
    unit: Float32Array = (wide / norm).astype(np.float32)
    return unit


def vector_text(embedding: Float32Array) -> str:
    """Return a vector as pgvector reads it, with what a halfvec keeps of it: "[0.6001     ,0.7998     ]".

    A table of all halves: 512 numbers take a tenth of the time of printing them, and PostgreSQL skips the blanks.
    """
    bits = embedding.astype(np.float16).view(np.uint16)
    return "[" + _half_texts()[bits].tobytes().decode("ascii")[:-1] + "]"


def read_vector(text: str) -> Float32Array:
    """Return a vector that PostgreSQL printed, shape (dimensions,)."""
    return np.array(json.loads(text), dtype=np.float32)


@cache
def _half_texts() -> npt.NDArray[np.bytes_]:
    """Return the text of every half-precision number, with a comma, at one width: shape (65536,), by the number's bits."""
    # Five digits tell every half (IEEE 754: ceil(1 + 11 log10 2)).
    positive = [f"{half:.5g}" for half in np.arange(1 << 15, dtype=np.uint16).view(np.float16).tolist()]
    negative = [f"-{text}" for text in positive]
    return np.array([f"{text:11}," for text in (*positive, *negative)], dtype=np.bytes_)


def show_key(key: Key) -> str:
    """Return a key for people: "7", or "tenant=3, id=7"."""
    if len(key) == 1:
        return str(next(iter(key.values())))
    return ", ".join(f"{name}={value}" for name, value in key.items())
