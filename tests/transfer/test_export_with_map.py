"""imgvec export --map: places on the map stand beside the vectors, as embedding-atlas and others draw them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec
from photostore import X, Y, Z, embed, make_photos

from imgvec_pg.database.connect import Connection
from imgvec_pg.maps.map_tables import prepare_map


@pytest.fixture
def imgvec(connection: Connection, database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    """Three photos with vectors, and a map that two of them are on."""
    collection = make_photos(connection, 3)
    embed(connection, collection, {1: X, 2: Y, 3: Z})
    imgvec = Imgvec(database, capsys)
    assert "photo_test has no map; make one first: imgvec map photo_test" in imgvec(
        "export", "photo_test", "nowhere", "--map", code=2
    )
    prepare_map(connection, collection)
    connection.execute(
        "INSERT INTO imgvec.photo_test_map_cluster VALUES (0, 'shoes', 0, 0), (1, 'bags', 1, 1);"
        "INSERT INTO imgvec.photo_test_map_point (id, x, y, cluster, is_landmark, is_later, version, embedded_at)"
        " SELECT e.id, e.id / 3.0, -e.id, e.id - 1, true, false, e.version, e.embedded_at"
        " FROM imgvec.photo_test_embedding AS e WHERE e.id < 3"
    )
    return imgvec


@pytest.mark.parametrize("layout", ["parquet", "npy"])
def test_each_row_has_its_place_and_its_cluster(imgvec: Imgvec, tmp_path: Path, layout: str) -> None:
    imgvec("export", "photo_test", tmp_path / "out", "--map", "--columns", "price", "--format", layout)
    (file,) = (tmp_path / "out").glob("*.parquet")
    rows = pq.read_table(file, columns=["id", "price", "x", "y", "cluster"]).to_pylist()
    third = float(np.float32(1 / 3))
    assert rows == [
        {"id": 1, "price": 1.0, "x": third, "y": -1.0, "cluster": "shoes"},
        {"id": 2, "price": 2.0, "x": float(np.float32(2 / 3)), "y": -2.0, "cluster": "bags"},
        {"id": 3, "price": 3.0, "x": None, "y": None, "cluster": None},
    ]
    assert imgvec.json("import", "photo_test", tmp_path / "out")["embedded"] == 3


def test_a_column_of_the_sources_own_with_such_a_name_is_refused(
    imgvec: Imgvec, connection: Connection, tmp_path: Path
) -> None:
    connection.execute("ALTER TABLE shop.photo ADD cluster int")
    said = imgvec("export", "photo_test", tmp_path / "out", "--map", "--columns", "cluster", code=2)
    assert 'an export has a column "cluster" of its own' in said
    assert not (tmp_path / "out").exists()
    imgvec("export", "photo_test", tmp_path / "out", "--columns", "cluster")
