"""What changes behind the triggers' back is found again: by what the row says of its picture."""

import random
from pathlib import Path

import numpy as np
import pytest
from photostore import X, Y, Z, enqueued, lease_job, make_collection, make_photos, take_enqueued
from psycopg import sql
from workers import check, failures, imgvec, make_table, put_file, random_picture

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddedKey, Outcome
from imgvec_pg.store.integrity.reconcile import Reconciled, list_source, reconcile
from imgvec_pg.store.queue.jobs import retry_failures
from imgvec_pg.store.registry import get_collection

WITHOUT_TRIGGERS = sql.SQL("SET LOCAL session_replication_role = replica")
BROKEN, CLEARED, MOVED, REPLACED, UNTOUCHED = 21, 22, 2, 1, 4


@pytest.fixture
def environment(plugin_environment: dict[str, str]) -> dict[str, str]:
    return plugin_environment


def backfill(database: str, environment: dict[str, str]) -> int:
    return imgvec(database, environment, "backfill", "photo_grid", "--device", "cpu").returncode


def wrong_now(connection: Connection, root: Path) -> dict[str, list[int]]:
    """Return what is wrong with the embeddings; that one stepped back a version is reconcile's doing."""
    problems = check(connection, root).problems
    problems.pop("written again or backward", None)
    return problems


def test_changes_of_every_kind_that_no_trigger_saw_are_found_and_embedded_anew(
    connection: Connection, database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    draw = random.Random(7)
    make_table(connection, tmp_path, rows=6)
    put_file(connection, tmp_path, BROKEN, random_picture(draw)[:60])
    put_file(connection, tmp_path, CLEARED, random_picture(draw))
    assert backfill(database, environment) == 4
    connection.execute("UPDATE photo SET path = NULL WHERE id = %s", [CLEARED])
    assert backfill(database, environment) in (0, 4)
    assert failures(connection).keys() == {BROKEN, CLEARED}
    assert failures(connection)[CLEARED] == "no_image"
    collection = get_collection(connection, "photo_grid")
    assert reconcile(connection, collection) == Reconciled(0, 0, 0, 0, 0)

    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(random_picture(draw))
    longer = random_picture(draw) + b"\0"  # PNG readers stop at its end
    with connection.transaction():
        connection.execute(WITHOUT_TRIGGERS)
        for number, path in ((BROKEN, "a.png"), (CLEARED, "b.png"), (MOVED, "c.png")):
            connection.execute("UPDATE photo SET path = %s WHERE id = %s", [path, number])
        connection.execute("UPDATE photo SET content = %s WHERE id = %s", [longer, REPLACED])
        connection.execute("UPDATE photo SET price = 7 WHERE id = %s", [UNTOUCHED])
    assert sorted(wrong_now(connection, tmp_path)["stale"]) == [REPLACED, MOVED]
    found = reconcile(connection, collection)
    assert found == Reconciled(4, 4, 0, 0, 0)
    assert enqueued(connection) == [REPLACED, MOVED, BROKEN, CLEARED]
    assert reconcile(connection, collection).enqueued == 0  # they are queued
    assert backfill(database, environment) == 0
    assert wrong_now(connection, tmp_path) == {}
    assert failures(connection) == {}
    assert reconcile(connection, collection) == Reconciled(0, 0, 0, 0, 0)


def test_bytes_replaced_by_as_many_are_found_with_contents(
    connection: Connection,
    database: str,
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_table(connection, tmp_path)
    old, new = random_picture(random.Random(1)), random_picture(random.Random(2))
    length = max(len(old), len(new))
    connection.execute("INSERT INTO photo (id, content) VALUES (1, %s)", [old.ljust(length, b"\0")])
    assert backfill(database, environment) == 0
    with connection.transaction():
        connection.execute(WITHOUT_TRIGGERS)
        connection.execute("UPDATE photo SET content = %s", [new.ljust(length, b"\0")])
    command = ["collection", "reconcile", "photo_grid", "--dsn", database]
    assert run(cli, command) == 0
    assert capsys.readouterr().out.startswith("0 rows enqueued (0 of them changed unseen), ")
    assert run(cli, [*command, "--contents"]) == 0
    assert capsys.readouterr().out.startswith("1 row enqueued (1 of them changed unseen), ")
    assert backfill(database, environment) == 0
    assert wrong_now(connection, tmp_path) == {}
    assert reconcile(connection, get_collection(connection, "photo_grid"), contents=True).enqueued == 0


def test_a_reference_has_one_hash_whatever_a_session_prints(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, taken timestamptz, crop float8[], mark bytea,"
        " shown interval)"
    )
    scratch.execute(
        "INSERT INTO shop.photo VALUES (1, 'ä.jpg', '2026-01-02 03:04:05+06', '{0.1,1e-7}', '\\xff00', '1 day 2 hours')"
    )
    collection = make_collection(scratch, watch=["taken", "crop", "mark", "shown"])
    read_and_write(scratch, collection)
    scratch.execute(
        "SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL datestyle = 'German'; SET LOCAL bytea_output = 'escape';"
        " SET LOCAL extra_float_digits = -3; SET LOCAL intervalstyle = 'postgres'"
    )
    assert reconcile(scratch, collection).enqueued == 0
    scratch.execute(WITHOUT_TRIGGERS)
    scratch.execute("UPDATE shop.photo SET crop = '{0.1,2e-7}'")
    assert reconcile(scratch, collection).changed == 1


def read_and_write(connection: Connection, collection: Collection, version: int = 1) -> None:
    """Embed row 1 as a worker does, with the hash of what it read."""
    leased = lease_job(connection, collection, [1], version)
    [image] = leased.store.read_images([{"id": 1}])
    row = EmbeddedKey({"id": 1}, version, np.float32(X), b"", image.reference_hash)
    leased.store.write(leased.token, [Outcome(leased.id, embedded=[row])], "fp32")


@pytest.fixture
def changed(scratch: Connection) -> Collection:
    """Photo 1, embedded at version 5, whose path then changed unseen; found and queued."""
    collection = make_photos(scratch, rows=1)
    read_and_write(scratch, collection, version=5)
    scratch.execute(WITHOUT_TRIGGERS)
    scratch.execute("UPDATE shop.photo SET file = 'other.jpg'")
    scratch.execute("SET LOCAL session_replication_role = origin")
    assert reconcile(scratch, collection).changed == 1
    assert scratch.execute("SELECT version FROM imgvec.job").fetchall() == [(5,)]
    take_enqueued(scratch)
    return collection


def stored(connection: Connection) -> list[tuple[int, str]]:
    return connection.execute("SELECT version, embedding::text FROM imgvec.photo_test_embedding").fetchall()


def test_a_changed_row_is_found_in_searches_until_its_new_embedding_covers_the_old(
    scratch: Connection, changed: Collection
) -> None:
    assert scratch.execute("SELECT id FROM imgvec.near_photo_test('[1,0,0]')").fetchall() == [(1,)]
    assert lease_job(scratch, changed, [1], 5).write((1, Y)).embedded == 1
    assert stored(scratch) == [(5, "[0,1,0]")]


def test_a_late_older_result_never_covers_a_row_that_stepped_back(
    scratch: Connection, changed: Collection
) -> None:
    assert lease_job(scratch, changed, [1], 4).write((1, Z)).embedded == 0
    assert lease_job(scratch, changed, [1], 4).write_failure(1).failed == 0
    assert stored(scratch) == [(4, "[1,0,0]")]


def test_what_reconcile_files_never_outranks_a_change_that_a_trigger_saw(
    scratch: Connection, changed: Collection
) -> None:
    assert lease_job(scratch, changed, [1], 6).write((1, Z)).embedded == 1
    assert lease_job(scratch, changed, [1], 5).write((1, Y)).embedded == 0
    assert stored(scratch) == [(6, "[0,0,1]")]


def test_a_changed_row_that_cannot_be_embedded_becomes_a_failure_and_is_not_enqueued_again(
    scratch: Connection, changed: Collection
) -> None:
    assert lease_job(scratch, changed, [1], 5).write_failure(1).failed == 1
    assert stored(scratch) == []
    assert reconcile(scratch, changed).enqueued == 0
    assert retry_failures(scratch, changed.id) == 1


def test_a_row_of_unknown_reference_is_left_alone(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=1)
    assert lease_job(scratch, collection, [1]).write((1, X)).embedded == 1
    scratch.execute("UPDATE imgvec.photo_test_embedding SET reference_hash = NULL")
    assert reconcile(scratch, collection).enqueued == 0


def test_rows_that_changed_before_the_first_listing_are_enqueued_once(connection: Connection) -> None:
    collection = make_photos(connection, rows=3)
    connection.execute("INSERT INTO shop.photo VALUES (4, '4.jpg', 4)")
    connection.execute("UPDATE shop.photo SET file = 'other.jpg' WHERE id = 2")
    assert enqueued(connection, collection) == [2, 4]
    assert list_source(connection, collection) == 2
    assert enqueued(connection, collection) == [1, 2, 3, 4]
