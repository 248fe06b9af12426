"""What pages are about, and the database session of a request: the connection's role, read-only, with a time limit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import g

from imgvec_pg.database.connect import Connection, connect, is_pooled
from imgvec_pg.database.session_settings import OwnConnection
from imgvec_pg.flask.request_search import Searchable
from imgvec_pg.search.display_columns import default_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection

APPLICATION_NAME = "imgvec browse"
STATEMENT_TIMEOUT_SECONDS = 30
"""A page that takes longer is told so: somebody is waiting for it."""


@dataclass(frozen=True)
class PageContext:
    """What the pages of one server are about.

    Attributes:
        dsn: libpq connection string.
        name: Name of the collection, or of an alias, which is looked up anew in each request.
        columns: Columns of the source that pages show.
        root: Where this machine keeps the pictures, instead of the collection's root.
    """

    dsn: str
    name: str
    columns: Sequence[str]
    root: Path | None = None

    @classmethod
    def open(cls, dsn: str, name: str | None, root: Path | None = None) -> "PageContext":
        """Look the collection up once.

        Raises:
            CollectionNotFoundError, UsageError: There is none, or several and none is named.
        """
        with connect(dsn, application_name=APPLICATION_NAME) as connection:
            found = Searchable(name).find(connection)
            return cls(dsn, name or found.name, default_columns(connection, found), root)

    def session(self) -> Connection:
        """Return the request's read-only connection: opened by its first use, closed with the request.

        Raises:
            ConnectionFailedError: The server cannot be reached now. The next request tries again.
        """
        if "imgvec_session" not in g:
            g.imgvec_session = connect(self.dsn, application_name=APPLICATION_NAME)
            _hold_back(g.imgvec_session)
        found: Connection = g.imgvec_session
        return found

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection that may write what its role may, for a decision of a person."""
        with connect(self.dsn, application_name=APPLICATION_NAME) as connection:
            yield connection

    def find(self) -> Collection:
        """Return the collection as it is now: an alias may have been switched since.

        Raises:
            CollectionNotFoundError: It was dropped meanwhile.
        """
        return get_collection(self.session(), self.name)

    def searchable(self) -> Searchable:
        """Return what answers searches and gives pictures."""
        return Searchable(self.name, self.columns, root=self.root)


def close_session(_: BaseException | None = None) -> None:
    """Close the request's connection, where it has one."""
    session = g.pop("imgvec_session", None)
    if session is not None:
        session.close()


def _hold_back(connection: Connection) -> None:
    """Let a session write nothing and keep no statement for longer than STATEMENT_TIMEOUT_SECONDS."""
    milliseconds = str(1000 * STATEMENT_TIMEOUT_SECONDS)
    if is_pooled(connection) and isinstance(connection, OwnConnection):
        # Its next transaction may be another session's.
        connection.settings |= {"transaction_read_only": "on", "statement_timeout": milliseconds}
        return
    connection.execute(
        "SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false),"
        " pg_catalog.set_config('statement_timeout', %s, false)",
        [milliseconds],
    )
