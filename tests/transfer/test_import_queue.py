"""What an import does to the queue and to rows that others write, and who may import."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filedrop import Imgvec, unit_vectors, write_vectors
from photostore import embedded, enqueued, make_collection, make_photos
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.picture_table import prepare_pictures
from imgvec_pg.transfer.import_collection import ImportOptions, import_vectors
from imgvec_pg.transfer.import_writer import ImportWriter
from imgvec_pg.transfer.readers.columns import ColumnNames
from imgvec_pg.transfer.readers.parquet_files import ParquetReader
from imgvec_pg.transfer.row_lookup import RowLookup
from imgvec_pg.transfer.vector_batch import VectorBatch

ROWS = 150
KEYS = list(range(1, ROWS + 1))


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_vectors(tmp_path / "v.parquet", KEYS[:100], unit_vectors(100))


def list_rows(connection: Connection, collection: Collection) -> None:
    """As a first fill files its jobs."""
    connection.execute(
        "INSERT INTO imgvec.job (collection_id, version, keys)"
        " SELECT %s, 0, jsonb_agg(jsonb_build_object('id', i)) FROM generate_series(1, %s) AS i GROUP BY i / 64",
        [collection.id, ROWS],
    )


def test_imported_rows_leave_the_queue_of_a_first_fill(
    connection: Connection, imgvec: Imgvec, file: Path
) -> None:
    collection = make_photos(connection, ROWS)
    list_rows(connection, collection)
    said = imgvec("import", "photo_test", file, "--trust-model")
    assert "100 keys taken off the queue" in said and "(50 in the queue)" in said
    assert enqueued(connection, collection) == KEYS[100:]


def test_a_job_that_a_worker_holds_stays_as_it_is(connection: Connection, imgvec: Imgvec, file: Path) -> None:
    collection = make_photos(connection, ROWS)
    list_rows(connection, collection)
    connection.execute(
        "UPDATE imgvec.job SET token = gen_random_uuid(), lease_until = now() + interval '1 hour' WHERE keys @> '[{\"id\": 1}]'"
    )
    imgvec("import", "photo_test", file, "--trust-model")
    assert enqueued(connection, collection) == [*KEYS[:63], *KEYS[100:]]


def test_rows_that_changed_since_stay_queued_unless_told_otherwise(
    connection: Connection, imgvec: Imgvec, file: Path
) -> None:
    collection = make_photos(connection, 0)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 150) AS i")
    assert "150 in the queue" in imgvec("import", "photo_test", file, "--trust-model")
    assert enqueued(connection, collection) == KEYS
    assert embedded(connection, collection) == KEYS[:100]
    connection.execute("TRUNCATE imgvec.photo_test_embedding")
    said = imgvec("import", "photo_test", file, "--trust-model", "--queued")
    assert "100 keys taken off the queue" in said
    assert enqueued(connection, collection) == KEYS[100:]
    # Not at a version that an older result would cover.
    assert connection.execute("SELECT min(version) > 0 FROM imgvec.photo_test_embedding").fetchone() == (
        True,
    )


def test_a_change_during_the_import_stays_queued(connection: Connection, database: str, file: Path) -> None:
    collection = make_photos(connection, 0)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 150) AS i")

    def change(done: int) -> None:
        connection.execute("UPDATE shop.photo SET file = 'other.jpg' WHERE id = 5")

    with connect(database) as writing:
        reader = ParquetReader([file], ColumnNames(["id"]))
        imported = import_vectors([writing], collection, reader, ImportOptions(takes_queued=True), change)
    assert imported.taken_off_queue == 100
    assert enqueued(connection, collection) == [5, *KEYS[100:]]


def test_a_row_that_a_worker_embeds_meanwhile_keeps_its_vector(connection: Connection, database: str) -> None:
    """The COPY meets a key that came between its look-up and itself: the batch is looked up anew."""
    collection = make_photos(connection, 3)
    met: list[int] = []

    class Late(ImportWriter):
        def _copy_in(self, pieces: object) -> None:
            if not met:
                met.append(1)
                connection.execute(
                    "INSERT INTO imgvec.photo_test_embedding VALUES (2, '[0,0,1]', 0, '', 'fp32')"
                )
            super()._copy_in(pieces)  # type: ignore[arg-type]

    with connect(database) as writing:
        counts = Late(writing, collection, RowLookup()).write(
            VectorBatch((["1", "2", "3"],), unit_vectors(3))
        )
    assert (counts.imported, counts.embedded, met) == (2, 1, [1])
    found = connection.execute("SELECT precision FROM imgvec.photo_test_embedding ORDER BY id").fetchall()
    assert found == [("imported",), ("fp32",), ("imported",)]


def test_a_row_that_is_deleted_meanwhile_gets_no_vector(connection: Connection, database: str) -> None:
    collection = make_photos(connection, 3)
    met: list[int] = []

    class Late(ImportWriter):
        def _copy_in(self, pieces: object) -> None:
            if not met:
                met.append(1)
                connection.execute("DELETE FROM shop.photo WHERE id = 2")
            super()._copy_in(pieces)  # type: ignore[arg-type]

    with connect(database) as writing:
        counts = Late(writing, collection, RowLookup()).write(
            VectorBatch((["1", "2", "3"],), unit_vectors(3))
        )
    assert (counts.imported, counts.unknown) == (2, 1)
    assert embedded(connection, collection) == [1, 3]


def test_failures_of_the_first_fill_go_and_newer_ones_keep_the_vector_out(
    connection: Connection, imgvec: Imgvec, file: Path
) -> None:
    collection = make_photos(connection, ROWS)
    connection.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts) VALUES"
        " (%(id)s, '{\"id\": 3}', 0, 'not_found', '', 1), (%(id)s, '{\"id\": 4}', 9, 'not_found', '', 1),"
        " (%(id)s, '{\"id\": 140}', 0, 'not_found', '', 1)",
        {"id": collection.id},
    )
    said = imgvec("import", "photo_test", file, "--trust-model")
    assert "99 of 100 rows imported" in said and "failed at a newer one" in said
    left = connection.execute("SELECT key->>'id' FROM imgvec.failure ORDER BY 1").fetchall()
    assert left == [("140",), ("4",)]


def test_rows_are_found_by_another_column(connection: Connection, imgvec: Imgvec, tmp_path: Path) -> None:
    collection = make_photos(connection, 5)
    connection.execute("UPDATE shop.photo SET file = '4.jpg' WHERE id = 5")
    keys = [f"/srv/data/{key}.jpg" for key in (1, 4)]
    path = write_vectors(tmp_path / "v.parquet", keys, unit_vectors(2), key="image_path")
    imgvec(
        "import",
        "photo_test",
        path,
        "--trust-model",
        "--match",
        "file=image_path",
        "--strip-prefix",
        "/srv/data/",
    )
    # Two rows have the picture.
    assert embedded(connection, collection) == [1, 4, 5]


def test_a_role_that_only_works_may_import_and_a_reader_may_not(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    """Row-level security, which every embedding table has, refuses COPY to whoever does not own the table."""
    make_photos(connection, ROWS)
    with connection.transaction(force_rollback=False):
        for role in ("worker", "reader"):
            connection.execute(f"DROP ROLE IF EXISTS imgvec_test_import_{role}")
            connection.execute(f"CREATE ROLE imgvec_test_import_{role} LOGIN IN ROLE imgvec_{role}")
            connection.execute(f"GRANT USAGE ON SCHEMA shop TO imgvec_test_import_{role}")
            connection.execute(f"GRANT SELECT ON shop.photo TO imgvec_test_import_{role}")
    try:
        reading = Imgvec(make_conninfo(database, user="imgvec_test_import_reader"), capsys)
        said = reading("import", "photo_test", file, "--trust-model", code=1)
        assert "it takes imgvec_worker" in said
        working = Imgvec(make_conninfo(database, user="imgvec_test_import_worker"), capsys)
        assert "100 of 100 rows imported" in working("import", "photo_test", file, "--trust-model")
    finally:
        for role in ("worker", "reader"):
            connection.execute(f"DROP OWNED BY imgvec_test_import_{role}")
            connection.execute(f"DROP ROLE imgvec_test_import_{role}")


def test_a_partitioned_source_and_partitioned_embeddings(
    connection: Connection, imgvec: Imgvec, file: Path
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text) PARTITION BY RANGE (id)")
    connection.execute("CREATE TABLE shop.low PARTITION OF shop.photo FOR VALUES FROM (0) TO (60)")
    connection.execute("CREATE TABLE shop.high PARTITION OF shop.photo DEFAULT")
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg' FROM generate_series(1, 150) AS i")
    collection = make_collection(connection, partitions=3)
    imgvec("import", "photo_test", file, "--trust-model")
    assert embedded(connection, collection) == KEYS[:100]


def test_with_an_index_rows_go_in_by_small_transactions(
    connection: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    collection = make_photos(connection, 600)
    connection.execute("INSERT INTO imgvec.photo_test_embedding VALUES (600, '[0,0,1]', 0, '', 'fp32')")
    imgvec("index", "create", "photo_test")
    path = write_vectors(tmp_path / "v.parquet", list(range(1, 600)), unit_vectors(599))
    imgvec("import", "photo_test", path, "--trust-model")
    assert len(embedded(connection, collection)) == 600
    batches = connection.execute(
        "SELECT count(DISTINCT embedded_at) FROM imgvec.photo_test_embedding"
    ).fetchone()
    assert batches is not None and batches[0] >= 4


def test_pictures_that_are_indexed_once_follow_an_import(
    connection: Connection, imgvec: Imgvec, file: Path, tmp_path: Path
) -> None:
    """An index over the different pictures has a table of its own, which triggers of the embedding table fill."""
    collection = make_photos(connection, ROWS)
    prepare_pictures(connection, replace(collection, by_picture=True))
    imgvec("import", "photo_test", file, "--trust-model")
    assert connection.execute("SELECT count(*) FROM imgvec.photo_test_picture").fetchone() == (100,)
    # The name of a vector of unknown bytes is no SHA-256, and is not exported as one.
    imgvec("export", "photo_test", tmp_path / "out")
    table = pq.read_table(tmp_path / "out")
    assert table.column("content_hash").null_count == 100 and table.column("reference_hash").null_count == 0
