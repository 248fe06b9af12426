"""Limits of short transactions: those of the worker's own, none left behind in a transaction of the caller's."""

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.transactions import short_transaction

LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")


def shown(connection: Connection, *names: str) -> list[str]:
    return [connection.execute(f"SHOW {name}").fetchone()[0] for name in names]  # type: ignore[call-overload,index]


def test_a_short_transaction_is_limited_and_the_session_is_not(connection: Connection) -> None:
    before = shown(connection, *LIMITS)
    with short_transaction(connection, lock_timeout_ms=20):
        assert shown(connection, *LIMITS, "lock_timeout") == ["10s", "2s", "off", "20ms"]
    assert shown(connection, *LIMITS) == before != ["10s", "2s", "off"]


def test_within_a_transaction_of_the_caller_the_lock_timeout_alone_is_set(connection: Connection) -> None:
    with connection.transaction():
        before = shown(connection, *LIMITS)
        with short_transaction(connection, lock_timeout_ms=20):
            assert shown(connection, "lock_timeout") == ["20ms"]
        assert shown(connection, *LIMITS) == before
