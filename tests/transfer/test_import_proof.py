"""Whether vectors are the collection's model's: told by an export itself, else by embedding rows again."""

import json
from pathlib import Path

import numpy as np
import pytest
from colorshop import COLORS, embedding, make_shop
from filedrop import Imgvec, write_vectors
from imgvec_test_embedder import FINGERPRINT
from photostore import embedded

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

KEYS = list(range(1, len(COLORS) + 1))
RIGHT = np.stack([embedding(color) for color in COLORS])


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


@pytest.fixture
def shop(connection: Connection) -> Collection:
    collection = make_shop(connection)
    connection.execute("TRUNCATE imgvec.product_color_embedding")
    return collection


def take_in(imgvec: Imgvec, path: object, *options: object, code: int = 0) -> str:
    return imgvec("import", "product_color", path, *options, code=code)


def test_vectors_of_the_model_are_taken_by_themselves(
    connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, RIGHT * 7))
    assert "by color-grid: median cosine 1.000 of 8 rows embedded again" in said
    assert embedded(connection, shop) == KEYS


def test_vectors_of_another_model_are_refused(
    connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    path = write_vectors(tmp_path / "v.parquet", KEYS, np.roll(RIGHT, 5, axis=1))
    said = take_in(imgvec, path, code=1)
    assert "the vectors are not by color-grid as it is here (median cosine" in said
    assert embedded(connection, shop) == []
    take_in(imgvec, path, "--trust-model")
    assert embedded(connection, shop) == KEYS


def test_a_mixture_of_two_models_is_refused(
    connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    mixed = np.concatenate([RIGHT[:6], -RIGHT[6:]])
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, mixed), code=1)
    assert "a part of the vectors is not by color-grid" in said and "2 of them below 0.95" in said
    assert embedded(connection, shop) == []


def test_keys_of_no_row_prove_nothing(
    connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", [key + 100 for key in KEYS], RIGHT), code=1)
    assert "no picture could be had: none of the sample's keys is a row here" in said


def test_a_model_that_cannot_be_loaded_proves_nothing(
    connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    connection.execute("UPDATE imgvec.model SET name = 'local-dir:/nowhere'")
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, RIGHT), code=1)
    assert "does not say which model made its vectors, and local-dir:/nowhere cannot be loaded" in said
    assert "with --trust-model they are taken for its" in said


@pytest.fixture
def exported(connection: Connection, shop: Collection, imgvec: Imgvec, tmp_path: Path) -> Path:
    take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, RIGHT))
    connection.execute(
        "INSERT INTO imgvec.golden_vector SELECT id, 'image', p, %s, 'fp32' FROM imgvec.model, generate_series(0, 2) AS p"
        " ON CONFLICT (model_id, kind, position) DO UPDATE SET embedding = excluded.embedding",
        [RIGHT[0].tolist()],
    )
    imgvec("export", "product_color", tmp_path / "out")
    connection.execute("TRUNCATE imgvec.product_color_embedding")
    return tmp_path / "out"


def described(directory: Path, **changes: object) -> None:
    path = directory / "_imgvec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


CHANGES = {
    "model": (
        {"model": "ViT-B-32/openai"},
        "the export is of ViT-B-32/openai, collection product_color of color-grid",
    ),
    "fingerprint": (
        {"fingerprint": "f" * 64},
        "by other weights or preprocessing of color-grid (fingerprint ffffffffffff)",
    ),
    "rendering": ({"rendering": 1}, "the export's pictures were rendered by version 1"),
    "golden": (
        {"golden": {"image": (-np.stack([RIGHT[0]] * 3)).tolist()}},
        "makes other vectors of the fixed pictures and texts",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_export_of_another_model_is_refused(
    connection: Connection, shop: Collection, imgvec: Imgvec, exported: Path, what: str
) -> None:
    changes, told = CHANGES[what]
    described(exported, **changes)
    assert told in take_in(imgvec, exported, code=1)
    assert embedded(connection, shop) == []
    take_in(imgvec, exported, "--trust-model")
    assert embedded(connection, shop) == KEYS


def test_an_export_stamps_a_model_that_no_worker_has_loaded(
    connection: Connection, shop: Collection, imgvec: Imgvec, exported: Path
) -> None:
    """So that a worker with other weights refuses to mix its vectors in."""
    connection.execute("UPDATE imgvec.model SET fingerprint = NULL; DELETE FROM imgvec.golden_vector")
    take_in(imgvec, exported)
    assert connection.execute("SELECT fingerprint FROM imgvec.model").fetchone() == (FINGERPRINT,)
    assert connection.execute("SELECT count(*) FROM imgvec.golden_vector").fetchone() == (3,)


def test_an_export_that_was_cut_off_or_lost_a_part_is_refused(
    connection: Connection, shop: Collection, imgvec: Imgvec, exported: Path
) -> None:
    described(exported, rows=9)
    assert "has 8 rows; _imgvec.json says 9: parts are missing" in take_in(imgvec, exported, code=2)
    described(exported, is_finished=False)
    assert "was cut off; finish it first with the same imgvec export product_color" in take_in(
        imgvec, exported, code=2
    )
    described(exported, format_version=99)
    assert "written by a newer release" in take_in(imgvec, exported, code=2)
    (exported / "_imgvec.json").write_text("{")
    assert "is not what imgvec export writes" in take_in(imgvec, exported, code=2)
    assert embedded(connection, shop) == []
