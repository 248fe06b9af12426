"""Exported files open in DuckDB, LanceDB, numpy and pyarrow as they are, and give the same neighbours."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec, unit_vectors, write_vectors
from photostore import make_photos

from imgvec_pg.database.connect import Connection

ROWS, DIMENSIONS = 300, 32
VECTORS = unit_vectors(ROWS, DIMENSIONS)


@pytest.fixture
def imgvec(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Imgvec:
    make_photos(connection, ROWS, dimensions=DIMENSIONS)
    imgvec = Imgvec(database, capsys)
    path = write_vectors(tmp_path / "v.parquet", list(range(1, ROWS + 1)), VECTORS)
    imgvec("import", "photo_test", path, "--trust-model")
    return imgvec


@pytest.fixture
def nearest(connection: Connection, imgvec: Imgvec) -> list[int]:
    """The ten rows nearest to row 7, itself first, as the database has them."""
    rows = connection.execute(
        "SELECT e.id FROM imgvec.photo_test_embedding AS e, imgvec.photo_test_embedding AS q WHERE q.id = 7"
        " ORDER BY e.embedding <=> q.embedding, e.id LIMIT 10"
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_duckdb(imgvec: Imgvec, nearest: list[int], tmp_path: Path, kind: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    imgvec("export", "photo_test", tmp_path / "out", "--vectors", kind, "--columns", "price")
    found = duckdb.sql(
        f"WITH v AS (SELECT id, price, embedding::FLOAT[{DIMENSIONS}] AS embedding FROM '{tmp_path}/out/*.parquet')"
        " SELECT v.id, v.price FROM v, v AS q WHERE q.id = 7 ORDER BY array_cosine_distance(v.embedding, q.embedding) LIMIT 10"
    ).fetchall()
    assert [key for key, _ in found] == nearest
    assert [price for _, price in found] == [float(key) for key in nearest]


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_lancedb(imgvec: Imgvec, nearest: list[int], tmp_path: Path, kind: str) -> None:
    lancedb = pytest.importorskip("lancedb")
    imgvec("export", "photo_test", tmp_path / "out", "--vectors", kind)
    table = pq.read_table(tmp_path / "out")
    made = lancedb.connect(str(tmp_path / "lance")).create_table("photo", table)
    query = table.column("embedding")[6].as_py()
    found = made.search(query, vector_column_name="embedding").distance_type("cosine").limit(10).to_list()
    assert [row["id"] for row in found] == nearest


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_a_table_of_lancedb(imgvec: Imgvec, nearest: list[int], tmp_path: Path, kind: str) -> None:
    lancedb = pytest.importorskip("lancedb")
    imgvec(
        "export", "photo_test", tmp_path / "out", "--format", "lance", "--vectors", kind, "--columns", "price"
    )
    table = lancedb.connect(str(tmp_path / "out")).open_table("photo_test")
    (seventh,) = table.search().where("id = 7").to_list()
    found = (
        table.search(seventh["embedding"], vector_column_name="embedding").distance_type("cosine").limit(10)
    )
    rows = found.to_list()
    assert [row["id"] for row in rows] == nearest
    assert [row["price"] for row in rows] == [float(key) for key in nearest]


def test_numpy(imgvec: Imgvec, nearest: list[int], tmp_path: Path) -> None:
    imgvec("export", "photo_test", tmp_path / "out", "--format", "npy")
    vectors = np.load(tmp_path / "out" / "embeddings_00000.npy").astype(np.float32)
    keys = pq.read_table(tmp_path / "out" / "keys_00000.parquet").column("id").to_numpy()
    assert keys[np.argsort(-vectors @ vectors[6])[:10]].tolist() == nearest


def test_pyarrow(imgvec: Imgvec, tmp_path: Path) -> None:
    imgvec("export", "photo_test", tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "part_00000.parquet")
    assert table.schema.field("embedding").type.list_size == DIMENSIONS
    flat = table.column("embedding").combine_chunks().flatten().to_numpy()
    assert np.abs(flat.reshape(ROWS, DIMENSIONS) - VECTORS).max() < 1e-3
