"""Find pairs so that a run which was killed goes on where it was: rows that changed since are compared with all others."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.checkpoint import Checkpoint, Digests, digests, places_of
from imgvec_pg.duplicates.checkpoint import Progress as Done
from imgvec_pg.duplicates.pair_search.comparison import Found, joined
from imgvec_pg.duplicates.pair_search.scheduling import Progress
from imgvec_pg.duplicates.pairs import Pairs, as_pairs, cross_pairs, find_pairs
from imgvec_pg.duplicates.vector_rows import VectorRows

Indices = npt.NDArray[np.intp]

WRITTEN_AFTER_SECONDS = 5.0
"""Runs that end sooner leave no file even for a moment."""
MOST_NEW = 0.2
"""The share of rows, new or changed, above which a run begins anew: comparing them with all others would take as long."""


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on.

    Attributes:
        finished: Rows of which every pair has been looked at.
        changed: Rows that are new or changed since, and compared with all others.
    """

    finished: int
    changed: int


class _Recorder:
    """Appends to a checkpoint what gets finished, once the run has taken a while; a full disk ends the file, not the run."""

    def __init__(self, checkpoint: Checkpoint, rows: VectorRows, number_of: Indices | None) -> None:
        self.checkpoint, self.rows = checkpoint, rows
        self.number_of, self.failed = number_of, False
        self._begun = time.monotonic()
        self._waiting: list[tuple[Indices, Found]] = []

    def __call__(self, finished: Indices, found: Found) -> None:
        """Note rows that are finished."""
        if self.failed:
            return
        self._waiting.append((finished, found))
        if self.number_of is None and time.monotonic() - self._begun < WRITTEN_AFTER_SECONDS:
            return
        try:
            if self.number_of is None:
                every = np.arange(len(self.rows.keys))
                self.checkpoint.begin()
                self.checkpoint.append(digests(self.rows.keys, self.rows.vectors, every), every[:0])
                self.number_of = every
            for done, (first, second, values) in self._waiting:
                self.checkpoint.append(
                    NO_DIGESTS, self.number_of[done], (self.number_of[first], self.number_of[second], values)
                )
        except OSError:
            self.failed = True
        self._waiting.clear()


NO_DIGESTS: Digests = np.empty((0, 2), dtype=np.uint64)


def find_pairs_again(
    rows: VectorRows,
    threshold: float,
    checkpoint: Checkpoint,
    *,
    max_pairs: int,
    devices: Sequence[str] = (),
    progress: Progress,
    resumed: Callable[[Resumed], None] = lambda where: None,
) -> Pairs:
    """Find all pairs, going on where a checkpoint says; the pairs are those of a run that began anew.

    The file stays: whoever calls removes it once the pairs are written.

    Args:
        resumed: Called where a run goes on.

    Raises:
        UsageError: As `find_pairs` raises.
    """
    try:
        done = checkpoint.read()
        if done is not None and len(done.finished):
            found = _go_on(rows, threshold, checkpoint, done, max_pairs, devices, progress, resumed)
            if found is not None:
                return found
        return find_pairs(
            rows.vectors,
            threshold,
            max_pairs=max_pairs,
            devices=devices,
            bytes_of_coordinates=rows.bytes_of_coordinates,
            progress=progress,
            finished=_Recorder(checkpoint, rows, None),
        )
    finally:
        checkpoint.close()


def _go_on(
    rows: VectorRows,
    threshold: float,
    checkpoint: Checkpoint,
    done: Done,
    max_pairs: int,
    devices: Sequence[str],
    progress: Progress,
    resumed: Callable[[Resumed], None],
) -> Pairs | None:
    """Compare what is new with what was finished, and the rest among itself; None where most is new."""
    every = np.arange(len(rows.keys))
    now = digests(rows.keys, rows.vectors, every)
    number_of = places_of(now, done.known)
    is_finished = np.zeros(len(done.known), dtype=np.bool_)
    is_finished[done.finished] = True
    is_known = number_of >= 0
    finished = every[is_known & is_finished[number_of]]
    new = every[~is_known]
    if len(new) > MOST_NEW * len(every) or not len(finished):
        return None
    resumed(Resumed(len(finished), len(new)))
    row_of = np.full(len(done.known), -1, dtype=np.intp)
    row_of[number_of[is_known]] = every[is_known]
    first, second = row_of[done.pairs[0]], row_of[done.pairs[1]]
    kept = (first >= 0) & (second >= 0)
    first, second = first[kept], second[kept]
    before: Found = np.minimum(first, second), np.maximum(first, second), done.pairs[2][kept]
    across = cross_pairs(
        rows.vectors,
        threshold,
        new,
        finished,
        max_pairs=max_pairs,
        bytes_of_coordinates=rows.bytes_of_coordinates,
    )
    recorder = _Recorder(checkpoint, rows, every)
    try:
        # Without rows that are away, as --where leaves them out: what is finished meanwhile is not compared with them, so where
        # they come back they are new.
        checkpoint.begin_anew(now, finished, joined([before, across]))
    except OSError:
        recorder.failed = True
    rest = find_pairs(
        rows.vectors,
        threshold,
        max_pairs=max_pairs,
        devices=devices,
        bytes_of_coordinates=rows.bytes_of_coordinates,
        among=np.setdiff1d(every, finished, assume_unique=True),
        found_before=len(before[0]) + len(across[0]),
        progress=progress,
        finished=recorder,
    )
    return as_pairs(joined([before, across, (rest.first, rest.second, rest.similarities)]), rest.skipped)
