"""Radius search in SQL: every row within, or an error that says how many; anti-joins; a check as a picture comes in."""

import numpy as np
import psycopg
import pytest
from asking import PATIENT, answering
from colorshop import make_shop, picture
from photostore import as_role, embed, make_collection, make_photos, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.setup.text_relay import install_relay


def at(degrees: float) -> list[float]:
    """A vector in the plane."""
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees))), 0.0]


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give rows 1 to 90, one a degree."""
    collection = make_photos(connection, rows=90)
    embed(connection, collection, {key: at(key) for key in range(1, 91)})
    return collection


NEAR = (
    "SELECT id FROM imgvec.within_at_most_photo_test(%s::halfvec, %s::float8, %s::int) ORDER BY distance, id"
)


def test_every_row_within_or_an_error_that_says_how_many(connection: Connection, photos: Collection) -> None:
    radius = 1 - float(np.cos(np.radians(10.5)))
    assert len(connection.execute(NEAR, [str(at(45)), radius, 21]).fetchall()) == 21
    with pytest.raises(
        psycopg.errors.ProgramLimitExceeded,
        match=r"21 rows are within the distance 0\.01\d+; expected at most 20",
    ):
        connection.execute(NEAR, [str(at(45)), radius, 20])
    assert connection.execute(NEAR, ["[0,0,1]", 0.5, 1]).fetchall() == []


@pytest.mark.parametrize(
    ("query", "distance", "most", "message"),
    [
        (None, 0.1, 5, "the query is NULL"),
        ("[0,0,0]", 0.1, 5, "the query is a zero vector"),
        ("[1,0,0]", 3, 5, "the distance is 3; expected 0 to 2"),
        ("[1,0,0]", 0.1, 0, "most is 0; expected 1 or more"),
        ("[1,0,0]", 0.1, None, "most is NULL; expected 1 or more"),
    ],
)
def test_what_is_no_question_raises(
    connection: Connection,
    photos: Collection,
    query: str | None,
    distance: float,
    most: int | None,
    message: str,
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        connection.execute(NEAR, [query, distance, most])


def test_readers_are_counted_the_rows_they_see(connection: Connection) -> None:
    connection.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price int)"
    )
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 9) AS i")
    connection.execute(
        "ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY; CREATE POLICY cheap ON shop.photo USING (price < 4)"
    )
    embed(connection, make_collection(connection), {key: at(key) for key in range(1, 10)})
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(connection, *grants) as role, as_role(connection, role):
        assert connection.execute(NEAR, ["[1,0,0]", 1.0, 3]).fetchall() == [(1,), (2,), (3,)]
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="3 rows are within"):
            connection.execute(NEAR, ["[1,0,0]", 1.0, 2])
    with (
        new_role(connection) as stranger,
        as_role(connection, stranger),
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(NEAR, ["[1,0,0]", 1.0, 3])


def test_a_picture_is_checked_in_one_statement_as_it_comes_in(connection: Connection, database: str) -> None:
    shop = make_shop(connection)
    install_relay(connection)
    check = (
        "SELECT w.id, round(w.distance::numeric, 3) FROM imgvec.within_product_color("
        "imgvec.embed_image('product_color', %s), 0.05) AS w"
    )
    connection.execute(PATIENT)
    with answering(database, shop):
        assert connection.execute(check, [picture("red", (9, 9))]).fetchall() == [(1, 0)]
        assert connection.execute(check, [picture("blue")]).fetchall() == [(5, 0)]
    connection.execute("SET imgvec.text_timeout = '300 ms'")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no worker of the model"):
        connection.execute(check, [picture("red")])
