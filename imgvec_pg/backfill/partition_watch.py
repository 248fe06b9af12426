"""Notice that partitions of a source went: DROP and DETACH fire no trigger, and their rows' embeddings stay."""

import time

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.partitions import forget_gone_page
from imgvec_pg.store.queue.jobs import Key

LOOK_SECONDS = 1.0
"""A sign of life waits for one look at most so long."""


class PartitionWatch:
    """Forgets embeddings of rows that went with their partitions, a few pages at each look.

    Attributes:
        forgotten: Embeddings deleted so far.
    """

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.forgotten = 0
        self._after: Key | None = None
        self._sweeping: str | None = None

    def look(self, connection: Connection) -> bool:
        """Compare the partitions with those of the last look, and go on with what they left; return whether more is left.

        Raises:
            psycopg.errors.InsufficientPrivilege: Row-level security would hide rows of the source from the role.
        """
        if not self.collection.is_partitioned:
            return False
        if self._sweeping is None:
            row = connection.execute(load_sql("queries/partitions_seen.sql"), [self.collection.id]).fetchone()
            if row is None or row[0] is None or row[0] == row[1]:
                return False
            self._sweeping, self._after = str(row[0]), None
        deadline = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < deadline:
            page = forget_gone_page(connection, self.collection, self._after)
            self.forgotten += page.deleted
            self._after = page.last_key
            if page.is_last:
                # What was there as the sweep began: one that went meanwhile is met by the next look.
                connection.execute(
                    load_sql("queries/note_partitions.sql"), [self._sweeping, self.collection.id]
                )
                self._sweeping = None
                return False
        return True
