"""Parts of an export: each a file, or two, written under a hidden name and renamed once it is whole and on the disk."""

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.natural_order import in_order, last_number
from imgvec_pg.transfer.row_chunks import CONTENT_HASH, REFERENCE_HASH, RowChunk, as_batch, export_schema

if TYPE_CHECKING:
    import pyarrow as pa

PARTIAL = ".partial"
CHUNK_ROWS, CHUNK_BYTES = 4096, 8 << 20
"""At most, of vectors: a row group of a parquet file. Some eight are in memory at once."""
NPY_HEADER_BYTES = 128
"""A multiple of 64, and room for any shape: what numpy writes is as long for such arrays."""


class PartWriter:
    """Writes parts of one layout; also tells where an export that was cut off ended.

    Several may be written at once, each by a thread. `keep` gives them their names, in the order of their numbers: what a run
    that was cut off leaves is a beginning in which no row is missing.

    Args:
        types: Arrow types of the columns that stand beside the vectors, in their order.
    """

    def __init__(
        self, directory: Path, description: ExportDescription, types: Mapping[str, "pa.DataType"]
    ) -> None:
        self.directory = directory
        self.description = description
        self._pa = require_module("pyarrow", "writing an export")
        self._parquet = require_module("pyarrow.parquet", "writing an export")
        self._schema = export_schema(description, types)
        self.chunk_rows = min(CHUNK_ROWS, max(1, CHUNK_BYTES // description.vector_bytes))
        self.is_npy = description.layout == "npy"

    def tables(self) -> list[Path]:
        """Return the parquet files of parts that are whole."""
        found = in_order(self.directory.glob("*.parquet"))
        return [path for path in found if not self.is_npy or self._array(path).exists()]

    def next_number(self) -> int:
        """Return the number behind that of the last part; a part whose rows had all gone has left a gap."""
        tables = self.tables()
        last = last_number(tables[-1]) if tables else None
        return 0 if last is None else last + 1

    def count_rows(self) -> int:
        """Return the rows of all parts that are whole."""
        return sum(self._parquet.read_metadata(path).num_rows for path in self.tables())

    def last_key(self) -> list[str] | None:
        """Return the last key, as text, of the last part; None before the first."""
        tables = self.tables()
        if not tables:
            return None
        names = list(self.description.key)
        with self._parquet.ParquetFile(tables[-1]) as file:
            group = file.read_row_group(file.num_row_groups - 1, columns=names)
        return [str(group.column(name)[-1].as_py()) for name in names]

    def discard_partial(self) -> None:
        """Remove what a run that was cut off had begun, arrays without their table among it."""
        for path in self.directory.glob(f".*{PARTIAL}"):
            path.unlink()
        if self.is_npy:
            whole = {self._array(path) for path in self.tables()}
            for path in self.directory.glob("*.npy"):
                if path not in whole:
                    path.unlink()

    def _array(self, table: Path) -> Path:
        return table.with_name(table.name.replace("keys_", "embeddings_", 1)).with_suffix(".npy")

    def _places(self, number: int) -> dict[Path, Path]:
        """Return the files of a part, in the order in which they get their names, and what they are called until then."""
        table = self.directory / (f"keys_{number:05}.parquet" if self.is_npy else f"part_{number:05}.parquet")
        places = [self._array(table), table] if self.is_npy else [table]
        return {path: path.with_name(f".{path.name}{PARTIAL}") for path in places}

    def write(self, number: int, chunks: Iterable[RowChunk], wrote: Callable[[int], None]) -> int:
        """Write one part under hidden names and return its rows; nothing is written for none."""
        partial = self._places(number)
        *arrays, table = partial.values()
        rows = 0
        with ExitStack() as stack:
            array = stack.enter_context(arrays[0].open("wb", buffering=0)) if arrays else None
            if array is not None:
                array.seek(NPY_HEADER_BYTES)
            writer = stack.enter_context(self._parquet.ParquetWriter(table, self._schema, **self._how()))
            for chunk in chunks:
                writer.write_batch(as_batch(chunk, self.description, self._schema), row_group_size=len(chunk))
                if array is not None:
                    _write_all(array, chunk)
                rows += len(chunk)
                wrote(len(chunk))
            if array is not None:
                array.seek(0)
                array.write(npy_header(rows, self.description))
        if not rows:
            for path in partial.values():
                path.unlink()
        return rows

    def keep(self, number: int) -> None:
        """Give a part its names, once it is on the disk.

        Raises:
            OSError: It could not be written.
        """
        for path, written in self._places(number).items():
            with written.open("rb") as file:
                os.fsync(file.fileno())
            written.replace(path)

    def _how(self) -> dict[str, Any]:
        """Return how columns are written: vectors are noise to compressors and dictionaries, statistics of them say nothing."""
        others = [*self.description.key, CONTENT_HASH, REFERENCE_HASH, *self.description.columns]
        vectors = {} if self.is_npy else {f"{self.description.vector_column}.list.element": "NONE"}
        return {
            "compression": {**dict.fromkeys(others, "SNAPPY"), **vectors},
            "use_dictionary": list(self.description.columns) or False,
            "write_statistics": list(self.description.key),
        }


def npy_header(rows: int, description: ExportDescription) -> bytes:
    """Return the header of a .npy file, whose rows are counted only once they are written (numpy.lib.format, version 1.0)."""
    kind = np.lib.format.dtype_to_descr(np.dtype(description.vector_type))
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': ({rows}, {description.dimensions}), }}"
    magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", NPY_HEADER_BYTES - 10)
    return magic + text.encode().ljust(NPY_HEADER_BYTES - 11) + b"\n"


def _write_all(file: BinaryIO, chunk: RowChunk) -> None:
    left = chunk.vectors.reshape(-1).view(np.uint8).data
    while left:  # an unbuffered file may take a part
        left = left[file.write(left) :]
