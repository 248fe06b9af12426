"""An export is of one map; columns that are arrays of times."""

from pathlib import Path

import pytest
from filedrop import Imgvec
from photostore import X, Y, Z, embed, make_photos

import imgvec_pg.transfer.export_collection as export_collection
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.maps.map_tables import prepare_map

RUN = (
    "INSERT INTO imgvec.photo_test_map_run (method, row_count, picture_count, landmark_count, named_by)"
    " VALUES ('PCA', 3, 3, 3, 'numbers')"
)


def test_parts_of_two_maps_are_no_export(
    connection: Connection,
    database: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection = make_photos(connection, 3)
    embed(connection, collection, {1: X, 2: Y, 3: Z})
    prepare_map(connection, collection)
    connection.execute(RUN)
    monkeypatch.setattr(export_collection, "PART_BYTES", 12)
    described = export_collection.describe_export(
        connection, collection, "parquet", "float16", [], has_map=True
    )

    def remade(rows: int) -> None:
        if rows == 2:
            connection.execute("DELETE FROM imgvec.photo_test_map_run")
            connection.execute(RUN)

    with connect(database) as reader, pytest.raises(Exception, match="made anew meanwhile"):
        export_collection.export_vectors(
            connection, [reader], collection, tmp_path / "out", described, remade
        )


def test_a_column_of_several_times_is_exported(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    embed(connection, make_photos(connection, 1), {1: X})
    connection.execute("ALTER TABLE shop.photo ADD seen timestamptz[]")
    Imgvec(database, capsys)("export", "photo_test", tmp_path / "out", "--columns", "seen")
