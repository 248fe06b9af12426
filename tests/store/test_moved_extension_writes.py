"""ALTER EXTENSION vector SET SCHEMA: the application writes on whatever triggers our tables have, and migrate heals them."""

from dataclasses import replace

import pytest
from photostore import X, Y, Z, embed, embedded, make_photos

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import create_radius_index
from imgvec_pg.store.pictures.picture_table import adopt_shape, prepare_pictures
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import find_stale_functions, refresh_functions

WRITES = (
    "INSERT INTO shop.photo VALUES (9, '9.jpg', 9)",
    "UPDATE shop.photo SET price = price + 1",
    "UPDATE shop.photo SET id = 20 WHERE id = 2",
    "DELETE FROM shop.photo WHERE id = 1",
)
NEAR = "SELECT id FROM imgvec.within_photo_test('[0,1,0]', 0.1)"


@pytest.fixture(params=["radius", "pictures"])
def moved(request: pytest.FixtureRequest, connection: Connection) -> Collection:
    collection = make_photos(connection, rows=4)
    if request.param == "pictures":
        wanted = replace(collection, by_picture=True)
        prepare_pictures(connection, wanted)
        adopt_shape(connection, wanted, "public")
    embed(connection, collection, {1: X, 2: Y, 3: Z, 4: X})
    if request.param == "radius":
        create_radius_index(connection, collection)
    connection.execute("CREATE SCHEMA ext; ALTER EXTENSION vector SET SCHEMA ext")
    return get_collection(connection, "photo_test")


def test_the_application_writes_on(connection: Connection, database: str, moved: Collection) -> None:
    # A session of its own has compiled no trigger function yet.
    with connect(database) as application:
        for statement in WRITES:
            assert application.execute(statement.encode()).rowcount > 0
        assert embedded(application, moved) == [3, 4, 20]
        if moved.has_radius_index:
            kept = "SELECT id FROM imgvec.photo_test_coordinates ORDER BY id"
            assert application.execute(kept.encode()).fetchall() == [(3,), (4,), (20,)]
        application.execute("TRUNCATE shop.photo CASCADE")
        assert embedded(application, moved) == []


def test_migrate_makes_their_functions_again(
    connection: Connection, database: str, moved: Collection
) -> None:
    name = "photo_test_on_coordinates" if moved.has_radius_index else "photo_test_on_unknown_picture"
    assert name in find_stale_functions(connection).names
    refresh_functions(connection)
    assert find_stale_functions(connection).names == ()
    with connect(database) as application:
        application.execute("SET search_path = public, ext")
        application.execute("INSERT INTO shop.photo VALUES (7, '7.jpg', 7)")
        embed(application, moved, {7: Y})
        application.execute("UPDATE shop.photo SET id = 8 WHERE id = 7")
        assert sorted(application.execute(NEAR.encode()).fetchall()) == [(2,), (8,)]
