"""Rows of the embedding table in the binary format of COPY, made by numpy: thousands at once."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# PostgreSQL's documentation, COPY, binary format: signature, flags, length of the header's extension; -1 fields end it.
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_END = struct.pack(">h", -1)


def encode_rows(
    keys: Sequence[Sequence[bytes]],
    halves: npt.NDArray[np.float16],
    content_hashes: Sequence[bytes],
    references: Sequence[bytes],
    versions: int | Sequence[int],
    precision: str,
) -> list[memoryview]:
    """Return n rows, as pieces to send in turn: key, embedding, version, content_hash, reference_hash and precision.

    COPY_HEADER goes before them, COPY_END behind them. Rows whose fields differ in length come in another order.

    Args:
        keys: For each key column n values, as its type's send function gives them.
        halves: Shape (n, dimensions), of any order of bytes.
        versions: One for all, or n.
        precision: In ASCII.
    """
    numbers = np.broadcast_to(np.asarray(versions, dtype=np.int64), len(halves))
    fields = [*keys, content_hashes, references]
    lengths = np.stack(
        [np.fromiter(map(len, column), dtype=np.int64, count=len(halves)) for column in fields], axis=1
    )
    if (lengths == lengths[:1]).all():
        joined = [b"".join(column) for column in fields]
        return [_encode_group(lengths[0].tolist(), joined, halves, numbers, precision)]
    # Rows whose fields are of the same lengths are one array; texts as keys are of a few lengths only.
    kinds, groups = np.unique(lengths, axis=0, return_inverse=True)
    pieces: list[memoryview] = []
    for number, widths in enumerate(kinds.tolist()):
        places = np.flatnonzero(groups.reshape(-1) == number)
        chosen = [b"".join([column[place] for place in places.tolist()]) for column in fields]
        pieces.append(_encode_group(widths, chosen, halves[places], numbers[places], precision))
    return pieces


def _encode_group(
    widths: Sequence[int],
    fields: Sequence[bytes],
    halves: npt.NDArray[np.float16],
    versions: npt.NDArray[np.int64],
    precision: str,
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
    layout += [("precision_length", ">i4"), ("precision", f"S{len(precision)}")]
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
    rows["version"] = versions
    rows["precision_length"] = len(precision)
    rows["precision"] = precision.encode("ascii")
    return rows.data.cast("B")
