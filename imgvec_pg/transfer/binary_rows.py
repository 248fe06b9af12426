"""Rows of the embedding table in the binary format of COPY, made by numpy: thousands at once."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# PostgreSQL's documentation, COPY, binary format: signature, flags, length of the header's extension; -1 fields end it.
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_END = struct.pack(">h", -1)
PRECISION = b"imported"
"""What stands in the embedding table's column `precision`."""


def encode_rows(
    keys: Sequence[Sequence[bytes]],
    halves: npt.NDArray[np.float16],
    content_hashes: Sequence[bytes],
    references: Sequence[bytes],
) -> list[memoryview | bytes]:
    """Return n rows, as pieces to send in turn: key, embedding, version 0, content_hash, reference_hash and precision.

    Args:
        keys: For each key column n values, as its type's send function gives them.
        halves: Shape (n, dimensions), big-endian.
    """
    fields = [*keys, content_hashes, references]
    lengths = np.stack(
        [np.fromiter(map(len, column), dtype=np.int64, count=len(halves)) for column in fields], axis=1
    )
    # Rows whose fields are of the same lengths are one array; texts as keys are of a few lengths only.
    kinds, groups = np.unique(lengths, axis=0, return_inverse=True)
    pieces: list[memoryview | bytes] = [COPY_HEADER]
    if len(kinds) == 1:
        return [
            COPY_HEADER,
            _encode_group(kinds[0].tolist(), [b"".join(column) for column in fields], halves),
            COPY_END,
        ]
    for number, widths in enumerate(kinds.tolist()):
        places = np.flatnonzero(groups.reshape(-1) == number)
        chosen = [b"".join([column[place] for place in places.tolist()]) for column in fields]
        pieces.append(_encode_group(widths, chosen, halves[places]))
    return [*pieces, COPY_END]


def _encode_group(
    widths: Sequence[int], fields: Sequence[bytes], halves: npt.NDArray[np.float16]
) -> memoryview:
    dimensions = halves.shape[1]
    key_count = len(widths) - 2
    layout: list[tuple[Any, ...]] = [("columns", ">i2")]
    for number, width in enumerate(widths[:key_count]):
        layout += [(f"length_{number}", ">i4"), (f"field_{number}", f"V{width}")]
    # pgvector 0.8 src/halfvec.c, halfvec_send: dimensions, a number that is not used, then the halves.
    layout += [
        ("vector_length", ">i4"),
        ("dimensions", ">i2"),
        ("unused", ">i2"),
        ("vector", ">f2", (dimensions,)),
    ]
    layout += [("version_length", ">i4"), ("version", ">i8")]
    for number, width in enumerate(widths[key_count:], key_count):
        layout += [(f"length_{number}", ">i4"), (f"field_{number}", f"V{width}")]
    layout += [("precision_length", ">i4"), ("precision", f"S{len(PRECISION)}")]
    # A field of no bytes has no place in numpy's layout.
    rows = np.empty(len(halves), dtype=[field for field in layout if field[1] != "V0"])
    rows["columns"] = key_count + 5
    for number, (width, data) in enumerate(zip(widths, fields, strict=True)):
        rows[f"length_{number}"] = width
        if width:
            rows[f"field_{number}"] = np.frombuffer(data, dtype=f"V{width}")
    rows["vector_length"] = 4 + 2 * dimensions
    rows["dimensions"] = dimensions
    rows["unused"] = 0
    rows["vector"] = halves
    rows["version_length"] = 8
    rows["version"] = 0
    rows["precision_length"] = len(PRECISION)
    rows["precision"] = PRECISION
    return rows.data.cast("B")
