"""Connections of the library's own: what their sessions rely on is set, whatever the role's or database's defaults are.

default_transaction_read_only is left alone on purpose: with it an operator, or a server whose disk is full, holds back writes.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import Row, TupleRow

from imgvec_pg.database.encodings import adapt_text
from imgvec_pg.database.sql_templates import load_sql


class OwnCursor(psycopg.Cursor[Row]):
    """A cursor whose statements meet the settings behind a pooler too: each in a transaction that begins by setting them."""

    def execute(self, *arguments: Any, **options: Any) -> Self:  # noqa: ANN401 - psycopg's own
        """Run a statement."""
        with settings_of(self.connection):
            return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Run a statement with each of the values."""
        with settings_of(self.connection):
            super().executemany(*arguments, **options)

    def stream(self, *arguments: Any, **options: Any) -> Iterator[Row]:  # noqa: ANN401
        """Give a statement's rows as they come."""
        with settings_of(self.connection):
            yield from super().stream(*arguments, **options)


class OwnConnection(psycopg.Connection[TupleRow]):
    """A connection that psycopg's `connect` makes and `prepare_session` readies.

    Attributes:
        is_pooled: A pooler such as pgbouncer stands between, which may give each transaction another session.
        settings: What is set at the beginning of each transaction: nothing where the session itself has it.
    """

    is_pooled: bool = False
    settings: dict[str, str]

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - psycopg's own
        super().__init__(*arguments, **options)
        self.settings = {}

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Run a block in a transaction, or in a savepoint of the present one."""
        is_outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as begun:
            if is_outermost and self.settings:
                self.set_locally()
            yield begun

    def set_locally(self) -> None:
        """Set what the session lacks until the transaction ends.

        By SET, which takes no snapshot as a query does: the block may still say SET TRANSACTION ISOLATION LEVEL.
        """
        one = sql.SQL("SET LOCAL {} TO {}")
        statements = [
            one.format(sql.Identifier(name), sql.Literal(value)) for name, value in self.settings.items()
        ]
        psycopg.Cursor(self).execute(sql.SQL("; ").join(statements))


@contextmanager
def settings_of(connection: psycopg.Connection[Any]) -> Generator[None]:
    """Run a statement that begins a transaction with the connection's settings."""
    is_first = (
        isinstance(connection, OwnConnection)
        and bool(connection.settings)
        and connection.info.transaction_status == TransactionStatus.IDLE
    )
    if is_first and not connection.autocommit:
        # psycopg begins the transaction before the first statement, and leaves its end to the caller.
        connection.set_locally()  # type: ignore[attr-defined]
    with connection.transaction() if is_first and connection.autocommit else nullcontext():
        yield


def prepare_session(connection: OwnConnection) -> None:
    """Set what the library relies on: for the session, or for each transaction where a pooler stands between."""
    values = {"backend_pid": connection.info.backend_pid}
    found = psycopg.Cursor(connection).execute(load_sql("queries/session_settings.sql"), values).fetchall()
    connection.is_pooled = bool(found[0][0])
    connection.settings = {str(row[1]): str(row[2]) for row in found if row[1] is not None and row[0]}
    if connection.settings:
        connection.cursor_factory = OwnCursor
    adapt_text(connection)
    # For transactions that psycopg begins; the session's default cannot be had behind a pooler.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
