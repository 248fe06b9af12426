"""What a long comparison has done so far, in a file, so that one that was killed goes on where it was.

The file has digests of rows (of key and vector), which of them are finished, and the pairs found; no key and no vector. A row
is finished once every pair with it has been looked at among the rows known when it was. Records are appended; each carries the
sum by which one that was cut off is told from a whole one.
"""

import hashlib
import json
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.pair_search.comparison import Found, joined, no_pairs

Digests = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

FORMAT = "imgvec duplicates 1"
COUNTS = struct.Struct("<IIIII")
"""Of a record: rows that become known, rows that are finished, pairs, bytes of them all, and their CRC-32."""


@dataclass(frozen=True)
class Progress:
    """What a file says.

    Attributes:
        known: Digests of rows, shape (n, 2).
        finished: Numbers of those, ascending.
        pairs: First and second numbers, similarities.
        whole_bytes: Where the last whole record ends.
    """

    known: Digests
    finished: Indices
    pairs: Found
    whole_bytes: int


def digests(keys: list[bytes], vectors: npt.NDArray[np.float16], rows: Indices) -> Digests:
    """Return 128 bits for each row, by its key and its vector; shape (n, 2)."""
    found = bytearray()
    for row in rows.tolist():
        found += hashlib.blake2b(keys[row] + b"\0" + vectors[row].tobytes(), digest_size=16).digest()
    return np.frombuffer(bytes(found), dtype=np.uint64).reshape(-1, 2)


def places_of(wanted: Digests, among: Digests) -> Indices:
    """Return where each digest stands among others; -1 where it does not."""
    if not len(among):
        return np.full(len(wanted), -1, dtype=np.intp)
    order = np.argsort(among[:, 0], kind="stable")
    place = np.minimum(np.searchsorted(among[order, 0], wanted[:, 0]), len(among) - 1)
    found = order[place]
    # Of two that share the first half, the second is taken for unknown: it is compared again.
    return np.where(np.all(among[found] == wanted, axis=1), found, -1)


class Checkpoint:
    """A file that is appended to. Only one process at a time may; whoever makes one sees to that."""

    def __init__(self, path: Path, threshold: float) -> None:
        """Take a path, whose folder is made when the file is."""
        self.path = path
        self.header = json.dumps([FORMAT, threshold]).encode() + b"\n"
        self._file: BinaryIO | None = None

    def read(self) -> Progress | None:
        """Return what the file says, or None where none can be read, or it is of another threshold."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        if not data.startswith(self.header):
            return None
        known, finished, pairs = [], [], []
        at = len(self.header)
        while at + COUNTS.size <= len(data):
            added, done, found, size, check = COUNTS.unpack_from(data, at)
            body = data[at + COUNTS.size : at + COUNTS.size + size]
            if len(body) < size or zlib.crc32(body) != check or size != _size(added, done, found):
                break
            at += COUNTS.size + size
            numbers = np.frombuffer(body, np.uint32, done + 2 * found, 16 * added).astype(np.intp)
            known.append(np.frombuffer(body, np.uint64, 2 * added).reshape(-1, 2))
            finished.append(numbers[:done])
            values = np.frombuffer(body, np.float64, found, 16 * added + 4 * (done + 2 * found))
            pairs.append((numbers[done : done + found], numbers[done + found :], values))
        if not known:
            return None
        return Progress(np.concatenate(known), np.sort(np.concatenate(finished)), joined(pairs), at)

    def begin(self, whole_bytes: int | None = None) -> None:
        """Open the file to append: behind what is whole, or a new one.

        Raises:
            OSError: It cannot be written.
        """
        if whole_bytes is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            self._file.write(self.header)
        else:
            self._file = self.path.open("r+b")
            self._file.truncate(whole_bytes)
            self._file.seek(whole_bytes)

    def append(self, known: Digests, finished: Indices, pairs: Found | None = None) -> None:
        """Append a record, and hand it to the system: it is there though this process be killed.

        Args:
            known: Digests of rows that get the next numbers.
            finished: Numbers of rows.
            pairs: Of numbers.

        Raises:
            OSError: It cannot be written.
        """
        if self._file is None:
            raise ValueError("begin() first")
        first, second, values = pairs or no_pairs()
        body = known.tobytes() + b"".join(
            numbers.astype(np.uint32).tobytes() for numbers in (finished, first, second)
        )
        body += values.tobytes()
        self._file.write(
            COUNTS.pack(len(known), len(finished), len(first), len(body), zlib.crc32(body)) + body
        )
        self._file.flush()

    def begin_anew(self, known: Digests, finished: Indices, pairs: Found) -> None:
        """Put one record in place of all there is, whole at any moment, and append behind it; arguments as of `append`.

        Raises:
            OSError: It cannot be written; what was there stays.
        """
        fresh = Checkpoint(self.path.with_suffix(".new"), 0.0)
        fresh.header = self.header
        try:
            fresh.begin()
            fresh.append(known, finished, pairs)
            fresh.path.replace(self.path)
        except OSError:
            fresh.remove()
            raise
        self._file, fresh._file = fresh._file, None

    def close(self) -> None:
        """Close the file, which stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file, if there is one: left behind, it would only tell again what is known."""
        self.close()
        with suppress(OSError):
            self.path.unlink()


def _size(known: int, finished: int, pairs: int) -> int:
    return 16 * known + 4 * finished + 16 * pairs
