"""Vectors in the files and services of others: LanceDB and FAISS themselves, and a stand-in for Qdrant."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec, unit_vectors, vector_table, write_vectors
from photostore import embedded, make_photos
from qdrant_stand_in import StandIn, served

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

ROWS = 40
KEYS = list(range(1, ROWS + 1))
VECTORS = unit_vectors(ROWS)


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


@pytest.fixture
def photos(connection: Connection) -> Collection:
    return make_photos(connection, ROWS)


def take_in(imgvec: Imgvec, path: object, *options: object, code: int = 0) -> str:
    return imgvec("import", "photo_test", path, "--trust-model", *options, code=code)


def assert_all_are_there(connection: Connection, expected: np.ndarray = VECTORS) -> None:
    rows = connection.execute(
        "SELECT id, embedding::text FROM imgvec.photo_test_embedding ORDER BY id"
    ).fetchall()
    assert [key for key, _ in rows] == KEYS
    found = np.array([[float(part) for part in text.strip("[]").split(",")] for _, text in rows])
    assert np.abs(found - expected).max() < 1e-3


@pytest.fixture
def lance(tmp_path: Path) -> Any:
    lancedb = pytest.importorskip("lancedb")
    return lancedb.connect(str(tmp_path / "lance"))


def test_a_table_of_lancedb(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path, lance: Any
) -> None:
    table = lance.create_table("shoes", vector_table(KEYS[:25], VECTORS[:25], column="vector"))
    table.add(vector_table(KEYS[25:], VECTORS[25:], column="vector"))
    said = take_in(imgvec, tmp_path / "lance" / "shoes.lance")
    assert "40 of 40 rows imported from LanceDB table" in said
    assert_all_are_there(connection)


def test_what_is_no_table_of_lancedb(photos: Collection, imgvec: Imgvec, tmp_path: Path, lance: Any) -> None:
    (tmp_path / "lance" / "none.lance").mkdir(parents=True)
    assert "cannot be read as a LanceDB table" in take_in(imgvec, tmp_path / "lance" / "none.lance", code=2)


FAISS_KINDS = {
    "flat": lambda faiss: faiss.IndexFlatIP(3),
    "flat L2": lambda faiss: faiss.IndexFlatL2(3),
    "id map": lambda faiss: faiss.IndexIDMap2(faiss.IndexFlatIP(3)),
    "ivf": lambda faiss: faiss.IndexIVFFlat(faiss.IndexFlatIP(3), 3, 5, faiss.METRIC_INNER_PRODUCT),
    "id map over ivf": lambda faiss: faiss.IndexIDMap(
        faiss.IndexIVFFlat(faiss.IndexFlatIP(3), 3, 5, faiss.METRIC_INNER_PRODUCT)
    ),
}


@pytest.mark.parametrize("kind", FAISS_KINDS)
def test_an_index_of_faiss(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path, kind: str
) -> None:
    faiss = pytest.importorskip("faiss")
    index = FAISS_KINDS[kind](faiss)
    if not index.is_trained:
        index.train(VECTORS)
    order = np.random.default_rng(3).permutation(ROWS)
    options: list[object] = []
    if kind.startswith("flat"):
        index.add(VECTORS[order])
        np.save(tmp_path / "ids.npy", order + 1)
        options = ["--ids", tmp_path / "ids.npy"]
    else:
        index.add_with_ids(VECTORS[order], order + 1)
    faiss.write_index(index, str(tmp_path / "shoes.faiss"))
    take_in(imgvec, tmp_path / "shoes.faiss", *options)
    assert_all_are_there(connection)


def test_numbers_of_an_index_become_keys_of_a_file(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    """autofaiss and clip-retrieval number rows from 0, and keep their names in parquet files."""
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(3), 3, 5, faiss.METRIC_INNER_PRODUCT)
    index.train(VECTORS)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "image.index"))
    pq.write_table(pa.table({"image_path": [f"{key}.jpg" for key in KEYS]}), tmp_path / "ids.parquet")
    take_in(imgvec, tmp_path / "image.index", "--ids", tmp_path / "ids.parquet", "--match", "file=image_path")
    assert_all_are_there(connection)
    pq.write_table(pa.table({"image_path": [f"{key}.jpg" for key in KEYS[:-1]]}), tmp_path / "ids.parquet")
    said = take_in(
        imgvec,
        tmp_path / "image.index",
        "--ids",
        tmp_path / "ids.parquet",
        "--match",
        "file=image_path",
        code=2,
    )
    assert "has 39 keys; expected a key for each number" in said


def test_an_index_without_exact_vectors_is_refused(
    photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexScalarQuantizer(3, faiss.ScalarQuantizer.QT_8bit)
    index.train(VECTORS)
    index.add(VECTORS)
    faiss.write_index(index, str(tmp_path / "q.faiss"))
    assert "is an IndexScalarQuantizer, which keeps no exact vectors" in take_in(
        imgvec, tmp_path / "q.faiss", code=2
    )
    faiss.write_index(faiss.IndexFlatIP(3), str(tmp_path / "e.faiss"))
    assert "has no id map; say which rows they are of: --ids" in take_in(imgvec, tmp_path / "e.faiss", code=2)
    whole = (tmp_path / "q.faiss").read_bytes()
    (tmp_path / "h.faiss").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as a FAISS index" in take_in(imgvec, tmp_path / "h.faiss", code=2)


def points(named: str | None = None, ids: list[Any] = KEYS) -> list[dict[str, Any]]:
    return [
        {"id": key, "payload": {"number": number, "junk": "x"}, "vector": {named: row} if named else row}
        for number, key, row in zip(KEYS, ids, VECTORS.tolist(), strict=True)
    ]


def test_a_collection_of_qdrant_is_scrolled(
    connection: Connection, photos: Collection, imgvec: Imgvec
) -> None:
    with served(StandIn({"size": 3, "distance": "Cosine"}, points())) as service:
        said = take_in(imgvec, service.url)
    assert "40 of 40 rows imported from Qdrant collection shoes at 127.0.0.1" in said
    assert_all_are_there(connection)
    assert all(body["with_payload"] is False for body in service.asked)
    assert {body["with_vector"] for body in service.asked} == {True, False}


def test_named_vectors_a_key_in_the_payload_and_an_api_key(
    connection: Connection, photos: Collection, imgvec: Imgvec, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = {"clip": {"size": 3}, "text": {"size": 8}}
    ids = [f"00000000-0000-0000-0000-{key:012}" for key in KEYS]
    with served(StandIn(vectors, points("clip", ids), key="of loopback alone")) as service:
        assert "answered 401 Unauthorized; it asks for a key: set QDRANT_API_KEY" in take_in(
            imgvec, service.url, code=2
        )
        monkeypatch.setenv("QDRANT_API_KEY", "of loopback alone")
        assert "has the vectors clip, text; say which ones" in take_in(imgvec, service.url, code=2)
        take_in(imgvec, service.url, "--vector-column", "clip", "--key-column", "id=number")
    assert_all_are_there(connection)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"size": 3, "datatype": "uint8"}, "keeps vectors of uint8: quantised"),
        ({"clip": {"size": 3, "multivector_config": {"comparator": "max_sim"}}}, "several vectors a point"),
    ],
    ids=["uint8", "several"],
)
def test_vectors_of_qdrant_that_are_no_floats_or_several_are_refused(
    connection: Connection, photos: Collection, imgvec: Imgvec, params: dict[str, Any], said: str
) -> None:
    with served(StandIn(params, points())) as service:
        assert said in take_in(imgvec, service.url, code=2)
    assert embedded(connection, photos) == []


def test_a_service_that_fails_midway_is_asked_again(
    connection: Connection, photos: Collection, imgvec: Imgvec
) -> None:
    # The keys take six pages, and come first.
    with served(StandIn({"size": 3}, points(), fails_at=9)) as service:
        assert "answered 500" in take_in(imgvec, service.url, code=2)
        assert 0 < len(embedded(connection, photos)) < ROWS
        take_in(imgvec, service.url)
    assert_all_are_there(connection)


def test_addresses_that_would_leak_or_lead_nowhere(photos: Collection, imgvec: Imgvec) -> None:
    said = take_in(imgvec, "http://vectors.example.com:6333/collections/shoes", code=2)
    assert "would send vectors and the API key unencrypted" in said
    assert "names no collection of Qdrant" in take_in(imgvec, "http://127.0.0.1:1/shoes", code=2)
    assert "cannot be reached" in take_in(imgvec, "http://127.0.0.1:1/collections/shoes", code=2)


def test_a_missing_package_is_named_with_its_extra(
    photos: Collection, imgvec: Imgvec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_vectors(tmp_path / "v.parquet", KEYS, VECTORS)
    (tmp_path / "a.lance").mkdir()
    (tmp_path / "a.faiss").touch()
    for module, place, extra in (
        ("pyarrow", path, "transfer"),
        ("lancedb", tmp_path / "a.lance", "lancedb"),
        ("faiss", tmp_path / "a.faiss", "faiss"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, module, None)
            said = take_in(imgvec, place, code=1)
            assert f"needs the package {module} " in said and f"pip install 'imgvec-pg[{extra}]'" in said
