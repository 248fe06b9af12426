"""Parquet files and Arrow IPC files: one file, or a folder of parts with the same columns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.readers.arrow_values import (
    hash_bytes,
    key_texts,
    require_floats,
    usual_length,
    vector_array,
    vector_width,
)
from imgvec_pg.transfer.readers.columns import ColumnNames, require_columns
from imgvec_pg.transfer.vector_batch import Texts, VectorBatch, batch_rows

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET, ARROW = ".parquet", (".arrow", ".feather", ".ipc")
BUFFER_BYTES = 1 << 20
"""Read from a file at once: without it pyarrow holds a row group's whole column."""
HASHES = ("content_hash", "reference_hash")


class ParquetReader:
    """Reads files of one schema, in the order given."""

    def __init__(
        self, paths: Sequence[Path], columns: ColumnNames, description: ExportDescription | None = None
    ) -> None:
        self.paths = list(paths)
        self.columns = columns
        self.description = description
        first, rows = self._open_all()
        self.rows = rows
        self.name = (
            f"{self.paths[0]}"
            if len(self.paths) == 1
            else f"{len(self.paths)} files in {self.paths[0].parent}"
        )
        require_columns(first.names, columns.keys, str(self.paths[0]))
        self.vector = columns.vector or _find_vectors(first, self.paths[0])
        require_columns(first.names, [self.vector], str(self.paths[0]))
        kind = first.field(self.vector).type
        require_floats(kind, self.vector)
        self.dimensions = vector_width(kind) or self._usual_length()
        # Hashes are of the table that was exported: of another file's a column of this name means something else.
        self._hashes = [name for name in HASHES if description is not None and name in first.names]

    def _open_all(self) -> "tuple[pa.Schema, int]":
        """Open every part once, so that half a file is met before anything is written."""
        first: Any = None
        rows = 0
        for path in self.paths:
            with _opened(path) as (schema, count, _):
                rows += count
                if first is None:
                    first = schema
                wanted = [*self.columns.keys, *([self.columns.vector] if self.columns.vector else [])]
                for name in wanted:
                    if name in first.names and (
                        name not in schema.names or schema.field(name).type != first.field(name).type
                    ):
                        there = f"is of {schema.field(name).type}" if name in schema.names else "is missing"
                        raise UsageError(
                            f'the column "{name}" {there} in {path}, in {self.paths[0]} it is of {first.field(name).type}; '
                            "expected parts of one kind"
                        )
        return first, rows

    def _usual_length(self) -> int:
        for batch in self._read([self.vector], 1024):
            length = usual_length(batch.column(0))
            if length:
                return length
        raise UsageError(f'the column "{self.vector}" of {self.name} holds no vector')

    def _read(self, columns: list[str], rows: int) -> Iterator[Any]:
        for path in self.paths:
            with _opened(path) as (_, _, read):
                yield from read(columns, rows)

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone."""
        names = list(self.columns.keys)
        for batch in self._read(names, 65_536):
            yield tuple(key_texts(batch.column(name), name) for name in names)

    def batches(self) -> Iterator[VectorBatch]:
        """Give all rows."""
        names = list(self.columns.keys)
        for batch in self._read([*names, self.vector, *self._hashes], batch_rows(self.dimensions)):
            hashes = {name: hash_bytes(batch.column(name)) for name in self._hashes}
            yield VectorBatch(
                tuple(key_texts(batch.column(name), name) for name in names),
                vector_array(batch.column(self.vector), self.dimensions),
                hashes.get("content_hash"),
                hashes.get("reference_hash"),
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Give a file's schema, its rows, and a function of columns and rows at once that gives record batches.

    Raises:
        UsageError: It is not whole, or something else.
    """
    pa = require_module("pyarrow", f"reading {path}")
    try:
        if path.suffix.lower() in ARROW:
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                parts = [reader.get_batch(number).num_rows for number in range(reader.num_record_batches)]

                def read_ipc(columns: list[str], rows: int) -> Iterator[Any]:
                    for number in range(reader.num_record_batches):
                        batch = reader.get_batch(number).select(columns)
                        for start in range(0, batch.num_rows, rows):
                            yield batch.slice(start, rows)

                yield reader.schema, sum(parts), read_ipc
            return
        parquet = require_module("pyarrow.parquet", f"reading {path}")
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:

            def read_parquet(columns: list[str], rows: int) -> Iterator[Any]:
                yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)

            yield file.schema_arrow, file.metadata.num_rows, read_parquet
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}): not whole, or no "
            f"{'Arrow' if path.suffix.lower() in ARROW else 'parquet'} file; nothing of it was imported. Fetch it again"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _find_vectors(schema: "pa.Schema", path: Path) -> str:
    found: list[str] = [field.name for field in schema if vector_width(field.type) is not None]
    for name in ("embedding", "vector"):
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    which = f"several columns of vectors ({', '.join(found)})" if found else "no column of vectors"
    raise UsageError(
        f"{path} has {which}; say which one: --vector-column NAME (columns: {', '.join(schema.names)})"
    )
