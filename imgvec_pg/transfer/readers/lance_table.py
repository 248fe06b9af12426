"""A Lance dataset: a table of LanceDB, which is the folder NAME.lance of its database, imgvec's own export as one among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.readers.arrow_values import (
    hash_bytes,
    key_texts,
    require_floats,
    vector_array,
    vector_width,
)
from imgvec_pg.transfer.readers.columns import ColumnNames, require_columns
from imgvec_pg.transfer.vector_batch import Texts, VectorBatch, batch_rows

LANCE = ".lance"
HASHES = ("content_hash", "reference_hash")
SCAN_BYTES = 4 << 20
"""Of vectors in a scan: LanceDB 0.40 holds several times what a scan reads; with 8 MB an import takes 330 MB, with 4 MB 285."""


class LanceReader:
    """Reads one version of a table: the newest as it is opened."""

    def __init__(
        self, path: Path, columns: ColumnNames, description: ExportDescription | None = None
    ) -> None:
        self.description = description
        lancedb = require_module("lancedb", f"reading the LanceDB table {path}")
        try:
            self._table: Any = lancedb.connect(str(path.parent)).open_table(path.stem)
            schema = self._table.schema
            self.rows = int(self._table.count_rows())
        except (ValueError, RuntimeError, OSError) as error:
            raise UsageError(
                f"{path} cannot be read as a LanceDB table ({' '.join(str(error).split())[:200]}); expected the folder "
                "NAME.lance in "
                "a database's folder"
            ) from error
        self.name = f"LanceDB table {path}"
        self.columns = columns
        require_columns(schema.names, columns.keys, self.name)
        found = [field.name for field in schema if vector_width(field.type)]
        vector = columns.vector or ("vector" if "vector" in found else found[0] if len(found) == 1 else None)
        if vector is None:
            which = f"several columns of vectors ({', '.join(found)})" if found else "no column of vectors"
            raise UsageError(
                f"{self.name} has {which}; say which one: --vector-column NAME (columns: {', '.join(schema.names)})"
            )
        require_columns(schema.names, [vector], self.name)
        require_floats(schema.field(vector).type, vector)
        self.vector = vector
        self.dimensions = int(vector_width(schema.field(vector).type) or 0)
        # Hashes are of the table that was exported: of another's a column of this name means something else.
        self._hashes = [name for name in HASHES if description is not None and name in schema.names]

    def _read(self, names: list[str], rows: int) -> Iterator[Any]:
        # A search without a query is a scan in the order of the table; one of them for all rows reads some 300 MB ahead.
        for start in range(0, self.rows, rows):
            part = self._table.search().select(names).offset(start).limit(min(rows, self.rows - start))
            yield from part.to_batches(rows)

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone."""
        names = list(self.columns.keys)
        for batch in self._read(names, 65_536):
            yield tuple(key_texts(batch.column(name), name) for name in names)

    def batches(self) -> Iterator[VectorBatch]:
        """Give all rows."""
        names = list(self.columns.keys)
        vector_bytes = self.dimensions * self._table.schema.field(self.vector).type.value_type.bit_width // 8
        rows = min(batch_rows(self.dimensions), max(1, SCAN_BYTES // vector_bytes))
        for batch in self._read([*names, self.vector, *self._hashes], rows):
            hashes = {name: hash_bytes(batch.column(name)) for name in self._hashes}
            yield VectorBatch(
                tuple(key_texts(batch.column(name), name) for name in names),
                vector_array(batch.column(self.vector), self.dimensions),
                hashes.get("content_hash"),
                hashes.get("reference_hash"),
            )
