"""imgvec export and import killed in the middle, and started again: no row twice, none missing."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec, unit_vectors, write_vectors
from photostore import embedded, make_photos
from workers import PATIENCE_SECONDS

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.transactions import IDLE_IN_TRANSACTION_MS
from imgvec_pg.transfer import export_collection, import_writer
from imgvec_pg.transfer.export_collection import describe_export, export_vectors

ROWS = 60_000
DIMENSIONS = 64
SLOWED = """
import sys, time
from imgvec_pg.transfer import export_collection, import_writer, part_reader
copy_in, read_chunk = import_writer.ImportWriter._copy_in, part_reader._chunk
def slow_copy(*arguments):
    copy_in(*arguments)
    time.sleep(0.05)
def slow_chunk(*arguments):
    time.sleep(0.02)
    return read_chunk(*arguments)
import_writer.ImportWriter._copy_in, part_reader._chunk = slow_copy, slow_chunk
export_collection.PART_BYTES = 1 << 20
from imgvec_pg.cli import main
main()
"""


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


def killed(arguments: list[object], dsn: str, is_under_way: Callable[[], bool]) -> None:
    """Run a command in a process of its own and kill it once it is under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWED, *map(str, arguments), "--dsn", dsn],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_under_way():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_an_import_that_was_killed_goes_on(
    connection: Connection, database: str, imgvec: Imgvec, tmp_path: Path
) -> None:
    collection = make_photos(connection, ROWS, dimensions=DIMENSIONS)
    vectors = unit_vectors(ROWS, DIMENSIONS)
    path = write_vectors(tmp_path / "v.parquet", list(range(1, ROWS + 1)), vectors)
    table = "imgvec.photo_test_embedding"

    def is_under_way() -> bool:
        return connection.execute(f"SELECT EXISTS (SELECT FROM {table})").fetchone() == (True,)

    killed(["import", "photo_test", path, "--trust-model"], database, is_under_way)
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None and 0 < row[0] < ROWS
    said = imgvec("import", "photo_test", path, "--trust-model")
    assert f"{ROWS - row[0]:,} of {ROWS:,} rows imported" in said or f"{row[0]:,} had an embedding" in said
    assert embedded(connection, collection) == list(range(1, ROWS + 1))
    sums = connection.execute(f"SELECT sum(embedding::vector)::text FROM {table}").fetchone()
    assert sums is not None
    found = np.array([float(part) for part in sums[0].strip("[]").split(",")])
    assert np.abs(found - vectors.astype(np.float16).astype(np.float64).sum(axis=0)).max() < 0.1


def test_a_machine_that_takes_seconds_to_encode_a_batch_imports_it(
    connection: Connection, imgvec: Imgvec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(connection, 10, dimensions=DIMENSIONS)
    path = write_vectors(tmp_path / "v.parquet", list(range(1, 11)), unit_vectors(10, DIMENSIONS))
    encode = import_writer.ImportWriter._encode

    def encode_slowly(*arguments: Any) -> Any:
        time.sleep(IDLE_IN_TRANSACTION_MS / 1000 + 0.5)
        return encode(*arguments)

    monkeypatch.setattr(import_writer.ImportWriter, "_encode", encode_slowly)
    assert "10 of 10 rows imported" in imgvec("import", "photo_test", path, "--trust-model")


def test_an_export_to_lancedb_that_was_killed_goes_on(
    connection: Connection, database: str, imgvec: Imgvec, tmp_path: Path
) -> None:
    lancedb = pytest.importorskip("lancedb")
    make_photos(connection, ROWS, dimensions=DIMENSIONS)
    vectors = unit_vectors(ROWS, DIMENSIONS)
    path = write_vectors(tmp_path / "v.parquet", list(range(1, ROWS + 1)), vectors)
    imgvec("import", "photo_test", path, "--trust-model")
    out = tmp_path / "out"
    versions = out / "photo_test.lance" / "_versions"
    killed(
        ["export", "photo_test", out, "--format", "lance"],
        database,
        lambda: versions.is_dir() and len(list(versions.glob("*.manifest"))) >= 2,
    )
    assert "was cut off" in imgvec("import", "photo_test", out, code=2)
    there = lancedb.connect(str(out)).open_table("photo_test").count_rows()
    assert 0 < there < ROWS
    imgvec("export", "photo_test", out, "--format", "lance")
    table = lancedb.connect(str(out)).open_table("photo_test").to_arrow()
    assert table.column("id").to_pylist() == list(range(1, ROWS + 1))
    flat = table.column("embedding").combine_chunks().flatten().to_numpy()
    assert np.abs(flat.reshape(ROWS, DIMENSIONS) - vectors).max() < 1e-3


@pytest.mark.parametrize("layout", ["parquet", "npy"])
def test_an_export_that_was_killed_goes_on(
    connection: Connection, database: str, imgvec: Imgvec, tmp_path: Path, layout: str
) -> None:
    make_photos(connection, ROWS, dimensions=DIMENSIONS)
    path = write_vectors(tmp_path / "v.parquet", list(range(1, ROWS + 1)), unit_vectors(ROWS, DIMENSIONS))
    imgvec("import", "photo_test", path, "--trust-model")
    out = tmp_path / "out"
    killed(
        ["export", "photo_test", out, "--format", layout],
        database,
        lambda: len(list(out.glob("*.parquet"))) >= 2,
    )
    assert "was cut off" in imgvec("import", "photo_test", out, code=2)
    whole = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    imgvec("export", "photo_test", out, "--format", layout)
    assert all((out / name).stat().st_mtime_ns == at for name, at in list(whole.items())[:2])
    assert not list(out.glob(".*"))
    tables = [pq.read_table(path, columns=["id"]) for path in sorted(out.glob("*.parquet"))]
    keys = [key for table in tables for key in table.column("id").to_pylist()]
    assert keys == list(range(1, ROWS + 1))
    before = connection.execute(
        "SELECT md5(string_agg(embedding::text, '' ORDER BY id)) FROM imgvec.photo_test_embedding"
    ).fetchone()
    connection.execute("TRUNCATE imgvec.photo_test_embedding")
    imgvec("import", "photo_test", out)
    after = connection.execute(
        "SELECT md5(string_agg(embedding::text, '' ORDER BY id)) FROM imgvec.photo_test_embedding"
    ).fetchone()
    assert after == before


def export(dsn: str, collection: Collection, out: Path, layout: str = "parquet") -> int:
    with connect(dsn) as connection, connect(dsn) as first, connect(dsn) as second:
        description = describe_export(connection, collection, layout, "float16", [])
        return export_vectors(connection, [first, second], collection, out, description).rows


def test_parts_are_of_bounded_size_and_a_folder_is_not_written_twice(
    connection: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_photos(connection, 100)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding SELECT i, '[0,0.6,0.8]', 0, '', 'fp32' FROM generate_series(1, 100) AS i"
    )
    monkeypatch.setattr(export_collection, "PART_BYTES", 150)
    assert export(database, collection, tmp_path / "out") == 100
    parts = sorted((tmp_path / "out").glob("*.parquet"))
    assert [pq.read_metadata(path).num_rows for path in parts] == [25] * 4
    with pytest.raises(UsageError, match="holds a finished export of photo_test"):
        export(database, collection, tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty and holds no export"):
        export(database, collection, tmp_path)


def test_an_export_goes_on_only_as_it_was_begun(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    collection = make_photos(connection, 3)
    description = describe_export(connection, collection, "parquet", "float16", [])
    tmp_path.joinpath("out").mkdir()
    description.write(tmp_path / "out")
    with pytest.raises(UsageError, match="cut off and is of something else"):
        export(database, collection, tmp_path / "out", "npy")
    assert export(database, collection, tmp_path / "out") == 0


@pytest.mark.parametrize("layout", ["parquet", "npy"])
def test_an_export_that_found_no_room_says_so_and_goes_on(
    connection: Connection, database: str, imgvec: Imgvec, tmp_path: Path, layout: str
) -> None:
    collection = make_photos(connection, 3000)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding SELECT i, '[0,0.6,0.8]', 0, '', 'fp32' FROM generate_series(1, 3000) AS i"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        said = imgvec("export", "photo_test", tmp_path / "out", "--format", layout, code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "out cannot be written" in said and "File too large" in said
    assert export(database, collection, tmp_path / "out", layout) == 3000


def test_a_folder_that_cannot_be_made_is_named(connection: Connection, imgvec: Imgvec) -> None:
    make_photos(connection)
    said = imgvec("export", "photo_test", "/proc/none/out", code=1)
    assert "the folder /proc/none/out cannot be written" in said
