"""An export as a table of LanceDB: each part a version of it, so that a run that was cut off leaves whole parts alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.row_chunks import RowChunk, as_batch, export_schema

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_BYTES = 1 << 20
"""Of vectors in a batch: LanceDB 0.40 has so many batches in memory that with 4 MB each it takes 65 to 100 MB more."""


class LanceWriter:
    """Writes the table of one export into the database that its folder is; otherwise as PartWriter. One part after the other.

    Args:
        types: Arrow types of the columns that stand beside the vectors, in their order.
    """

    def __init__(
        self, directory: Path, description: ExportDescription, types: Mapping[str, "pa.DataType"]
    ) -> None:
        self.directory = directory
        self.description = description
        self._pa = require_module("pyarrow", "writing an export")
        self._lancedb = require_module("lancedb", "writing a LanceDB table")
        self._schema = export_schema(description, types)
        self.chunk_rows = max(1, CHUNK_BYTES // description.vector_bytes)
        self._parts = 0
        self._table: Any = None
        if (directory / f"{description.collection}.lance").is_dir():
            self._table = self._database().open_table(description.collection)

    def _database(self) -> Any:  # noqa: ANN401 - a module without types
        return self._lancedb.connect(str(self.directory))

    def next_number(self) -> int:
        """Return how many parts this run wrote."""
        return self._parts

    def count_rows(self) -> int:
        """Return the rows of all parts that are whole."""
        return 0 if self._table is None else int(self._table.count_rows())

    def last_key(self) -> list[str] | None:
        """Return the last key, as text; None before the first."""
        rows = self.count_rows()
        if not rows:
            return None
        names = list(self.description.key)
        last = self._table.search().select(names).offset(rows - 1).limit(1).to_arrow()
        return [str(last.column(name)[0].as_py()) for name in names]

    def discard_partial(self) -> None:
        """Do nothing: what no version names is not read, and `Table.optimize` of LanceDB removes it."""

    def write(self, number: int, chunks: Iterable[RowChunk], wrote: Callable[[int], None]) -> int:
        """Add one part and return its rows."""
        rows = 0

        def batches() -> Iterator["pa.RecordBatch"]:
            nonlocal rows
            for chunk in chunks:
                yield as_batch(chunk, self.description, self._schema)
                rows += len(chunk)
                wrote(len(chunk))

        reader = self._pa.RecordBatchReader.from_batches(self._schema, batches())
        if self._table is None:
            self._table = self._database().create_table(self.description.collection, reader)
        else:
            self._table.add(reader)
        self._parts += 1
        return rows

    def keep(self, number: int) -> None:
        """Do nothing: LanceDB returns once a version is on the disk."""
