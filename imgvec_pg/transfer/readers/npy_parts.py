"""Vectors in .npy files, their keys in parquet files beside them: clip-retrieval's layout, and imgvec's own with --format npy.

clip-retrieval 2.45 writes `img_emb/img_emb_0.npy` and `metadata/metadata_0.parquet`, one pair for each of its parts; row i of
the one belongs to row i of the other. Pairs are found by their number, whatever order a folder lists them in.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import UsageError
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.extras import require_module
from imgvec_pg.transfer.natural_order import in_order, last_number
from imgvec_pg.transfer.readers.arrow_values import hash_bytes, key_texts
from imgvec_pg.transfer.readers.columns import ColumnNames, require_columns
from imgvec_pg.transfer.vector_batch import Texts, VectorBatch, batch_rows

FOLDERS = (("img_emb", "metadata"), (".", "."))
"""Where clip-retrieval has vectors and their metadata, and where imgvec has."""
IMAGE_PATH = "image_path"
HASHES = ("content_hash", "reference_hash")


def find_pairs(directory: Path) -> list[tuple[Path, Path]]:
    """Return the .npy files of a folder, each with its parquet file; none where the folder is of another layout.

    Raises:
        UsageError: A file has no partner, or several.
    """
    for vectors, metadata in FOLDERS:
        arrays = in_order((directory / vectors).glob("*.npy"))
        if not arrays:
            continue
        by_number: dict[int | None, Path] = {}
        for path in in_order((directory / metadata).glob("*.parquet")):
            if last_number(path) in by_number:
                raise UsageError(
                    f"{path} and {by_number[last_number(path)]} have the same number; expected one parquet file for "
                    "each .npy file"
                )
            by_number[last_number(path)] = path
        alone = [path for path in arrays if last_number(path) not in by_number]
        if alone:
            raise UsageError(
                f"{alone[0]} has no parquet file of the same number in {directory / metadata}, so nobody knows which "
                "rows its vectors "
                "are of; clip-retrieval always writes one: fetch it too"
            )
        left = sorted(set(by_number) - {last_number(path) for path in arrays}, key=str)
        if left:
            raise UsageError(
                f"{by_number[left[0]]} has no .npy file of the same number in {directory / vectors}; fetch it again"
            )
        return [(path, by_number[last_number(path)]) for path in arrays]
    return []


class NpyReader:
    """Reads pairs of files."""

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        columns: ColumnNames,
        description: ExportDescription | None = None,
    ) -> None:
        self.pairs = list(pairs)
        self.description = description
        self.columns = columns
        self._parquet = require_module("pyarrow.parquet", "reading the keys of .npy files")
        self._arrow = require_module("pyarrow", "reading the keys of .npy files")
        self.name = f"{len(self.pairs)} pairs of .npy and parquet files at {self.pairs[0][0].parent}"
        shapes = [self._check(*pair) for pair in self.pairs]
        self.rows = sum(rows for rows, _ in shapes)
        self.dimensions = shapes[0][1]
        for (path, _), (_, dimensions) in zip(self.pairs, shapes, strict=True):
            if dimensions != self.dimensions:
                raise UsageError(
                    f"{path} has vectors of {dimensions} dimensions, {self.pairs[0][0]} of {self.dimensions}; expected "
                    "one model's"
                )

    def _check(self, vectors: Path, metadata: Path) -> tuple[int, int]:
        array = open_array(vectors)
        with self._opened(metadata) as file:
            require_columns(file.schema_arrow.names, self.columns.keys, str(metadata))
            rows = file.metadata.num_rows
        if rows != len(array):
            raise UsageError(
                f"{vectors} has {len(array):,} vectors and {metadata} {rows:,} rows; expected one each: the pair is not "
                "of one run"
            )
        return array.shape

    def _opened(self, metadata: Path) -> Any:  # noqa: ANN401 - pyarrow's file
        try:
            return self._parquet.ParquetFile(metadata, pre_buffer=False)
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise UsageError(
                f"{metadata} cannot be read ({' '.join(str(error).split())[:200]}): not whole, or no parquet file; "
                "nothing of it was "
                "imported. Fetch it again"
            ) from error

    def _read(self, metadata: Path, names: list[str], rows: int) -> Iterator[Any]:
        with self._opened(metadata) as file:
            yield from file.iter_batches(batch_size=rows, columns=names, use_threads=False)

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone."""
        names = list(self.columns.keys)
        for _, metadata in self.pairs:
            for batch in self._read(metadata, names, 65_536):
                yield tuple(key_texts(batch.column(name), name) for name in names)

    def batches(self) -> Iterator[VectorBatch]:
        """Give all rows."""
        names = list(self.columns.keys)
        for vectors, metadata in self.pairs:
            array, start = open_array(vectors), 0
            with self._opened(metadata) as file:
                hashes = [
                    name
                    for name in HASHES
                    if self.description is not None and name in file.schema_arrow.names
                ]
            for batch in self._read(metadata, [*names, *hashes], batch_rows(self.dimensions)):
                found = {name: hash_bytes(batch.column(name)) for name in hashes}
                yield VectorBatch(
                    tuple(key_texts(batch.column(name), name) for name in names),
                    _rows(vectors, array, start, len(batch)),
                    found.get("content_hash"),
                    found.get("reference_hash"),
                )
                start += len(batch)


def _rows(path: Path, array: npt.NDArray[Any], start: int, count: int) -> npt.NDArray[Any]:
    """Read rows into memory of their own: pages of a mapped file would count as this process's, all of them in the end."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous:
        return np.array(array[start : start + count])
    width = array.shape[1]
    offset = array.offset + start * width * array.itemsize
    return np.fromfile(path, array.dtype, count * width, offset=offset).reshape(count, width)


def open_array(path: Path) -> npt.NDArray[Any]:
    """Return the vectors of a file as it lies there, without reading them.

    Raises:
        UsageError: It is not whole, or holds no vectors of floats.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}): not whole, or no .npy file; nothing of it "
            "was imported. "
            "Fetch it again"
        ) from error
    if array.ndim != 2 or not array.shape[1]:
        raise UsageError(f"{path} has the shape {array.shape}; expected (rows, dimensions)")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise UsageError(
            f"the vectors in {path} are of {array.dtype}; expected float16, float32 or float64: whole numbers are "
            "quantised, by a scale "
            "that is not in the file"
        )
    return array
