"""Answers to questions, kept while somebody scrolls through them: each grows when its end comes near, and nothing in it moves.

What an approximate index gives for more rows is not what it gave for fewer with others behind: rows may come in between. So what
was shown stays in its place, and what the longer answer has besides is put behind it: scrolling neither repeats nor skips.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from imgvec_pg.search.nearest import MAX_K, Neighbour
from imgvec_pg.search.query_types import dump_keys

PAGE_ROWS = 48
FIRST_ROWS = PAGE_ROWS + 1
"""A page and whether there are more: behind a filter that few rows pass, rows take an index scan each its share."""
GROWTH = 4
KEPT = 24
"""Answers kept; each has 10,000 rows at most."""
KEPT_SECONDS = 1800.0

Ask = Callable[[int], Sequence[Neighbour]]
"""Asks for the first n rows."""


@dataclass
class GrowingAnswer:
    """An answer as far as it was asked for.

    Attributes:
        rows: In the order in which they are shown.
        asked: How many rows were asked for.
        is_whole: Whether there are no more rows.
    """

    rows: list[Neighbour] = field(default_factory=list)
    asked: int = 0
    is_whole: bool = False
    made: float = field(default_factory=time.monotonic)
    lock: Lock = field(default_factory=Lock)

    def grow(self, ask: Ask, least: int) -> None:
        """Ask for as many rows as make `least`, unless there are no more."""
        with self.lock:
            while len(self.rows) < least and not self.is_whole:
                wanted = min(MAX_K, max(FIRST_ROWS, least, GROWTH * self.asked))
                found = ask(wanted)
                known = {dump_keys(row.key) for row in self.rows}
                self.rows += [row for row in found if dump_keys(row.key) not in known]
                self.asked = wanted
                self.is_whole = len(found) < wanted or wanted == MAX_K


class KeptAnswers:
    """The last answers, by what was asked. Threads share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, GrowingAnswer] = OrderedDict()
        self._lock = Lock()

    def find(self, question: object, *, is_new: bool) -> GrowingAnswer:
        """Return the answer to a question, empty where it is not kept.

        Args:
            is_new: Whether somebody asks, and does not scroll on: the rows may have changed since others asked.
        """
        with self._lock:
            kept = self._kept.get(question)
            if kept is None or is_new or time.monotonic() - kept.made > KEPT_SECONDS:
                kept = self._kept[question] = GrowingAnswer()
            self._kept.move_to_end(question)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return kept
