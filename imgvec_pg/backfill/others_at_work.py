"""Whether an application uses the server beside the workers, told by the transactions that PostgreSQL counts.

pg_stat_database counts those of all sessions, and every role may read it; what other sessions are doing at the moment only
pg_monitor may see.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql

LOOK_SECONDS = 5.0
"""Between two looks: sessions add to PostgreSQL's counts once a second (PGSTAT_MIN_INTERVAL), so a shorter time tells less."""
QUIET_LOOKS = 2
"""So many in a row without others, and nobody is taken to be there; one with others is enough for the contrary."""
TRANSACTIONS_PER_SECOND = 20.0
"""Of others: more are an application. Monitoring, a scheduler, autovacuum and the workers' own heartbeats make fewer."""
PART_OF_OURS = 0.5
"""And more than this part of those of all workers, of which only this one's are counted; the rest is estimated."""


class _Look(NamedTuple):
    at: float
    of_all: int
    of_this: int


class OthersAtWork:
    """Looks now and then how many transactions others make.

    Args:
        counted: Transactions of this worker's sessions so far.
    """

    def __init__(self, counted: Callable[[], int]) -> None:
        self._counted = counted
        self._last: _Look | None = None
        self._quiet_looks = 0

    def may_be_there(self, connection: Connection) -> bool:
        """Return whether others use the server, or it is not known yet."""
        if self._last is None or time.monotonic() - self._last.at >= LOOK_SECONDS:
            self._look(connection)
        return self._quiet_looks < QUIET_LOOKS

    def _look(self, connection: Connection) -> None:
        row = connection.execute(load_sql("queries/transactions_so_far.sql")).fetchone()
        assert row is not None  # noqa: S101 - aggregates always give a row
        look, last = _Look(time.monotonic(), int(row[0]), self._counted()), self._last
        self._last = look
        if last is None or look.of_all < last.of_all:  # the statistics were reset
            self._quiet_looks = 0
            return
        seconds = look.at - last.at
        # Other workers that have work are taken to do as much as this one.
        of_workers = (look.of_this - last.of_this) * max(int(row[1]), 1) / seconds
        of_others = (look.of_all - last.of_all) / seconds - of_workers
        is_quiet = of_others <= max(TRANSACTIONS_PER_SECOND, PART_OF_OURS * of_workers)
        self._quiet_looks = self._quiet_looks + 1 if is_quiet else 0
