"""Keys in the binary form of their types, of those types whose order Python has too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from imgvec_pg.database.binary_arrays import BinaryArray, binary_array


@dataclass(frozen=True)
class KeyFormat:
    """A type of a key column.

    Attributes:
        oid: The type's, in PostgreSQL's catalogue.
        encode: Turns a value of a key, as JSON has it, into what the type's send function gives. Raises one of NO_VALUE where it
            is none.
    """

    oid: int
    encode: Callable[[Any], bytes]

    def array(self, values: Sequence[bytes]) -> BinaryArray:
        """Return encoded values as an array of the type."""
        return binary_array(self.oid, values)


def encode_uuid(value: str) -> bytes:
    """Return a uuid's 16 bytes.

    Raises:
        ValueError: It is none.
    """
    encoded = bytes.fromhex(value.replace("-", ""))
    if len(encoded) != 16:
        raise ValueError("a uuid has 16 bytes")
    return encoded


KEY_FORMATS = {
    # PostgreSQL 13 to 18, src/include/catalog/pg_type.dat.
    "smallint": KeyFormat(21, lambda value: value.to_bytes(2, "big", signed=True)),
    "integer": KeyFormat(23, lambda value: value.to_bytes(4, "big", signed=True)),
    "bigint": KeyFormat(20, lambda value: value.to_bytes(8, "big", signed=True)),
    "uuid": KeyFormat(2950, encode_uuid),
}
"""By the type's name, as format_type() gives it. A text's order is that of its collation, and a numeric has several forms."""
NO_VALUE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
