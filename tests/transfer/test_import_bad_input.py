"""imgvec import of files that are damaged, of something else, or partly unusable: the stated outcome, and nothing half done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec, unit_vectors, vector_table, write_vectors
from photostore import embedded, make_photos

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

ROWS = 20
KEYS = list(range(1, ROWS + 1))


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


@pytest.fixture
def photos(connection: Connection) -> Collection:
    return make_photos(connection, ROWS)


def take_in(imgvec: Imgvec, path: object, *options: object, code: int = 0) -> str:
    return imgvec("import", "photo_test", path, "--trust-model", *options, code=code)


def halved(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def one_bad(row: list[float]) -> np.ndarray:
    vectors = unit_vectors(ROWS)
    vectors[4] = row
    return vectors


PARTLY = {
    "NaN": (one_bad([np.nan, 0, 1]), "1 not taken: with NaN, or without a vector of this length (such as 5)"),
    "infinity": (one_bad([np.inf, 0, 1]), "1 not taken: with infinity"),
    "zero": (one_bad([0, 0, 0]), "1 not taken: of length 0 (such as 5)"),
    "float16 overflow": (
        # As a cast from float32 leaves it: infinity.
        one_bad([np.inf, -np.inf, 0]).astype(np.float16),
        "1 not taken: with infinity: beyond float16's 65,504",
    ),
}


@pytest.mark.parametrize("what", PARTLY)
def test_vectors_that_are_none_are_left_out_and_named(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path, what: str
) -> None:
    vectors, told = PARTLY[what]
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, vectors), code=4)
    assert told in said and "19 of 20 rows imported" in said
    assert embedded(connection, photos) == [key for key in KEYS if key != 5]


def test_each_reason_names_keys_of_its_own(photos: Collection, imgvec: Imgvec, tmp_path: Path) -> None:
    vectors = unit_vectors(ROWS)
    vectors[[1, 2, 3]] = [[0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 1]]
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, vectors), code=4)
    for reason, key in (("of length 0", 2), ("with NaN", 3), ("with infinity", 4)):
        (line,) = [line for line in said.splitlines() if f"1 not taken: {reason}" in line]
        assert line.endswith(f"(such as {key})")


def test_lists_of_another_length_are_left_out_also_where_they_come_first(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    rows = [row[:2] if place in (0, 7) else row for place, row in enumerate(unit_vectors(ROWS).tolist())]
    pq.write_table(pa.table({"id": KEYS, "embedding": rows}), tmp_path / "v.parquet")
    said = take_in(imgvec, tmp_path / "v.parquet", code=4)
    assert "2 not taken: with NaN, or without a vector of this length (such as 1; 8)" in said
    assert embedded(connection, photos) == [key for key in KEYS if key not in (1, 8)]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_unnormalised_vectors_are_divided_by_their_norm(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path, kind: type
) -> None:
    vectors = unit_vectors(ROWS) * np.arange(1, ROWS + 1)[:, None]
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, vectors.astype(kind)))
    assert "19 had another norm than 1, and were divided by it" in said
    stored = connection.execute(
        "SELECT embedding::text FROM imgvec.photo_test_embedding ORDER BY id"
    ).fetchall()
    found = np.array([[float(part) for part in text.strip("[]").split(",")] for (text,) in stored])
    assert np.abs(found - unit_vectors(ROWS)).max() < 1e-3


def test_huge_floats_keep_their_direction(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    take_in(imgvec, write_vectors(tmp_path / "v.parquet", KEYS, unit_vectors(ROWS) * np.float32(1e25)))
    assert len(embedded(connection, photos)) == ROWS


def test_keys_of_no_row_and_keys_without_a_value_are_named(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    connection.execute("UPDATE shop.photo SET file = NULL WHERE id = 3")
    keys = [*map(str, KEYS[:-3]), "soup", "1234567", None]
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", keys, unit_vectors(ROWS)), code=4)
    assert "3 are of no row in shop.photo (such as soup; 1234567; None)" in said
    assert "1 have no picture, and get no vector (such as 3)" in said
    assert embedded(connection, photos) == [key for key in KEYS[:-3] if key != 3]


def test_a_key_that_comes_again_is_taken_once_or_not_at_all(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    keys = [*KEYS, 4, 7]
    vectors = np.concatenate([unit_vectors(ROWS), unit_vectors(ROWS)[[3]], [[0, 0, 1]]]).astype(np.float32)
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", keys, vectors), code=4)
    assert "1 came again with the same vector" in said
    assert "1 come again with another vector: neither was taken (such as 7)" in said
    assert embedded(connection, photos) == [key for key in KEYS if key != 7]


def test_a_row_under_two_texts_of_its_key_stops_no_other(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    keys = [*map(str, KEYS), "07"]
    said = take_in(imgvec, write_vectors(tmp_path / "v.parquet", keys, unit_vectors(ROWS + 1)), code=4)
    assert "2 not taken: of a row that the file has under several texts" in said
    assert "(such as 7; 07)" in said or "(such as 07; 7)" in said
    assert embedded(connection, photos) == [key for key in KEYS if key != 7]


def test_keys_that_are_no_utf_8_are_of_no_row(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    texts = pa.array([*(str(key).encode() for key in KEYS[:-1]), b"20\xff"], pa.binary()).view(pa.string())
    table = vector_table(KEYS, unit_vectors(ROWS)).set_column(0, "id", texts)
    pq.write_table(table, tmp_path / "v.parquet")
    said = take_in(imgvec, tmp_path / "v.parquet", code=4)
    assert "1 are of no row in shop.photo (such as 20\\udcff)" in said
    assert embedded(connection, photos) == KEYS[:-1]


def test_whole_numbers_that_pandas_made_floats_are_keys(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    take_in(imgvec, write_vectors(tmp_path / "v.parquet", [float(key) for key in KEYS], unit_vectors(ROWS)))
    assert embedded(connection, photos) == KEYS


def test_rows_of_several_lengths_are_left_out(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    lists: list[Any] = unit_vectors(ROWS).tolist()
    lists[2], lists[9] = [1.0, 0.0], None
    table = pa.table({"id": KEYS, "embedding": pa.array(lists, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "v.parquet")
    said = take_in(imgvec, tmp_path / "v.parquet", code=4)
    assert "2 not taken: with NaN, or without a vector of this length (such as 3; 10)" in said
    assert embedded(connection, photos) == [key for key in KEYS if key not in (3, 10)]


def write_npy(folder: Path, vectors: np.ndarray, keys: list[int] = KEYS) -> Path:
    np.save(folder / "v.npy", vectors)
    pq.write_table(pa.table({"id": keys}), folder / "v.parquet")
    return folder / "v.npy"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half a parquet file": (
        lambda folder: halved(write_vectors(folder / "v.parquet", KEYS, unit_vectors(ROWS))),
        "not whole, or no parquet file",
    ),
    "half of one part of two": (
        lambda folder: (
            write_vectors(folder / "a_1.parquet", KEYS[:10], unit_vectors(10)),
            halved(write_vectors(folder / "a_2.parquet", KEYS[10:], unit_vectors(10))),
            folder,
        )[-1],
        "a_2.parquet cannot be read",
    ),
    "half a .npy file": (
        lambda folder: halved(write_npy(folder, unit_vectors(ROWS))),
        "not whole, or no .npy file",
    ),
    "other dimensions": (
        lambda folder: write_vectors(folder / "v.parquet", KEYS, unit_vectors(ROWS, 4)),
        "has vectors of 4 dimensions, collection photo_test of 3",
    ),
    "int8 vectors": (
        lambda folder: write_vectors(folder / "v.parquet", KEYS, np.ones((ROWS, 3), dtype=np.int8)),
        'the vectors in "embedding" are of int8: quantised',
    ),
    "int8 vectors in .npy": (
        lambda folder: write_npy(folder, np.ones((ROWS, 3), dtype=np.int8)),
        "are of int8; expected float16, float32 or float64",
    ),
    "fewer keys than vectors": (
        lambda folder: write_npy(folder, unit_vectors(ROWS), KEYS[:-1]),
        "has 20 vectors and",
    ),
    "no key column": (
        lambda folder: write_vectors(folder / "v.parquet", KEYS, unit_vectors(ROWS), key="item_id"),
        'has no column "id"; there are: item_id, embedding. Say which one holds the key: --key-column id=COLUMN',
    ),
    "no vectors": (
        lambda folder: (pq.write_table(pa.table({"id": KEYS}), folder / "v.parquet"), folder / "v.parquet")[
            1
        ],
        "has no column of vectors; say which one: --vector-column NAME",
    ),
    "keys of fractions": (
        lambda folder: write_vectors(folder / "v.parquet", [key + 0.5 for key in KEYS], unit_vectors(ROWS)),
        'the column "id" holds the float 1.5; expected whole numbers or texts as keys',
    ),
    "an empty folder": (
        lambda folder: folder,
        "holds none of what can be imported; expected an export of imgvec's",
    ),
    "parts of other types": (
        lambda folder: (
            write_vectors(folder / "a_1.parquet", KEYS[:10], unit_vectors(10)),
            write_vectors(folder / "a_2.parquet", [str(key) for key in KEYS[10:]], unit_vectors(10)),
            folder,
        )[-1],
        'the column "id" is of string in',
    ),
    "a .npy file without its partner": (
        lambda folder: (np.save(folder / "img_1.npy", unit_vectors(ROWS)), folder)[1],
        "has no parquet file of the same number",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_damaged_or_of_another_kind_is_refused_before_anything_is_written(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path, what: str
) -> None:
    make, told = REFUSED[what]
    folder = tmp_path / "given"
    folder.mkdir()
    said = take_in(imgvec, make(folder), code=2)
    assert told in said and said.count("\n") == 1
    assert embedded(connection, photos) == []


def test_parts_are_read_in_the_order_of_their_numbers(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    """Arrays and tables are paired by number: 10 sorts before 2 as text, and a folder may hold unpadded and padded numbers."""
    vectors = unit_vectors(ROWS)
    (tmp_path / "img_emb").mkdir()
    (tmp_path / "metadata").mkdir()
    for number, start in ((2, 0), (10, 10)):
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", vectors[start : start + 10])
        table = pa.table({"image_path": [f"{key}.jpg" for key in KEYS[start : start + 10]]})
        pq.write_table(table, tmp_path / "metadata" / f"metadata_{number:04}.parquet")
    take_in(imgvec, tmp_path)
    stored = connection.execute(
        "SELECT id, embedding::text FROM imgvec.photo_test_embedding ORDER BY id"
    ).fetchall()
    assert [key for key, _ in stored] == KEYS
    found = np.array([[float(part) for part in text.strip("[]").split(",")] for _, text in stored])
    assert np.abs(found - vectors).max() < 1e-3


def test_a_dry_run_finds_the_same_and_writes_nothing(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    vectors, told = PARTLY["NaN"]
    path = write_vectors(tmp_path / "v.parquet", KEYS, vectors)
    said = take_in(imgvec, path, "--dry-run", code=4)
    assert told in said and "19 of 20 rows would be imported" in said
    assert embedded(connection, photos) == []


def test_arrow_files_and_named_columns(
    connection: Connection, photos: Collection, imgvec: Imgvec, tmp_path: Path
) -> None:
    table = vector_table(KEYS, unit_vectors(ROWS), key="item_id", column="emb").append_column(
        "other", [[[1.0]] * ROWS]
    )
    with pa.OSFile(str(tmp_path / "v.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert "several columns of vectors (emb, other)" in take_in(
        imgvec, tmp_path / "v.arrow", "--key-column", "id=item_id", code=2
    )
    take_in(imgvec, tmp_path / "v.arrow", "--key-column", "id=item_id", "--vector-column", "emb")
    assert embedded(connection, photos) == KEYS
