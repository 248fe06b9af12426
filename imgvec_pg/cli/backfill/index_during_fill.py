"""The index of a collection while `imgvec backfill` fills it: live, or dropped and built anew after many rows."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from imgvec_pg.cli.output.messages import complain, say
from imgvec_pg.database.connect import Connection, connect, one_line
from imgvec_pg.errors import ConnectionFailedError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.refill import IndexChoice, drop_for_refill, plan_refill

log = logging.getLogger(__name__)


class IndexDuringFill:
    """What becomes of the index; said in one line where many rows come, or where it was asked for.

    Attributes:
        is_dropped: It is out of use until the build after the fill.
    """

    def __init__(self, dsn: str, collection: Collection) -> None:
        self._dsn = dsn
        self._collection = collection
        self._after = False
        self.is_dropped = False

    def plan(self, connection: Connection, new_rows: int, choice: IndexChoice) -> None:
        """Decide, and say so.

        Raises:
            NotOwnerError, CollectionError: It is to be dropped, and may not be.
        """
        refill = plan_refill(connection, self._collection, new_rows, choice)
        self._after = refill.after
        if refill.line is not None:
            say(f"{self._collection.name}: {refill.line}")

    def begin(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Drop it, where that is planned; to be called when nothing stands in the way of the fill any more. Tried once."""
        if self._after:
            self._after = False
            try:
                with connect(
                    self._dsn, application_name="imgvec backfill", prepare_threshold=None
                ) as connection:
                    # Or INVALID, until it is known to be there: the session may end half-way.
                    self.is_dropped = True
                    self.is_dropped = drop_for_refill(connection, self._collection, give_up)
            except (psycopg.OperationalError, ConnectionFailedError) as error:
                log.warning(
                    "the index of %s may be dropped by half: %s", self._collection.name, one_line(error)
                )

    @contextmanager
    def told_when_missing(self) -> Iterator[None]:
        """Say how the index comes back where the fill ends before it does: by a signal, or an error."""
        try:
            yield
        except BaseException:
            if self.is_dropped:
                name = self._collection.name
                complain(
                    f"the index of {name} is dropped and not built anew yet; searches compare all rows: imgvec backfill {name} "
                    f"goes on and builds it, imgvec index create {name} builds it now"
                )
            raise
