"""`imgvec worker --duplicates`: what is new is compared beside the worker, as the last run was asked to."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from colorshop import make_shop, picture
from test_following_runs import make_table, put, search
from workers import PATIENCE_SECONDS, running

from imgvec_pg.cli.backfill.duplicate_searches import searching_duplicates
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection


@pytest.fixture
def photos(connection: Connection) -> Collection:
    collection = make_table(connection)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', 10 - i FROM generate_series(1, 8) AS i")
    for key in range(1, 5):
        put(connection, key, key % 2, 0.02)
    return collection


def soon(happened: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_new_rows_are_compared_as_the_last_run_was_asked_to(
    connection: Connection, photos: Collection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search(connection, photos, keep=["price ASC"], where="price > 2")
    keepers = "SELECT array_agg(id ORDER BY id) FROM imgvec.duplicate_group_photo_test WHERE is_keeper"
    assert connection.execute(keepers).fetchone() == ([3, 4],)
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "photo_test: 1 row compared for duplicates; 4 pairs in 2 groups" in said

    with searching_duplicates(database, ["photo_test"], 0.2):
        put(connection, 5, 1, 0.02)
        put(connection, 8, 1, 0.02)
        assert soon(lambda: connection.execute(keepers).fetchone() == ([4, 5],))
        # It is said once it can be seen.
        assert soon(told), said
    # Of price 2: the condition leaves it out.
    assert (
        connection.execute("SELECT FROM imgvec.duplicate_photo_test WHERE 8 IN (id, other_id)").fetchone()
        is None
    )


def test_where_duplicates_were_never_looked_for_nothing_is_made(
    connection: Connection, photos: Collection, database: str
) -> None:
    with searching_duplicates(database, ["photo_test"], 0.05):
        time.sleep(1)
    assert connection.execute("SELECT to_regclass('imgvec.duplicate_photo_test')").fetchone() == (None,)


def test_what_goes_wrong_is_one_line_and_tried_again(
    connection: Connection, photos: Collection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search(connection, photos, where="price > 2")
    connection.execute("ALTER TABLE shop.photo RENAME price TO cost")
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "duplicates of photo_test were not looked for: PostgreSQL does not take the condition" in said

    with searching_duplicates(database, ["photo_test"], 0.2):
        assert soon(told)
        connection.execute("ALTER TABLE shop.photo RENAME cost TO price")
        put(connection, 5, 1, 0.02)
        pair = "SELECT count(*) FROM imgvec.duplicate_photo_test WHERE 5 IN (id, other_id)"
        assert soon(lambda: connection.execute(pair).fetchone() == (2,))


def test_a_run_of_another_is_no_trouble(
    connection: Connection, photos: Collection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search(connection, photos)
    with connect(database) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(1768777079, %s)", [photos.id])
        put(connection, 5, 1, 0.02)
        with searching_duplicates(database, ["photo_test"], 0.1):
            time.sleep(1)
    assert capsys.readouterr().err == ""


def test_a_real_worker_embeds_an_upload_and_finds_what_it_is_a_copy_of(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    shop = make_shop(connection)
    connection.execute("DELETE FROM imgvec.job")
    search(connection, shop)
    found = "SELECT id, other_id FROM imgvec.duplicate_product_color"
    with running(
        database, plugin_environment, tmp_path, "worker", "product_color", "--duplicates", "1"
    ) as worker:
        connection.execute(
            "INSERT INTO shop.product (id, name, picture) VALUES (90, 'again', %s)", [picture("red", (9, 9))]
        )
        assert soon(lambda: connection.execute(found).fetchall() == [(1, 90)]), worker.log.read_text()
        connection.execute("DELETE FROM shop.product WHERE id = 1")
        connection.execute(
            "INSERT INTO shop.product (id, name, picture) VALUES (91, 'third', %s)", [picture("red", (7, 7))]
        )
        assert soon(lambda: connection.execute(found).fetchall() == [(90, 91)]), worker.log.read_text()
        worker.send(signal.SIGTERM)
        assert worker.wait() == 143
