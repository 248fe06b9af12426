"""Columns of Arrow data as texts of keys and as arrays of vectors."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.extras import require_module

if TYPE_CHECKING:
    import pyarrow as pa

UUID_BYTES = 16


def key_texts(column: "pa.Array", name: str) -> list[str | None]:
    """Return keys as PostgreSQL reads them; whole numbers that a library made floats of are whole again.

    Raises:
        UsageError: The column's type is none of a key.
    """
    pa = require_module("pyarrow", "reading keys")
    kind = column.type
    if pa.types.is_dictionary(kind):
        return key_texts(column.dictionary_decode(), name)
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == UUID_BYTES:
        return [None if value is None else value.hex() for value in column.to_pylist()]
    if pa.types.is_floating(kind):
        return [
            None if value is None or value != value else _whole(value, name) for value in column.to_pylist()
        ]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise UsageError(f'the column "{name}" is of the type {kind}; expected keys: numbers, texts or uuids')
    column = column.cast(pa.string())
    try:
        texts: list[str | None] = column.to_pylist()
    except UnicodeDecodeError:
        # Arrow's texts are not checked as they are written. Such a key is of no row, and does not stop the others.
        packed = column.cast(pa.binary()).to_pylist()
        texts = [None if value is None else value.decode("utf-8", "surrogateescape") for value in packed]
    return texts


def _whole(value: float, name: str) -> str:
    if value != int(value) or abs(value) > 2**53:
        raise UsageError(
            f'the column "{name}" holds the float {value!r}; expected whole numbers or texts as keys: write it as integers'
        )
    return str(int(value))


def hash_bytes(column: "pa.Array") -> list[bytes | None]:
    """Return hashes as bytes."""
    values: list[bytes | None] = column.to_pylist()
    return values


def vector_width(kind: "pa.DataType") -> int | None:
    """Return the length of vectors of a type: 0 where each row may have its own, None where it holds no vectors at all."""
    pa = require_module("pyarrow", "reading vectors")
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return None
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 0


def require_floats(kind: "pa.DataType", name: str) -> None:
    """Refuse what holds no vectors of floats.

    Raises:
        UsageError: It does, or holds whole numbers, which are quantised by a scale that the file does not tell.
    """
    pa = require_module("pyarrow", "reading vectors")
    if vector_width(kind) is None:
        raise UsageError(
            f'the column "{name}" is of the type {kind}; expected vectors: lists of float16, float32 or float64'
        )
    if pa.types.is_integer(kind.value_type):
        raise UsageError(
            f'the vectors in "{name}" are of {kind.value_type}: quantised, by a scale that is not in the file; expected float16, '
            "float32 or float64: export them again unquantised"
        )


def vector_array(column: "pa.Array", dimensions: int) -> npt.NDArray[Any]:
    """Return vectors as an array of shape (n, dimensions); rows that have none of this length are NaN."""
    pa = require_module("pyarrow", "reading vectors")
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    values = column.flatten()  # heeds the slice; a row that is null has no values here
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    is_plain = column.null_count == 0 and len(numbers) == len(column) * dimensions
    if is_plain and (pa.types.is_fixed_size_list(kind) or _all_of(column, dimensions)):
        return numbers.reshape(len(column), dimensions)
    placed = np.full((len(column), dimensions), np.nan, dtype=numbers.dtype)
    start = 0
    for place, length in enumerate(_lengths(column)):
        if length == dimensions:
            placed[place] = numbers[start : start + dimensions]
        start += length
    return placed


def _lengths(column: "pa.Array") -> Sequence[int]:
    compute = require_module("pyarrow.compute", "reading vectors")
    return [length or 0 for length in compute.list_value_length(column).to_pylist()]


def _all_of(column: "pa.Array", dimensions: int) -> bool:
    compute = require_module("pyarrow.compute", "reading vectors")
    return bool(compute.all(compute.equal(compute.list_value_length(column), dimensions)).as_py())


def usual_length(column: "pa.Array") -> int | None:
    """Return the length that most vectors of a column have; None where no row has one."""
    found = Counter(length for length in _lengths(column) if length)
    return found.most_common(1)[0][0] if found else None
