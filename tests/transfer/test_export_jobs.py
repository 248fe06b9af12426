"""imgvec export by several connections: of one moment, without gaps, and what it says where that cannot be."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec
from photostore import make_collection, make_photos
from workers import PATIENCE_SECONDS

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import DatabaseError, ImgvecError
from imgvec_pg.store.collection import Collection
from imgvec_pg.transfer import export_collection, part_reader
from imgvec_pg.transfer.export_collection import describe_export, export_vectors
from imgvec_pg.transfer.part_reader import KeyRange, read_part
from imgvec_pg.transfer.part_writers import PartWriter

PART_ROWS = 25
STUCK = f"""
from imgvec_pg.transfer import export_collection
read_part = export_collection.read_part
def read_first_part_alone(connection, collection, description, types, keys, *others):
    if keys.after is not None:
        connection.execute("SELECT pg_sleep(600)")
    yield from read_part(connection, collection, description, types, keys, *others)
export_collection.read_part = read_first_part_alone
export_collection.PART_BYTES = {PART_ROWS * 6}
from imgvec_pg.cli import main
main()
"""


@pytest.fixture
def hundred(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """A hundred rows with vectors, exported in four parts."""
    collection = make_photos(connection, 100)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding SELECT i, '[0,0.6,0.8]', 0, '', 'fp32' FROM generate_series(1, 100) AS i"
    )
    monkeypatch.setattr(export_collection, "PART_BYTES", PART_ROWS * 3 * 2)
    return collection


@contextmanager
def readers(dsn: str, count: int) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(dsn)) for _ in range(count)]


def export(
    dsn: str,
    collection: Collection,
    out: Path,
    jobs: int,
    progress: Callable[[int], None] = lambda rows: None,
    columns: tuple[str, ...] = (),
) -> int:
    with connect(dsn) as leader, readers(dsn, jobs) as reading:
        description = describe_export(leader, collection, "parquet", "float16", columns)
        return export_vectors(leader, reading, collection, out, description, progress).rows


def exported(out: Path, *columns: str) -> list[list[Any]]:
    """Return the rows of each part."""
    tables = [pq.read_table(path, columns=list(columns)) for path in sorted(out.glob("part_*.parquet"))]
    return [list(zip(*(table.column(name).to_pylist() for name in columns), strict=True)) for table in tables]


class AtTheFirstRows:
    """Does something once, when the first rows are written."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.lock = threading.Lock()
        self.is_done = False

    def __call__(self, rows: int) -> None:
        with self.lock:
            if rows and not self.is_done:
                self.is_done = True
                self.work()


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_several_jobs_read_one_moment_and_one_reads_a_moment_for_each_part(
    connection: Connection, database: str, hundred: Collection, tmp_path: Path, jobs: int
) -> None:
    def change() -> None:
        connection.execute(
            "DELETE FROM shop.photo WHERE id = 99; UPDATE shop.photo SET id = 1000 WHERE id = 98;"
            "UPDATE shop.photo SET price = -1 WHERE id = 97; INSERT INTO shop.photo VALUES (2000, 'new.jpg');"
            "INSERT INTO imgvec.photo_test_embedding VALUES (2000, '[1,0,0]', 0, '', 'fp32')"
        )

    out = tmp_path / "out"
    export(database, hundred, out, jobs, AtTheFirstRows(change), ("price",))
    parts = exported(out, "id", "price")
    before = [(key, float(key)) for key in range(1, 101)]
    after = [*before[:96], (97, -1.0), (100, 100.0), (1000, 98.0), (2000, None)]
    assert [row for part in parts for row in part] == (after if jobs == 1 else before)
    assert [len(part) for part in parts] == [PART_ROWS] * 4


def test_a_part_gets_its_name_after_those_before_it(
    database: str, hundred: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, second_is_written, write = tmp_path / "out", threading.Event(), PartWriter.write

    def write_out_of_order(self: PartWriter, number: int, *arguments: Any) -> int:
        if number == 0:
            assert second_is_written.wait(PATIENCE_SECONDS)
            raise OSError("no space left")
        rows = write(self, number, *arguments)
        second_is_written.set()
        return rows

    monkeypatch.setattr(PartWriter, "write", write_out_of_order)
    with pytest.raises(ImgvecError, match=r"cannot be written \(no space left\)"):
        export(database, hundred, out, 2)
    assert second_is_written.is_set() and list(out.glob(".part_00001*"))
    assert not list(out.glob("*.parquet"))
    monkeypatch.setattr(PartWriter, "write", write)
    assert export(database, hundred, out, 2) == 100
    assert [key for part in exported(out, "id") for (key,) in part] == list(range(1, 101))
    assert not list(out.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_whole_parts_and_the_same_command_goes_on(
    database: str, hundred: Collection, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", STUCK, "export", "photo_test", str(out), "--dsn", database]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_SECONDS
    while not list(out.glob("*.parquet")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number and said.splitlines()[-1] == "imgvec: stopped", said
    assert [len(part) for part in exported(out, "id")] == [PART_ROWS]
    assert export(database, hundred, out, 2) == 100
    assert [key for part in exported(out, "id") for (key,) in part] == list(range(1, 101))


def test_keys_of_several_columns_are_cut_where_they_are(
    connection: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        'CREATE TABLE shop.sale ("the shop" text, sold numeric, file text, PRIMARY KEY ("the shop", sold));'
        "INSERT INTO shop.sale SELECT s, i / 4.0 FROM generate_series(1, 5) AS i,"
        " unnest(ARRAY['it''s', '100 %', 'two' || chr(10) || '-- lines', 'É', '\\n']) AS s"
    )
    collection = make_collection(connection, "shop.sale", "sale_test")
    connection.execute(
        "INSERT INTO imgvec.sale_test_embedding SELECT \"the shop\", sold, '[0.6,0.8,0]', 1, '', 'fp32' FROM shop.sale"
    )
    monkeypatch.setattr(export_collection, "PART_BYTES", 3 * 3 * 2)
    assert export(database, collection, tmp_path / "out", 2) == 25
    parts = exported(tmp_path / "out", "the shop", "sold")
    found = connection.execute(
        'SELECT "the shop", sold::text FROM shop.sale ORDER BY "the shop", sold'
    ).fetchall()
    assert [row for part in parts for row in part] == found
    assert [len(part) for part in parts] == [3] * 8 + [1]


def test_a_server_without_the_snapshot_is_told_of(database: str, hundred: Collection) -> None:
    with connect(database) as reader:
        description = describe_export(reader, hundred, "parquet", "float16", [])
        rows = read_part(reader, hundred, description, {}, KeyRange(None, None), "00000003-0000001B-1", 10)
        with pytest.raises(DatabaseError, match=r"do not share a snapshot .* --jobs 1"):
            next(rows)


def test_a_thread_that_reads_ahead_ends_with_its_reader(database: str, hundred: Collection) -> None:
    with connect(database) as reader:
        description = describe_export(reader, hundred, "parquet", "float16", [])
        chunks = part_reader.made_ahead(
            read_part(reader, hundred, description, {}, KeyRange(None, None), None, 10)
        )
        assert len(next(chunks)) == 10
        chunks.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "imgvec-export-read"]
        assert reader.execute("SELECT 1").fetchone() == (1,)


def test_a_lance_table_is_written_by_one(
    hundred: Collection, database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = Imgvec(database, capsys)(
        "export", "photo_test", tmp_path / "out", "--format", "lance", "--jobs", "2", code=2
    )
    assert "writes one part after the other" in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_part_whose_rows_are_gone_costs_no_other_part(
    connection: Connection, database: str, hundred: Collection, tmp_path: Path, jobs: int
) -> None:
    """Embeddings of a partition that the source has no more: no row of theirs is there to stand beside them."""
    connection.execute(
        "SET session_replication_role = replica; DELETE FROM shop.photo WHERE id BETWEEN 26 AND 50;"
        "RESET session_replication_role"
    )

    def stop(rows: int) -> None:
        if rows >= 75:  # The last part's are read and written, and not kept.
            raise OSError("no space left")

    out = tmp_path / "out"
    with pytest.raises((ImgvecError, OSError)):
        export(database, hundred, out, jobs, stop, ("price",))
    export(database, hundred, out, jobs, columns=("price",))
    keys = [
        row["id"]
        for path in sorted(out.glob("*.parquet"))
        for row in pq.read_table(path, columns=["id"]).to_pylist()
    ]
    assert keys == [*range(1, 26), *range(51, 101)]
