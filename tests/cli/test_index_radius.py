"""imgvec index create, show and drop with --radius; verify and doctor beside it."""

import json

import pytest
from command_line import Imgvec, command_line
from photostore import make_photos, new_role
from vectorstore import make_items

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import create_radius_index

ROWS = 1200


@pytest.fixture
def imgvec(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return command_line(database, monkeypatch, capsys)


@pytest.fixture
def items(connection: Connection) -> Collection:
    return make_items(connection, ROWS)


def test_created_shown_and_dropped(connection: Connection, items: Collection, imgvec: Imgvec) -> None:
    code, out, _ = imgvec("index", "create", "item_test", "--radius", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "  nothing was changed")
    assert out.startswith("item_test: radius index of 1,200 rows, about ")
    assert "radius" not in imgvec("index", "show", "item_test")[1]
    code, out, _ = imgvec("index", "create", "item_test", "--radius")
    assert code == 0 and out.startswith("item_test: the radius index is ready, 1,200 rows, ")
    assert "radius index item_test_coordinates (" in imgvec("index", "show", "item_test")[1]
    assert json.loads(imgvec("index", "show", "item_test", "--json")[1])["radius"]["in_use"] is True
    code, _, err = imgvec("index", "create", "item_test", "--radius")
    assert code == 1 and "has a radius index; to make it anew" in err
    code, out, _ = imgvec("index", "drop", "item_test", "--radius", "--yes")
    assert code == 0 and "dropped item_test_coordinates, item_test_axis" in out
    code, _, err = imgvec("index", "drop", "item_test", "--radius", "--yes")
    assert code == 1 and "has no radius index; nothing was dropped" in err
    assert connection.execute("SELECT FROM pg_proc WHERE proname = 'item_test_on_coordinates'").rowcount == 0


def test_what_it_cannot_be_made_of_or_with_is_refused(connection: Connection, imgvec: Imgvec) -> None:
    make_photos(connection, rows=3)
    code, _, err = imgvec("index", "create", "photo_test", "--radius", "--m", "16")
    assert code == 2 and "--m is of an index over vectors" in err
    code, _, err = imgvec("index", "create", "photo_test", "--radius")
    assert code == 1 and "has no embedded row yet" in err
    assert connection.execute("SELECT to_regclass('imgvec.photo_test_axis')").fetchone() == (None,)


def test_a_role_that_does_not_own_the_table_is_told_who_may(
    connection: Connection, items: Collection, database: str
) -> None:
    with new_role(connection, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.item") as role:
        connection.execute(f"ALTER ROLE {role} LOGIN".encode())
        with (
            connect(f"{database} user={role}") as other,
            pytest.raises(Exception, match="have the owner of imgvec"),
        ):
            create_radius_index(other, items)


def test_doctor_and_show_tell_of_one_half_made_and_of_one_whose_triggers_are_off(
    connection: Connection, items: Collection, imgvec: Imgvec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.store.radius.fill.PAGE_ROWS", 100)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_radius_index(connection, items, stop)
    assert (
        "not complete, not in use; go on with: imgvec index create item_test --radius"
        in imgvec("index", "show", "item_test")[1]
    )
    assert "a radius index was begun and is not complete" in imgvec("doctor")[1]
    assert imgvec("index", "create", "item_test", "--radius")[0] == 0
    assert "radius index" not in imgvec("doctor")[1]
    connection.execute("ALTER TABLE imgvec.item_test_embedding DISABLE TRIGGER imgvec_coordinates_update")
    assert "rows may be missed" in imgvec("index", "show", "item_test")[1]
    code, out, _ = imgvec("doctor")
    assert code != 0 and "may miss rows written since" in out
    connection.execute(
        "UPDATE imgvec.item_test_embedding AS e SET embedding = o.embedding "
        "FROM imgvec.item_test_embedding AS o WHERE o.id = 1 AND e.id = 2"
    )
    code, out, _ = imgvec("verify", "item_test")
    assert code != 0 and "the radius index has not their coordinates" in out
    imgvec("verify", "item_test", "--repair")
    assert "coordinates" not in imgvec("verify", "item_test")[1]


def test_the_collection_takes_it_along_when_it_goes(
    connection: Connection, items: Collection, imgvec: Imgvec
) -> None:
    create_radius_index(connection, items)
    assert imgvec("collection", "drop", "item_test", "--yes")[0] == 0
    left = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'item_test%'").fetchall()
    assert left == []
