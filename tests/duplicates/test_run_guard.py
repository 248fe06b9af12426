"""What keeps a second run out: a lock that a run holds to its end, or writes nothing."""

from typing import Any

import pytest
from photostore import embed, make_photos

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates import incremental, relations
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, find_duplicates
from imgvec_pg.duplicates.only_run import LostLockError, only_search
from imgvec_pg.duplicates.relations import in_one_transaction
from imgvec_pg.duplicates.run_state import read_changes
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection

ROWS = "SELECT id, other_id FROM imgvec.photo_test_duplicate_pair ORDER BY 1, 2"


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give three rows, of which 1 and 2 are near."""
    collection = make_photos(connection, rows=3)
    embed(connection, collection, {1: [1.0, 0.0, 0.0], 2: [1.0, 0.01, 0.0], 3: [0.0, 0.0, 1.0]})
    return collection


@pytest.mark.parametrize("follows", [False, True])
def test_a_run_whose_lock_is_lost_writes_nothing(
    connection: Connection,
    photos: Collection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    follows: bool,
) -> None:
    if follows:
        with connect(database) as guard:
            find_duplicates(connection, guard, photos, DuplicateSearch())
        connection.execute("DELETE FROM imgvec.photo_test_embedding WHERE id = 3")
        embed(connection, photos, {3: [1.0, 0.0, 0.01]})
    pairs = [(1, 2)] if follows else []
    guard = connect(database)
    ended = []

    def end_guard(*_: object) -> None:
        ended.append(
            connection.execute("SELECT pg_terminate_backend(%s)", [guard.info.backend_pid]).fetchone()
        )

    def end_guard_and_read(*arguments: Any, **options: Any) -> Any:
        end_guard()
        return read_changes(*arguments, **options)

    monkeypatch.setattr(incremental, "read_changes", end_guard_and_read)
    with guard, pytest.raises(LostLockError, match="nothing was changed"):
        find_duplicates(connection, guard, photos, DuplicateSearch(), read=end_guard)
    assert ended == [(True,)]
    assert connection.execute(ROWS).fetchall() == pairs


def test_the_lock_is_held_however_long_a_run_takes(photos: Collection, database: str) -> None:
    with connect(database) as guard:
        guard.execute("SET idle_in_transaction_session_timeout = '1min'")
        if guard.info.server_version >= 170000:
            guard.execute("SET transaction_timeout = '1min'")
        with only_search(guard, photos):
            limits = guard.execute(
                "SELECT name, setting FROM pg_settings WHERE setting <> '0'"
                " AND name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
            ).fetchall()
    assert limits == []


def test_a_rule_that_postgresql_does_not_take_is_refused_before_anything_is_compared(
    connection: Connection, photos: Collection, database: str
) -> None:
    search = DuplicateSearch(keep=["id DESC", "colour"])
    with connect(database) as guard, pytest.raises(UsageError, match="the rule 'colour'"):
        find_duplicates(connection, guard, photos, search, read=lambda rows: pytest.fail("rows were read"))
    with connect(database) as guard:
        find_duplicates(connection, guard, photos, DuplicateSearch(keep=["id % 2 DESC"]))


@pytest.mark.parametrize("follows", [False, True])
def test_a_vector_that_an_application_changed_meanwhile_is_in_no_pair(
    connection: Connection,
    photos: Collection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    follows: bool,
) -> None:
    # Its version is 0 and its hash empty, before and after: only the time tells.
    connection.execute("UPDATE imgvec.photo_test_embedding SET version = 0")
    if follows:
        with connect(database) as guard:
            find_duplicates(connection, guard, photos, DuplicateSearch())
        connection.execute(
            "UPDATE imgvec.photo_test_embedding SET embedded_at = clock_timestamp() WHERE id = 1"
        )

    def change() -> None:
        with connect(database) as application:
            application.execute(
                "UPDATE imgvec.photo_test_embedding SET embedding = '[0,1,0]', embedded_at = clock_timestamp() WHERE id = 2"
            )

    def change_and_write(*arguments: Any, **options: Any) -> Any:
        change()
        return in_one_transaction(*arguments, **options)

    monkeypatch.setattr(incremental, "in_one_transaction", change_and_write)
    monkeypatch.setattr(relations, "in_one_transaction", change_and_write)
    with connect(database) as guard:
        found = find_duplicates(connection, guard, photos, DuplicateSearch())
    assert (found.gone is not None) == follows
    assert connection.execute(ROWS).fetchall() == []
    assert found.written.changed == 1
