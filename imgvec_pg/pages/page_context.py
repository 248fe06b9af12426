"""What pages are about, and the database session of a request: the connection's role, read-only, with a time limit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flask import g

from imgvec_pg.database.connect import Connection, connect, is_pooled
from imgvec_pg.database.session_settings import OwnConnection
from imgvec_pg.flask.request_search import Searchable
from imgvec_pg.pages.idle_sessions import IdleSessions
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
        root: Where this machine keeps the pictures, instead of the collection's root.
        idle: Sessions between requests.
    """

    dsn: str
    name: str
    root: Path | None = None
    idle: IdleSessions = field(default_factory=IdleSessions, compare=False)

    @classmethod
    def open(cls, dsn: str, name: str | None, root: Path | None = None) -> "PageContext":
        """Look the collection up once.

        Raises:
            CollectionNotFoundError, UsageError: There is none, or several and none is named.
        """
        with connect(dsn, application_name=APPLICATION_NAME) as connection:
            found = Searchable(name).find(connection)
            return cls(dsn, name or found.name, root)

    def session(self) -> Connection:
        """Return the request's read-only connection: taken or opened by its first use, given back at its end.

        Raises:
            ConnectionFailedError: The server cannot be reached now. The next request tries again.
            CollectionNotFoundError: The collection was dropped meanwhile.
        """
        if "imgvec_session" not in g:
            kept = self.idle.take(self.dsn, _let_write)
            g.imgvec_session = kept or connect(self.dsn, application_name=APPLICATION_NAME)
            g.imgvec_give = partial(self.idle.give, self.dsn)
            # Before writing is over: a view's rows are read by a function of the session's own (registry.read_as_owner).
            g.imgvec_collection = get_collection(g.imgvec_session, self.name)
            _hold_back(g.imgvec_session)
        found: Connection = g.imgvec_session
        return found

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection that may write what its role may, for a decision of a person."""
        with connect(self.dsn, application_name=APPLICATION_NAME) as connection:
            yield connection

    def find(self) -> Collection:
        """Return the collection as it is in this request: an alias may have been switched since the last.

        Raises:
            ConnectionFailedError, CollectionNotFoundError: As `session`.
        """
        self.session()
        found: Collection = g.imgvec_collection
        return found

    def columns(self) -> Sequence[str]:
        """Return the columns of the source that pages show, as they are in this request: one may be dropped meanwhile."""
        if "imgvec_columns" not in g:
            g.imgvec_columns = default_columns(self.session(), self.find())
        found: Sequence[str] = g.imgvec_columns
        return found

    def searchable(self) -> Searchable:
        """Return what gives pictures."""
        return Searchable(self.name, root=self.root)


def close_session(_: BaseException | None = None) -> None:
    """Give the request's connection back, where it has one."""
    session = g.pop("imgvec_session", None)
    if session is not None:
        g.pop("imgvec_give")(session)


def _let_write(connection: Connection) -> None:
    """Take back what the last request's `_hold_back` set."""
    if is_pooled(connection):
        connection.execute("SELECT 1")
        return
    connection.execute("SELECT pg_catalog.set_config('default_transaction_read_only', 'off', false)")


def _hold_back(connection: Connection) -> None:
    """Let a session write nothing and run no statement for longer than STATEMENT_TIMEOUT_SECONDS."""
    milliseconds = str(1000 * STATEMENT_TIMEOUT_SECONDS)
    if is_pooled(connection):
        if isinstance(connection, OwnConnection):
            # Its next transaction may be another session's.
            connection.settings |= {"statement_timeout": milliseconds}
            return
        connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [milliseconds])
        return
    # A superuser's condition is looked through as a temporary view, which is rolled back (search/code_of_others.py); what it
    # asks for then runs in a read-only transaction as everybody's does.
    read_only = "off" if connection.info.parameter_status("is_superuser") == "on" else "on"
    connection.execute(
        "SELECT pg_catalog.set_config('statement_timeout', %s, false),"
        " pg_catalog.set_config('default_transaction_read_only', %s, false)",
        [milliseconds, read_only],
    )
