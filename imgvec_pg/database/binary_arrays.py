"""Arrays of PostgreSQL in their binary form, made by numpy: a thousand vectors as one value, without a Python object for each.

psycopg and pgvector make an object a vector and pack each by itself, which costs as much as the server's own part of a write.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from imgvec_pg.errors import DatabaseError

BYTEA_OID, BIGINT_OID = 17, 20


@dataclass(frozen=True)
class BinaryArray:
    """An array of one dimension as array_recv() reads it. Its parameter is %(name)b, with a cast to the array's type."""

    data: bytes


class BinaryArrayDumper(Dumper):
    """Sends it as it is; the type is that of the cast."""

    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        """Return the bytes."""
        return obj.data


def register_binary_arrays(connection: psycopg.Connection) -> None:
    """Let a connection send them."""
    connection.adapters.register_dumper(BinaryArray, BinaryArrayDumper)


def halfvec_array(
    connection: psycopg.Connection, embeddings: Sequence[npt.NDArray[np.floating]]
) -> BinaryArray:
    """Return n vectors of shape (dimensions,) as halfvec[], rounded to the nearest half.

    Args:
        connection: With pgvector's types registered.

    Raises:
        DatabaseError: They are not registered.
    """
    info = connection.adapters.types.get("halfvec")
    if info is None:
        raise DatabaseError("the extension vector has no type halfvec here; expected pgvector 0.7 or later")
    rows = np.stack(embeddings)
    dimensions = rows.shape[1]
    # pgvector 0.8 src/halfvec.c, halfvec_send: dimensions, a number that is not used, then the halves.
    elements = np.empty(
        len(rows),
        dtype=[("length", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("vector", ">f2", (dimensions,))],
    )
    elements["length"] = 4 + 2 * dimensions
    elements["dimensions"] = dimensions
    elements["unused"] = 0
    # First to halves, which numpy does many at a time, then to the order of bytes.
    elements["vector"] = rows.astype(np.float16)
    return _array(info.oid, len(rows), elements.tobytes())


def bigint_array(numbers: Sequence[int]) -> BinaryArray:
    """Return numbers as bigint[]."""
    elements = np.empty(len(numbers), dtype=[("length", ">i4"), ("number", ">i8")])
    elements["length"] = 8
    elements["number"] = numbers
    return _array(BIGINT_OID, len(numbers), elements.tobytes())


def bytea_array(values: Sequence[bytes | None]) -> BinaryArray:
    """Return bytes as bytea[], None as NULL."""
    return binary_array(BYTEA_OID, values)


def binary_array(element_oid: int, values: Sequence[bytes | None]) -> BinaryArray:
    """Return values of a type, as its send function gives them, as an array; None as NULL."""
    lengths = {None if value is None else len(value) for value in values}
    if len(lengths) == 1 and (length := lengths.pop()):
        elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", f"V{length}")])
        elements["length"] = length
        elements["value"] = np.frombuffer(b"".join(values), dtype=f"V{length}")  # type: ignore[arg-type]
        return _array(element_oid, len(values), elements.tobytes())
    pieces = [
        b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value for value in values
    ]
    return _array(element_oid, len(values), b"".join(pieces))


def _array(element_oid: int, count: int, elements: bytes) -> BinaryArray:
    # PostgreSQL 13 to 18, src/backend/utils/adt/arrayfuncs.c, array_send: dimensions, whether there may be nulls (array_recv
    # looks at lengths of -1 alone, and demands 0 or 1), type; length and lower bound of each dimension; then length and bytes
    # of each element.
    return BinaryArray(struct.pack(">iiIii", 1, 1, element_oid, count, 1) + elements)
