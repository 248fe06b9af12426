"""Parts of an export: each a file, or two, written under a hidden name and renamed once it is whole."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.natural_order import in_order

if TYPE_CHECKING:
    import pyarrow as pa

PARTIAL = ".partial"
CONTENT_HASH, REFERENCE_HASH = "content_hash", "reference_hash"


@dataclass(frozen=True)
class RowChunk:
    """n rows of a collection.

    Attributes:
        keys: For each key column n texts.
        vectors: Shape (n, dimensions), float16 or float32.
        hashes: content_hash and reference_hash; empty bytes for an unknown one.
        columns: For each column of the source n texts, None for NULL.
    """

    keys: Sequence[Sequence[str]]
    vectors: npt.NDArray[Any]
    hashes: tuple[Sequence[bytes], Sequence[bytes]]
    columns: Sequence[Sequence[str | None]]

    def __len__(self) -> int:
        """Return n."""
        return len(self.vectors)


def arrow_type(type_name: str, *, is_key: bool) -> "pa.DataType":
    """Return what a column of PostgreSQL's becomes in an export: text where Arrow has no such; numeric is double but in keys."""
    pa = require_module("pyarrow", "writing an export")
    kinds: dict[str, Any] = {
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }
    if type_name == "numeric" and not is_key:
        return pa.float64()
    if is_key and not type_name.endswith("int") and type_name != "integer":
        return pa.string()
    return kinds.get(type_name, pa.string())


def arrow_values(texts: Sequence[str | None], kind: "pa.DataType") -> "pa.Array":
    """Return texts as PostgreSQL prints them as a column of a type."""
    pa = require_module("pyarrow", "writing an export")
    if pa.types.is_boolean(kind):
        return pa.array([None if text is None else text == "t" for text in texts], kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # "0044-03-15 BC" and years beyond 9999 are none of Python's, nor of most readers'.
        texts = [
            None if text is None or text.endswith("BC") or text.find("-") != 4 else text for text in texts
        ]
    return pa.array(texts, pa.string()).cast(kind)


class PartWriter:
    """Writes parts of one layout; also tells where an export that was cut off ended.

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
        self._types = types
        self.is_npy = description.layout == "npy"

    def tables(self) -> list[Path]:
        """Return the parquet files of parts that are whole."""
        found = in_order(self.directory.glob("*.parquet"))
        return [path for path in found if not self.is_npy or self._array(path).exists()]

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

    def write(self, number: int, chunks: Iterable[RowChunk], wrote: Callable[[int], None]) -> int:
        """Write one part and return its rows; nothing is written for none."""
        table = self.directory / (f"keys_{number:05}.parquet" if self.is_npy else f"part_{number:05}.parquet")
        partial = self.directory / f".{table.name}{PARTIAL}"
        arrays: list[npt.NDArray[Any]] = []
        rows = 0
        with self._parquet.ParquetWriter(partial, self._schema(), **self._how()) as writer:
            for chunk in chunks:
                writer.write_table(self._table(chunk), row_group_size=len(chunk))
                if self.is_npy:
                    arrays.append(chunk.vectors)
                rows += len(chunk)
                wrote(len(chunk))
        if not rows:
            partial.unlink()
            return 0
        if arrays:
            self._write_array(self._array(table), np.concatenate(arrays))
        _settle(partial, table)
        return rows

    def _write_array(self, path: Path, vectors: npt.NDArray[Any]) -> None:
        partial = path.with_name(f".{path.name}{PARTIAL}")
        with partial.open("wb") as file:
            np.save(file, vectors)
        _settle(partial, path)

    def _schema(self) -> "pa.Schema":
        pa, described = self._pa, self.description
        fields = [(name, self._types[name]) for name in described.key]
        if not self.is_npy:
            width = pa.float16() if described.vector_type == "float16" else pa.float32()
            fields.append((described.vector_column, pa.list_(width, described.dimensions)))
        fields += [(CONTENT_HASH, pa.binary()), (REFERENCE_HASH, pa.binary())]
        fields += [(name, self._types[name]) for name in described.columns]
        return pa.schema(fields)

    def _how(self) -> dict[str, Any]:
        """Return how columns are written: vectors are noise to compressors and dictionaries, statistics of them say nothing."""
        others = [*self.description.key, CONTENT_HASH, REFERENCE_HASH, *self.description.columns]
        vectors = {} if self.is_npy else {f"{self.description.vector_column}.list.element": "NONE"}
        return {
            "compression": {**dict.fromkeys(others, "SNAPPY"), **vectors},
            "use_dictionary": list(self.description.columns) or False,
            "write_statistics": list(self.description.key),
        }

    def _table(self, chunk: RowChunk) -> "pa.Table":
        pa, described = self._pa, self.description
        columns = [
            arrow_values(texts, self._types[name])
            for name, texts in zip(described.key, chunk.keys, strict=True)
        ]
        if not self.is_npy:
            values = pa.array(chunk.vectors.reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(values, described.dimensions))
        columns += [pa.array([value or None for value in values], pa.binary()) for values in chunk.hashes]
        columns += [
            arrow_values(texts, self._types[name])
            for name, texts in zip(described.columns, chunk.columns, strict=True)
        ]
        return pa.table(columns, schema=self._schema())


def _settle(partial: Path, path: Path) -> None:
    """Give a whole file its name, once it is on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
