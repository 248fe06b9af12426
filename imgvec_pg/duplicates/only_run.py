"""The lock that keeps a second run out, in a session of its own: a run holds it to its end, or writes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection

StillOnly = Callable[[], None]
"""Called last in the transaction that writes: raises LostLockError where the lock is gone."""


class AnotherRunError(DatabaseError):
    """Another run looks for the duplicates of the same collection."""


class LostLockError(DatabaseError):
    """The session that held the lock has ended, so that another run may be writing."""


@contextmanager
def only_search(connection: Connection, collection: Collection) -> Iterator[StillOnly]:
    """Hold a connection of its own in a transaction, idle, that tells other runs that one is going on; gives a look at it.

    Raises:
        AnotherRunError: Another run is.
    """
    is_done = False

    def still_only() -> None:
        try:
            connection.execute("SELECT")
        except psycopg.OperationalError as error:
            raise LostLockError(
                f"the session that held the lock of imgvec duplicates {collection.name} has ended ({one_line(error)}), so "
                "another run may be going on; nothing was changed: run this again"
            ) from error

    try:
        with connection.transaction():
            row = connection.execute(
                load_sql("queries/lock_duplicates.sql"), {"collection_id": collection.id}
            ).fetchone()
            if row is None or not row[0]:
                raise AnotherRunError(
                    f"another imgvec duplicates {collection.name} runs already; wait for it, or stop that one. "
                    "Nothing was changed"
                )
            yield still_only
            is_done = True
    except psycopg.OperationalError:
        # Lost after the last look, when all was written: nothing is wrong any more.
        if not (is_done and connection.closed):
            raise
