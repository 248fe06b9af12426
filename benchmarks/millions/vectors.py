"""Generated vectors block by block, so that ten million need no memory, and their exact neighbours found on the way.

The same spectrum and clusters as generator.py: 400 centres from a 24-dimensional Gaussian, rows a third of its scale around
them, rotated into the dimensions, isotropic noise of a hundredth, norm 1. Each block has a seed of its own. Rows are rounded to
halves, as the database keeps them, before distances are taken. Row `id` (from 1) has the bucket `id * 7919 % 10000`, by which
filters select.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

INNER, CENTRES, SEED = 24, 400, 7
BLOCK = 50_000
QUERY_BLOCK, UPDATE_BLOCK = 1 << 30, 1 << 31
"""Numbers of blocks that are no rows at first: what is asked with, and what rows are changed into."""
BUCKETS = 10_000
FILTERS = {"50 %": 5000, "1 %": 100, "0.01 %": 1}
"""Shares of the rows, and the bucket below which they are."""
PART_ROWS = 1_000_000

Halves = npt.NDArray[np.float16]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Generator:
    """Makes blocks of unit vectors."""

    dimensions: int

    def block(self, number: int, rows: int) -> Halves:
        """Return the first rows of a block, shape (rows, dimensions)."""
        common = np.random.default_rng(SEED)
        centres = common.normal(size=(CENTRES, INNER)).astype(np.float32)
        rotation = np.linalg.qr(common.normal(size=(self.dimensions, INNER)))[0].T.astype(np.float32)
        random = np.random.default_rng([SEED, number])
        inner = centres[random.integers(CENTRES, size=rows)]
        inner = inner + random.standard_normal((rows, INNER), dtype=np.float32) / 3
        block = inner @ rotation + random.standard_normal((rows, self.dimensions), dtype=np.float32) / 100
        return (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float16)

    def blocks(self, rows: int) -> Iterator[tuple[Ids, Halves]]:
        """Give all rows: their ids, from 1, and vectors."""
        for number, first in enumerate(range(0, rows, BLOCK)):
            count = min(BLOCK, rows - first)
            yield np.arange(first + 1, first + count + 1, dtype=np.int64), self.block(number, count)


@dataclass
class Nearest:
    """The nearest rows of some queries among all that were shown to it.

    Attributes:
        below: Rows whose bucket is lower count; all for None.
        similarities, ids: Of the nearest until now, shape (queries, keep), in no order.
    """

    queries: npt.NDArray[np.float32]
    keep: int
    below: int | None = None
    similarities: npt.NDArray[np.float32] = field(init=False)
    ids: Ids = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.queries), self.keep)
        self.similarities = np.full(shape, -2, dtype=np.float32)
        self.ids = np.zeros(shape, dtype=np.int64)

    def show(self, ids: Ids, similarities: npt.NDArray[np.float32]) -> None:
        """Take rows in: their ids, and similarities of shape (queries, rows)."""
        if self.below is not None:
            chosen = buckets(ids) < self.below
            ids, similarities = ids[chosen], similarities[:, chosen]
        together = np.hstack([self.similarities, similarities])
        if together.shape[1] > self.keep:
            places = np.argpartition(-together, self.keep - 1, axis=1)[:, : self.keep]
        else:
            places = np.broadcast_to(np.arange(together.shape[1]), together.shape)
        known = np.hstack([self.ids, np.broadcast_to(ids, (len(self.queries), len(ids)))])
        self.similarities = np.take_along_axis(together, places, axis=1)
        self.ids = np.take_along_axis(known, places, axis=1)

    def first(self, k: int, *, without: Ids | None = None) -> list[set[int]]:
        """Return the ids of the k nearest of each query, leaving out some."""
        found = []
        for similarities, ids in zip(self.similarities, self.ids, strict=True):
            allowed = ids > 0 if without is None else (ids > 0) & ~np.isin(ids, without)
            order = np.argsort(-similarities[allowed], kind="stable")[:k]
            found.append(set(ids[allowed][order].tolist()))
        return found


def buckets(ids: Ids) -> Ids:
    """Return the bucket of each row, 0 to 9,999, as the table has it."""
    return ids * 7919 % BUCKETS


def similarities(queries: npt.NDArray[np.float32], vectors: Halves) -> npt.NDArray[np.float32]:
    """Return cosine similarities, shape (queries, rows)."""
    block = vectors.astype(np.float32)
    return (queries @ block.T) / np.linalg.norm(block, axis=1)


def make_queries(generator: Generator, count: int) -> npt.NDArray[np.float32]:
    """Return vectors to ask with, rounded as a halfvec is, of norm 1 as float32."""
    queries = generator.block(QUERY_BLOCK, count).astype(np.float32)
    return queries / np.linalg.norm(queries, axis=1, keepdims=True)


def write_parts(generator: Generator, rows: int, folder: Path, nearest: Sequence[Nearest]) -> None:
    """Write all rows as .npy files of a million halves, each with a .parquet file of its ids, and find the nearest on the way."""
    part: list[tuple[Ids, Halves]] = []
    number = 0
    for ids, vectors in generator.blocks(rows):
        part.append((ids, vectors))
        found = similarities(nearest[0].queries, vectors)
        for each in nearest:
            each.show(ids, found)
        if sum(len(chunk) for chunk, _ in part) >= PART_ROWS or ids[-1] == rows:
            np.save(folder / f"part_{number:05}.npy", np.vstack([chunk for _, chunk in part]))
            keys = np.concatenate([chunk for chunk, _ in part])
            pq.write_table(pa.table({"id": keys}), folder / f"part_{number:05}.parquet")
            part, number = [], number + 1
