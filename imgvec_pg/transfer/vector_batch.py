"""Rows of a file, an index or a service of others, some at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imgvec_pg.transfer.export_description import ExportDescription

BATCH_BYTES = 8 << 20
"""Vectors read together, as float32: several batches are in memory at once, beside their copies."""
MOST_BATCH_ROWS = 8192

Texts = Sequence[str | None]


def batch_rows(dimensions: int) -> int:
    """Return how many rows are read together."""
    return max(1, min(MOST_BATCH_ROWS, BATCH_BYTES // (4 * dimensions)))


@dataclass(frozen=True)
class VectorBatch:
    """n rows.

    Attributes:
        keys: For each column that rows are found by, n texts; None for none.
        vectors: Shape (n, dimensions), float16, float32 or float64, of any norm; a row without a vector is NaN.
        content_hashes: SHA-256 of the bytes that each was embedded from, empty where unknown; None where no row has one.
        reference_hashes: What each row said of its picture then, as the embedding table has it; None likewise.
    """

    keys: tuple[Texts, ...]
    vectors: npt.NDArray[Any]
    content_hashes: Sequence[bytes | None] | None = None
    reference_hashes: Sequence[bytes | None] | None = None

    def __len__(self) -> int:
        """Return n."""
        return len(self.vectors)

    def take(self, places: npt.NDArray[np.intp]) -> "VectorBatch":
        """Return the rows at these places, counted from 0."""

        def chosen(values: Sequence[Any] | None) -> list[Any] | None:
            return None if values is None else [values[place] for place in places]

        return VectorBatch(
            tuple([column[place] for place in places] for column in self.keys),
            self.vectors[places],
            chosen(self.content_hashes),
            chosen(self.reference_hashes),
        )


class VectorReader(Protocol):
    """An opened file, folder, index or service. Opening it has checked that all its parts are whole."""

    name: str
    """What it is, for people: "clip-retrieval folder /data/embeddings"."""
    rows: int
    dimensions: int
    description: ExportDescription | None
    """Of an export of imgvec's own; None for others."""

    def keys(self) -> Iterator[tuple[Texts, ...]]:
        """Give the keys alone, in the order of `batches`."""
        ...

    def batches(self) -> Iterator[VectorBatch]:
        """Give all rows in their order, at most `batch_rows` at a time."""
        ...
