"""Rows that a binary COPY sends, taken apart by numpy: thousands at once."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from imgvec_pg.transfer.binary_rows import COPY_END, COPY_HEADER

Message = bytes | bytearray | memoryview


def rows_of(messages: Iterable[Message]) -> Iterator[Message]:
    """Give the messages of a COPY that are rows: PostgreSQL sends each by itself, the header with the first or before it."""
    is_first = True
    for message in messages:
        if is_first:
            message, is_first = memoryview(message)[len(COPY_HEADER) :], False
        if len(message) and message != COPY_END:
            yield message


class CopiedRows:
    """n rows of m fields.

    Args:
        messages: As `rows_of` gives them.
        fields: m.
    """

    def __init__(self, messages: list[Message], fields: int) -> None:
        self._data = b"".join(messages)
        self._bytes = np.frombuffer(self._data, dtype=np.uint8)
        ends = np.cumsum(np.fromiter(map(len, messages), dtype=np.int64, count=len(messages)))
        # PostgreSQL's documentation, COPY, binary format: a row begins with the number of its fields, in two bytes, and each
        # field with its length, in four; -1 is NULL.
        place = np.concatenate([[0], ends[:-1]]) + 2
        self._fields: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        for _ in range(fields):
            length = self._number_at(place)
            self._fields.append((place + 4, length))
            place = place + 4 + np.maximum(length, 0)
        if not (place == ends).all():
            raise AssertionError(f"rows of COPY have other than {fields} fields")

    def _number_at(self, place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the four bytes at each place as a signed number, most significant byte first."""
        parts = self._bytes[place[:, None] + np.arange(4)]
        return np.ascontiguousarray(parts).view(">i4").reshape(-1).astype(np.int64)

    def values(self, field: int) -> list[bytes | None]:
        """Return a field, None for NULL."""
        starts, lengths = self._fields[field]
        return [
            self._data[start : start + length] if length >= 0 else None
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]

    def halves(self, field: int) -> npt.NDArray[np.float16]:
        """Return a field of the type halfvec, without NULL, as shape (n, dimensions), of this machine's byte order."""
        starts, lengths = self._fields[field]
        width = int(lengths[0])
        steps = np.diff(starts)
        if len(starts) > 1 and (steps == steps[0]).all() and (lengths == width).all():
            rows = np.lib.stride_tricks.as_strided(
                self._bytes[starts[0] :], (len(starts), width), (int(steps[0]), 1), writeable=False
            )
            packed = rows[:, HALFVEC_HEADER_BYTES:].tobytes()
        else:
            packed = b"".join(
                [self._data[start + HALFVEC_HEADER_BYTES : start + width] for start in starts.tolist()]
            )
        return np.frombuffer(packed, dtype=">f2").reshape(len(starts), -1).astype(np.float16)


HALFVEC_HEADER_BYTES = 4
"""pgvector 0.8 src/halfvec.c, halfvec_send: dimensions and a number that is not used, then the halves."""
