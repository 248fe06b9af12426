"""Part rows into cells, and compare the cells, several at once."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.duplicates.cells import make_cells
from imgvec_pg.duplicates.pair_search.centres import CentreCells, Centres, centres_of, share_of_pairs
from imgvec_pg.duplicates.pair_search.comparison import Comparison, Found, Projected, joined
from imgvec_pg.duplicates.pair_search.partition import (
    BoxPartition,
    CentrePartition,
    Partition,
    cells_to_compare,
)
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.errors import UsageError

Indices = npt.NDArray[np.intp]
Progress = Callable[[int, int], None]
Finished = Callable[[Indices, Found], None]

WEIGHT_OF_CENTRES = 3
"""What comparing a row with a centre costs, in comparisons of two rows of boxes."""
WEIGHT_OF_VISITS = 2
"""What comparing a row with a visitor costs, which is gathered first, and of more axes."""


class TooManyPairsError(UsageError):
    """More pairs are near than were allowed for."""


@dataclass(frozen=True)
class PairSearch:
    """How to look for pairs, as `find_pairs` describes it."""

    threshold: float
    max_pairs: int
    found_before: int
    block: tuple[int, int]
    bytes_of_coordinates: int
    compare: Callable[[Halves, float, Projected], Comparison]
    threads: int


def refuse_too_many(search: PairSearch, pairs: float, how: str, about: bool = False) -> None:
    """Raise TooManyPairsError where there are more pairs than are allowed."""
    if pairs > search.max_pairs:
        raise TooManyPairsError(
            f"{'about ' if about else ''}{pairs:,.0f} pairs are within the threshold {search.threshold:g}, {how}; expected at "
            f"most {search.max_pairs:,}: raise the threshold, or --max-pairs"
        )


def exact_partition(vectors: Halves, projected: Projected, search: PairSearch) -> Partition:
    """Part the rows by boxes or by centres, whichever leaves fewer pairs to multiply."""
    boxes = make_cells(projected.near, search.block[0])
    count = len(projected.rows)
    _, work = cells_to_compare(boxes, projected.near_most)
    centres = centres_of(projected, search.bytes_of_coordinates)
    by_centres = share_of_pairs(projected, centres, 1.0) * count**2 / 2 * WEIGHT_OF_VISITS
    by_centres += WEIGHT_OF_CENTRES * count * len(centres.places)
    if by_centres < sum(work):
        return centre_partition(vectors, projected, search, centres, 1.0)
    comparison = search.compare(vectors, search.threshold, projected.ordered(boxes.order))
    return BoxPartition(boxes, comparison, search.block[1])


def centre_partition(
    vectors: Halves, projected: Projected, search: PairSearch, centres: Centres, reach: float
) -> CentrePartition:
    """Let rows visit the cells around centres for a part, the reach, of the distance within which rows are pairs."""
    cells = CentreCells(projected.fine, centres, float(np.sqrt(projected.fine_most)) * reach)
    comparison = search.compare(vectors, search.threshold, projected.by_fine(cells.order))
    return CentrePartition(cells, comparison, reach >= 1, search.block)


def run_partition(
    partition: Partition,
    search: PairSearch,
    progress: Progress,
    finished: Finished = lambda rows, found: None,
) -> Found:
    """Compare each cell, several at once, and take the results in the order of the cells."""
    total, done, pairs = sum(partition.work), 0, search.found_before
    found: list[Found] = []
    with ThreadPoolExecutor(search.threads) as pool:
        pending: deque[tuple[int, Future[Found]]] = deque()
        remaining = iter(range(len(partition.work)))
        try:
            while True:
                for cell in remaining:
                    pending.append((cell, pool.submit(partition.compare, cell)))
                    if len(pending) >= 4 * search.threads:
                        break
                if not pending:
                    return joined(found)
                cell, future = pending.popleft()
                found.append(future.result())
                done += partition.work[cell]
                pairs += len(found[-1][0])
                refuse_too_many(search, pairs, f"after {done / max(total, 1):.0%} of the comparisons")
                finished(partition.rows(cell), found[-1])
                progress(done, total)
        finally:
            for _, future in pending:
                future.cancel()
