"""imgvec export and import of the same: the rows, their state, and what becomes of them afterwards."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colorshop import COLORS, picture
from filedrop import Imgvec, unit_vectors
from photostore import enqueued, make_collection

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.registry import get_collection

ROWS = "SELECT id, embedding::text, content_hash, reference_hash FROM imgvec.shoe_embedding ORDER BY id"
CREATE = (
    "collection",
    "create",
    "shoe",
    "--source",
    "shop.shoe",
    "--image",
    "picture",
    "--model",
    "color-grid",
)


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


@pytest.fixture
def filled(connection: Connection, imgvec: Imgvec) -> Connection:
    """A shop of eight pictures, all embedded by the command."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.shoe (id integer PRIMARY KEY, name text, price numeric(8,2), made timestamptz, picture bytea)"
    )
    for number, color in enumerate(COLORS, 1):
        connection.execute(
            "INSERT INTO shop.shoe VALUES (%s, %s, %s, %s, %s)",
            [
                number,
                color,
                number / 4,
                None if number == 1 else f"2026-01-0{number} 12:00+01",
                picture(color),
            ],
        )
    imgvec(*CREATE)
    imgvec("backfill", "shoe")
    return connection


def rows(connection: Connection, statement: str = ROWS) -> list[tuple[Any, ...]]:
    return connection.execute(statement).fetchall()


@pytest.mark.parametrize("layout", ["parquet", "npy", "lance"])
@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_an_export_comes_back_as_it_was(
    filled: Connection, imgvec: Imgvec, tmp_path: Path, layout: str, kind: str
) -> None:
    before = rows(filled)
    assert len(before) == len(COLORS) and all(hashed for _, _, hashed, _ in before)
    said = imgvec("export", "shoe", tmp_path / "out", "--format", layout, "--vectors", kind)
    assert "8 vectors of color-grid" in said
    imgvec("collection", "drop", "shoe", "--yes")
    imgvec(*CREATE)
    assert "8 of 8 rows imported" in imgvec("import", "shoe", tmp_path / "out")
    assert rows(filled) == before
    states = rows(filled, "SELECT DISTINCT version, precision FROM imgvec.shoe_embedding")
    assert states == [(0, "imported")]
    # Nothing is left for a worker; it builds the index alone.
    imgvec("backfill", "shoe")
    assert rows(filled, "SELECT count(*) FROM imgvec.shoe_embedding WHERE precision <> 'imported'") == [(0,)]
    assert "in step" in imgvec("verify", "shoe", "--contents")
    # Yellow, magenta and black are 2/3 from red.
    assert "0.6667" in imgvec("search", "--like", "1", "--collection", "shoe", "-k", "1")


def test_an_export_without_rows_is_told_so(filled: Connection, imgvec: Imgvec, tmp_path: Path) -> None:
    filled.execute("TRUNCATE imgvec.shoe_embedding")
    for layout in ("parquet", "npy", "lance"):
        assert "0 vectors" in imgvec("export", "shoe", tmp_path / layout, "--format", layout)
        assert "has no rows; nothing was imported" in imgvec("import", "shoe", tmp_path / layout, code=2)


def test_a_picture_that_changes_after_an_import_is_embedded_anew(
    filled: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    imgvec("export", "shoe", tmp_path / "out")
    imgvec("collection", "drop", "shoe", "--yes")
    imgvec(*CREATE)
    imgvec("import", "shoe", tmp_path / "out")
    collection = get_collection(filled, "shoe")
    assert enqueued(filled, collection) == []
    filled.execute("UPDATE shop.shoe SET price = 3")
    assert enqueued(filled, collection) == []
    filled.execute("UPDATE shop.shoe SET picture = %s WHERE id = 2", [picture("black")])
    assert enqueued(filled, collection) == [2]
    imgvec("backfill", "shoe")
    changed = rows(
        filled, "SELECT id, embedding::text FROM imgvec.shoe_embedding WHERE precision <> 'imported'"
    )
    black = rows(filled, "SELECT embedding::text FROM imgvec.shoe_embedding WHERE id = 8")
    assert changed == [(2, black[0][0])]
    # A second import of the older file covers nothing of that.
    assert "8 had an embedding" in imgvec("import", "shoe", tmp_path / "out")
    assert rows(filled, "SELECT id FROM imgvec.shoe_embedding WHERE precision <> 'imported'") == [(2,)]


def test_rows_that_changed_since_the_export_are_left_to_a_worker(
    filled: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    imgvec("export", "shoe", tmp_path / "out")
    imgvec("collection", "drop", "shoe", "--yes")
    filled.execute("UPDATE shop.shoe SET picture = %s WHERE id = 3", [picture("red", (90, 70))])
    imgvec(*CREATE)
    said = imgvec("import", "shoe", tmp_path / "out")
    assert (
        "7 of 8 rows imported" in said
        and "1 have another picture than the export says" in said
        and "(such as 3)" in said
    )
    imgvec("backfill", "shoe")
    same = rows(
        filled, "SELECT count(DISTINCT embedding::text) FROM imgvec.shoe_embedding WHERE id IN (1, 3)"
    )
    assert same == [(1,)]
    filled.execute("DELETE FROM imgvec.shoe_embedding WHERE id = 3")
    assert "1 of 8 rows imported" in imgvec("import", "shoe", tmp_path / "out", "--trust-pictures")


def test_columns_of_the_source_stand_beside_the_vectors(
    filled: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    imgvec("export", "shoe", tmp_path / "out", "--columns", "name, price,made")
    table = pq.read_table(tmp_path / "out" / "part_00000.parquet")
    assert table.column_names == [
        "id",
        "embedding",
        "content_hash",
        "reference_hash",
        "name",
        "price",
        "made",
    ]
    first, second = table.slice(0, 2).to_pylist()
    assert (first["name"], first["price"], first["made"]) == ("red", 0.25, None)
    assert second["made"].isoformat() == "2026-01-02T11:00:00+00:00"
    described = json.loads((tmp_path / "out" / "_imgvec.json").read_text())
    assert described["model"] == "color-grid" and described["rows"] == 8 and described["is_finished"] is True
    assert len(described["fingerprint"]) == 64 and np.shape(described["golden"]["image"])[0] == 3
    assert described["key"] == {"id": "integer"} and described["columns"] == ["name", "price", "made"]


KEYS = {
    "uuid": "md5(i::text)::uuid",
    "text": "'key ' || i || chr(233) || repeat('x', i % 3)",
    "numeric": "i + 0.5",
    "date": "'2000-01-01'::date + i",
    "timestamp with time zone": "'2000-01-01 00:00:00.123456+00'::timestamptz + i * interval '1 hour'",
    "smallint": "i",
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("layout", ["parquet", "npy", "lance"])
def test_keys_of_any_type_come_back(
    connection: Connection, imgvec: Imgvec, tmp_path: Path, kind: str, layout: str
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(f'CREATE TABLE shop.photo ("the key" {kind} PRIMARY KEY, file text)')
    connection.execute(
        f"INSERT INTO shop.photo SELECT {KEYS[kind]}, i || '.jpg' FROM generate_series(1, 20) AS i"
    )
    make_collection(connection)
    written = unit_vectors(20)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding SELECT \"the key\", v::halfvec, 3, '', 'fp32' FROM"
        ' (SELECT p.*, row_number() OVER (ORDER BY "the key") AS n FROM shop.photo p) AS p'
        " JOIN unnest(%s::text[]) WITH ORDINALITY AS t(v, n)"
        " USING (n)",
        [[str(row.tolist()) for row in written]],
    )
    statement = 'SELECT "the key"::text, embedding::text FROM imgvec.photo_test_embedding ORDER BY "the key"'
    before = rows(connection, statement)
    imgvec("export", "photo_test", tmp_path / "out", "--format", layout)
    connection.execute("TRUNCATE imgvec.photo_test_embedding")
    assert "20 of 20" in imgvec("import", "photo_test", tmp_path / "out")
    assert rows(connection, statement) == before


def test_a_key_of_two_columns_comes_back(connection: Connection, imgvec: Imgvec, tmp_path: Path) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.sale (tenant text, number integer, file text, PRIMARY KEY (tenant, number))"
    )
    connection.execute(
        "INSERT INTO shop.sale SELECT chr(97 + i % 3), i, i || '.jpg' FROM generate_series(1, 30) AS i"
    )
    make_collection(connection, "shop.sale", "sale_test")
    connection.execute(
        "INSERT INTO imgvec.sale_test_embedding SELECT tenant, number, '[0.6,0.8,0]', 1, '', 'fp32' FROM shop.sale"
    )
    imgvec("export", "sale_test", tmp_path / "out")
    connection.execute("TRUNCATE imgvec.sale_test_embedding")
    connection.execute("DELETE FROM shop.sale WHERE number = 7")
    said = imgvec("import", "sale_test", tmp_path / "out", code=4)
    assert "29 of 30" in said and "1 are of no row in shop.sale (such as b, 7)" in said
