"""A FAISS index that holds its vectors, flat or IVF over flat, and a file with the key of each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.readers.arrow_values import key_texts
from imgvec_pg.transfer.readers.columns import ColumnNames, require_columns
from imgvec_pg.transfer.vector_batch import Texts, VectorBatch, batch_rows

FAISS = (".faiss", ".index")
KINDS = ("IndexFlat", "IndexFlatIP", "IndexFlatL2", "IndexIVFFlat")
"""Indexes whose vectors are the ones that were added, bit for bit."""


class FaissReader:
    """Reads an index through a memory map where it allows that."""

    description: ExportDescription | None = None

    def __init__(self, path: Path, ids: Path | None, columns: ColumnNames) -> None:
        self._faiss: Any = require_module("faiss", f"reading the FAISS index {path}")
        if len(columns.keys) > 1 and ids is None:
            raise UsageError(
                "a FAISS index numbers its vectors; the key has several columns: give them with --ids FILE.parquet"
            )
        self._index, self._numbers = self._open(path)
        self.name = f"FAISS index {path}"
        self.rows, self.dimensions = int(self._index.ntotal), int(self._index.d)
        self._keys = self._read_keys(ids, columns)

    def _open(self, path: Path) -> tuple[Any, npt.NDArray[np.int64] | None]:
        """Return the index that has the vectors and the numbers that an id map gives them; None where it has none."""
        faiss = self._faiss
        try:
            # Kept: what downcast_index and an id map give is freed with the object that owns it.
            self._owner = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
            index = faiss.downcast_index(self._owner)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise UsageError(f"{path} cannot be read as a FAISS index ({reason}); fetch it again") from error
        numbers = None
        if type(index).__name__ in ("IndexIDMap", "IndexIDMap2"):
            numbers = np.array(faiss.vector_to_array(index.id_map))
            index = faiss.downcast_index(index.index)
        kind = type(index).__name__
        if kind not in KINDS:
            raise UsageError(
                f"{path} is an {kind}, which keeps no exact vectors; expected one of {', '.join(KINDS)}, or an id map "
                "over one: import "
                "the vectors that it was built from"
            )
        self._in_lists = kind == "IndexIVFFlat"
        if self._in_lists:
            listed = np.concatenate([self._list_numbers(index, number) for number in range(index.nlist)])
            numbers = listed if numbers is None else numbers[listed]
        return index, numbers

    def _list_numbers(self, index: Any, number: int) -> npt.NDArray[np.int64]:  # noqa: ANN401 - faiss has no types
        size = index.invlists.list_size(number)
        if not size:
            return np.zeros(0, dtype=np.int64)
        return np.array(self._faiss.rev_swig_ptr(index.invlists.get_ids(number), size))

    def _read_keys(self, ids: Path | None, columns: ColumnNames) -> tuple[list[str | None], ...]:
        """Return the keys in the order in which the vectors are read."""
        if ids is None:
            if self._numbers is None:
                raise UsageError(
                    f"{self.name} numbers its vectors 0 to {self.rows - 1:,} and has no id map; say which rows they are "
                    "of: --ids "
                    "FILE.npy or FILE.parquet, in the order in which they were added"
                )
            return ([str(number) for number in self._numbers.tolist()],)
        keys = _key_columns(ids, columns)
        if self._numbers is None:
            if len(keys[0]) != self.rows:
                raise UsageError(
                    f"{ids} has {len(keys[0]):,} keys, {self.name} {self.rows:,} vectors; expected one each"
                )
            return keys
        if len(self._numbers) and not 0 <= int(self._numbers.min()) <= int(self._numbers.max()) < len(
            keys[0]
        ):
            raise UsageError(
                f"{self.name} has the numbers {self._numbers.min()} to {self._numbers.max()}, {ids} has "
                f"{len(keys[0]):,} keys; expected a "
                "key for each number"
            )
        return tuple([column[number] for number in self._numbers.tolist()] for column in keys)

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone."""
        yield tuple(self._keys)

    def batches(self) -> Iterator[VectorBatch]:
        """Give all rows; of an IVF index list by list."""
        step, start = batch_rows(self.dimensions), 0
        for vectors in self._lists(step) if self._in_lists else self._flat(step):
            stop = start + len(vectors)
            yield VectorBatch(tuple(column[start:stop] for column in self._keys), vectors)
            start = stop

    def _flat(self, step: int) -> Iterator[npt.NDArray[np.float32]]:
        for start in range(0, self.rows, step):
            yield self._index.reconstruct_n(start, min(step, self.rows - start))

    def _lists(self, step: int) -> Iterator[npt.NDArray[np.float32]]:
        lists, width = self._index.invlists, self.dimensions
        for number in range(self._index.nlist):
            size = lists.list_size(number)
            if size:
                codes = self._faiss.rev_swig_ptr(lists.get_codes(number), size * 4 * width)
                vectors = codes.view(np.float32).reshape(size, width)
                for start in range(0, size, step):
                    yield np.array(vectors[start : start + step])


def _key_columns(ids: Path, columns: ColumnNames) -> tuple[list[str | None], ...]:
    """Return the keys of a file, in its order."""
    try:
        if ids.suffix.lower() == ".npy":
            array = np.load(ids, allow_pickle=False)
            if array.ndim != 1 or len(columns.keys) > 1:
                raise UsageError(
                    f"{ids} has the shape {array.shape}; expected one key a vector, and a key of one column"
                )
            return ([str(value) for value in array.tolist()],)
        parquet = require_module("pyarrow.parquet", f"reading {ids}")
        table = parquet.read_table(ids)
    except (ValueError, OSError) as error:
        raise UsageError(
            f"{ids} cannot be read ({' '.join(str(error).split())[:200]}); expected a .npy or .parquet file"
        ) from error
    require_columns(table.column_names, columns.keys, str(ids))
    return tuple(key_texts(table.column(name).combine_chunks(), name) for name in columns.keys)
