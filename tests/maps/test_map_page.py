"""The map in `imgvec browse`: what its page, points, rows and loops answer."""

import csv
import io
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import numpy as np
import psycopg
import pytest
from colorshop import picture
from flask.testing import FlaskClient
from photostore import new_role
from requires import requires
from test_map_relations import DIMENSIONS, vector_of

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.maps.make_map import MapOptions, make_map
from imgvec_pg.maps.map_tables import has_map
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

pytestmark = requires("openTSNE")

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"
ALL = "((-500,-500),(-500,500),(500,500),(500,-500))"


@pytest.fixture(scope="module")
def shop(
    module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Connection, Collection]]:
    """Give a table of 24 rows with a map; row 1 has a dangerous name, row 2 no picture, rows 3 and 6 one vector."""
    folder = tmp_path_factory.mktemp("photos")
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.photo (id bigint PRIMARY KEY, name text, file text, price numeric)"
        )
        spec = CollectionSpec(
            "photo_test", "shop.photo", image=["file"], model=f"test/{DIMENSIONS}", dimensions=DIMENSIONS,
            has_text=True, root=str(folder),
        )  # fmt: skip
        collection = create_collection(connection, spec)
        for key in range(24):
            name = EVIL if key == 1 else "=1+1" if key == 4 else f"photo {key}"
            connection.execute(
                "INSERT INTO shop.photo VALUES (%s, %s, %s, %s)", [key, name, f"{key}.png", key]
            )
            connection.execute(
                "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
                " VALUES (%s, %s, 1, sha256(%s::text::bytea), 'fp32')",
                [key, vector_of(3 if key == 6 else key), key],
            )
            if key != 2:
                (folder / f"{key}.png").write_bytes(picture("red"))
        make_map(connection, collection, MapOptions(clusters=3))
        yield connection, collection


@pytest.fixture
def client(shop: tuple[Connection, Collection]) -> FlaskClient:
    client = pages_app(shop[0].info.dsn, TOKEN, "photo_test").test_client()
    client.get(f"/?token={TOKEN}")
    return client


def place_of(connection: Connection, key: int) -> str:
    row = connection.execute("SELECT x, y FROM imgvec.map_photo_test WHERE id = %s", [key]).fetchone()
    assert row is not None
    # As JavaScript prints what a Float32Array holds.
    return "x={!r}&y={!r}".format(*(float(np.float32(value)) for value in row))


def test_the_page_needs_the_token_and_names_its_own_scripts_alone(
    client: FlaskClient, shop: tuple[Connection, Collection]
) -> None:
    stranger = pages_app(shop[0].info.dsn, TOKEN, "photo_test").test_client()
    assert [stranger.get(f"/map/{path}").status_code for path in ("", "points", "loop.csv")] == [403] * 3
    answer = client.get("/map/")
    assert answer.status_code == 200 and 'aria-current="page">Map<' in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<script>" not in answer.text and "style=" not in answer.text
    for name in ("points.js", "map.js", "panel.js", "page.js", "map.css"):
        with client.get(f"/map/web/{name}") as sent:
            assert sent.status_code == 200


def test_points_come_as_bytes_coloured_as_asked(client: FlaskClient) -> None:
    answer = client.get("/map/points?by=price")
    length = int.from_bytes(answer.data[:4], "little")
    head = json.loads(answer.data[4 : 4 + length])
    assert (head["count"], head["by"], head["isScale"]) == (24, "price", True)
    assert len(answer.data) == 4 + length + 24 * 13
    refused = client.get("/map/points?by=colour", headers={"X-Imgvec-Part": "1"})
    assert refused.status_code == 400 and "expected cluster or one of" in refused.text


def test_the_row_at_a_place_is_told_and_its_picture_shown(
    client: FlaskClient, shop: tuple[Connection, Collection]
) -> None:
    told = client.get(f"/map/row?{place_of(shop[0], 1)}").json
    assert told == {"title": EVIL, "lines": ["id 1"], "href": "/?row=1"}
    assert (
        client.get(f"/map/row?{place_of(shop[0], 6)}").json["lines"][-1]
        == "and 1 more rows of the same picture"
    )
    assert client.get(f"/map/picture?{place_of(shop[0], 1)}").mimetype == "image/jpeg"
    assert client.get(f"/map/picture?{place_of(shop[0], 2)}").status_code == 404
    for place, status in (
        ("x=900&y=900", 404),
        ("x=nan&y=1", 400),
        ("x=1e300&y=1", 400),
        ("x=one&y=1", 400),
        ("y=1", 400),
    ):
        assert client.get(f"/map/row?{place}").status_code == status


def test_a_rows_page_leads_to_its_place_where_the_role_sees_it(
    client: FlaskClient, shop: tuple[Connection, Collection]
) -> None:
    connection, _ = shop
    [(x, y)] = re.findall(r'href="/map/\?at=([-\d.]+),([-\d.]+)"', unquote(client.get("/row/4").text))
    assert client.get(f"/map/row?x={x}&y={y}").json["lines"] == ["id 4"]
    with new_role(connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as role:
        connection.execute(psycopg.sql.SQL("ALTER ROLE {} LOGIN").format(psycopg.sql.Identifier(role)))
        dsn = psycopg.conninfo.make_conninfo(connection.info.dsn, user=role)
        reader = pages_app(dsn, TOKEN, "photo_test").test_client()
        reader.get(f"/?token={TOKEN}")
        assert "/map/?at=" in reader.get("/row/4").text
        connection.execute("REVOKE SELECT ON imgvec.photo_test_map_point FROM imgvec_reader")
        try:
            hidden = reader.get("/row/4")
            assert hidden.status_code == 200 and "/map/?at=" not in hidden.text
        finally:
            connection.execute("GRANT SELECT ON imgvec.photo_test_map_point TO imgvec_reader")


def test_the_rows_within_a_loop_are_a_table_and_a_file(client: FlaskClient) -> None:
    table = client.get(f"/map/loop?loop={quote(ALL)}")
    assert table.text.count("<tr>") == 25 and EVIL not in table.text
    found = client.get(f"/map/loop.csv?loop={quote(ALL)}")
    assert "attachment" in found.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(found.text)))
    assert rows[0] == ["id", "name", "file", "price"] and len(rows) == 25
    assert rows[5][1] == "'=1+1", "a spreadsheet would run it"
    nowhere = quote("((900,900),(901,900),(901,901))")
    assert len(client.get(f"/map/loop.csv?loop={nowhere}").text.splitlines()) == 1
    for bad in ("", "((0,0),(1,1))", "((0,0),(1,1),(1,0)) OR true", "((0,0),(1,1),(1e9,0))"):
        assert client.get(f"/map/loop?loop={quote(bad)}").status_code == 400


def test_without_a_map_the_page_says_how_to_make_one(
    client: FlaskClient, shop: tuple[Connection, Collection]
) -> None:
    connection, collection = shop
    connection.execute("ALTER VIEW imgvec.map_photo_test RENAME TO away")
    try:
        assert not has_map(connection, collection)
        assert "imgvec map photo_test" in client.get("/map/").text
        assert (
            "make it with: imgvec map photo_test"
            in client.get("/map/points", headers={"X-Imgvec-Part": "1"}).text
        )
    finally:
        connection.execute("ALTER VIEW imgvec.away RENAME TO map_photo_test")
