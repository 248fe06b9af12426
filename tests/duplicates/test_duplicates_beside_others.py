"""`imgvec duplicates` beside applications that delete, names of other collections, other tenants, and runs that fail last."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from photostore import embed, make_collection, make_photos

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates import resume
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, checkpoint_path, find_duplicates
from imgvec_pg.duplicates.only_run import LostLockError
from imgvec_pg.duplicates.relations import deletion, prepare_relations
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection

NEAR = {1: [1.0, 0.0, 0.0], 2: [1.0, 0.01, 0.0], 3: [0.0, 0.0, 1.0], 4: [0.0, 0.01, 1.0]}


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give four rows, of which 1 and 2, and 3 and 4, are near."""
    collection = make_photos(connection, rows=4)
    embed(connection, collection, NEAR)
    return collection


def search(connection: Connection, collection: Collection, **options: Any) -> None:
    with connect(connection.info.dsn) as guard:
        find_duplicates(connection, guard, collection, DuplicateSearch(), **options)


def test_a_run_that_meets_a_deadlock_writes_again(
    connection: Connection, photos: Collection, database: str
) -> None:
    prepare_relations(connection, photos)
    # The run is the one that PostgreSQL ends.
    connection.execute("SET deadlock_timeout = '3s'")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            search(connection, photos)
        except BaseException as error:
            failed.append(error)

    waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with connect(database) as application, connect(database) as eye:
        application.execute("SET deadlock_timeout = '1h'")
        thread = threading.Thread(target=work)
        with application.transaction():
            application.execute("DELETE FROM shop.photo WHERE id = 4")
            thread.start()
            while eye.execute(waits, [connection.info.backend_pid]).fetchone() == (0,) and thread.is_alive():
                time.sleep(0.01)
            application.execute("DELETE FROM shop.photo WHERE id = 1")
        thread.join()
    assert not failed
    assert connection.execute("SELECT count(*) FROM imgvec.photo_test_duplicate_seen").fetchone() == (4,)


def test_what_was_compared_is_kept_where_it_cannot_be_written(
    connection: Connection, photos: Collection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_HOME", str(tmp_path))
    monkeypatch.setattr(resume, "WRITTEN_AFTER_SECONDS", 0.0)
    guard, told = connect(database), []

    def end(*_: object) -> None:
        connection.execute("SELECT pg_terminate_backend(%s)", [guard.info.backend_pid])

    with guard, pytest.raises(LostLockError):
        find_duplicates(connection, guard, photos, DuplicateSearch(), compared=end)
    path = checkpoint_path(connection, photos)
    assert path.exists()
    search(connection, photos, resumed=told.append)
    assert [where.finished for where in told] == [4] and not path.exists()
    assert connection.execute("SELECT count(*) FROM imgvec.duplicate_photo_test").fetchone() == (2,)


def test_groups_of_one_collection_are_not_taken_for_pairs_of_another(
    connection: Connection, photos: Collection
) -> None:
    other = make_collection(connection, name="group_photo_test")
    embed(connection, other, NEAR)
    search(connection, photos)
    groups = "SELECT count(is_keeper) FROM imgvec.duplicate_group_photo_test"
    with pytest.raises(CollectionError, match="is something else's already"):
        search(connection, other)
    drop_collection(connection, other)
    assert connection.execute(groups).fetchone() == (4,)


def test_no_statement_deletes_for_another_tenants_keeper(connection: Connection) -> None:
    connection.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.photo (tenant_id int, id bigint, file text, PRIMARY KEY (tenant_id, id));"
        "INSERT INTO shop.photo VALUES (1, 1, 'a'), (2, 1, 'b'), (2, 2, 'c')"
    )
    collection = make_collection(connection, partition_by="tenant_id")
    embed(connection, collection, {(1, 1): [1.0, 0, 0], (2, 1): [1.0, 0, 0], (2, 2): [0, 1.0, 0]})
    search(connection, collection)
    for near_keeper in (False, True):
        assert connection.execute(deletion(collection, near_keeper=near_keeper).encode()).rowcount == 0


@pytest.mark.parametrize("rule", ["count(*)", "unnest(ARRAY[id, 1])", "to_json(id)"])
def test_a_rule_without_one_ordered_value_a_row_is_refused_before_rows_are_compared(
    connection: Connection,
    photos: Collection,
    database: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    monkeypatch.setattr("imgvec_pg.duplicates.find_duplicates.read_vectors", None)
    assert run(cli, ["duplicates", "photo_test", "--keep", rule]) == 2
    assert f"PostgreSQL does not take the rule '{rule}'" in capsys.readouterr().err


def test_sizes_that_are_no_numbers_choose_no_keeper(connection: Connection, photos: Collection) -> None:
    connection.execute(
        "ALTER TABLE shop.photo ADD width text DEFAULT '30 cm', ADD height text DEFAULT '20 cm'"
    )
    search(connection, photos)
    reasons = connection.execute("SELECT DISTINCT reason FROM imgvec.duplicate_group_photo_test").fetchall()
    assert reasons == [("key",)]


def test_options_that_against_has_not_are_refused(
    photos: Collection, database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    assert run(cli, ["duplicates", "photo_test", "--against", "other", "--pixels"]) == 2
    assert "--pixels and --against cannot be together" in capsys.readouterr().err
