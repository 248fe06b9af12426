"""Keys that a file has several times: found before anything is written, in bounded memory."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.vector_batch import Texts

KEYS_AT_ONCE = 4_000_000
"""Hashes of 8 bytes that are compared together; of more keys the file's are read again for each part of the hashes."""
MOST_REPEATED = 100_000
"""Their vectors are kept in memory until the end of the file."""

Int64Array = npt.NDArray[np.int64]


def hash_keys(columns: Sequence[Texts]) -> Int64Array:
    """Return 64 bits of each key, of use within this process alone; 0 for a key that has no value."""
    keys = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    hashes = np.fromiter(map(hash, keys), dtype=np.int64, count=len(keys))
    if any(None in column for column in columns):
        blank = [None in key for key in zip(*columns, strict=True)]
        hashes[blank] = 0
    return hashes


def find_repeated(read_keys: Callable[[], Iterable[tuple[Texts, ...]]], rows: int) -> Int64Array:
    """Return the hashes of keys that occur more than once, in ascending order.

    Raises:
        UsageError: There are too many of them to be a mishap.
    """
    parts = -(-max(rows, 1) // KEYS_AT_ONCE)
    repeated: list[Int64Array] = []
    for part in range(parts):
        found = np.concatenate(
            [
                np.zeros(0, dtype=np.int64),
                *(_of_part(hash_keys(columns), parts, part) for columns in read_keys()),
            ]
        )
        found.sort()
        repeated.append(np.unique(found[1:][found[1:] == found[:-1]]))
        if sum(map(len, repeated)) > MOST_REPEATED:
            raise UsageError(
                f"more than {MOST_REPEATED:,} keys occur several times; expected a vector a row: does --key-column name "
                "the column that tells the rows apart?"
            )
    return np.unique(np.concatenate(repeated))


def _of_part(hashes: Int64Array, parts: int, part: int) -> Int64Array:
    chosen = hashes != 0
    if parts > 1:
        chosen &= hashes % parts == part
    found: Int64Array = hashes[chosen]
    return found
