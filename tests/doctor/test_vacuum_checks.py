"""`imgvec doctor` tells where building an HNSW index anew costs less than the VACUUM that is due."""

import pytest
from photostore import embed, make_photos

from imgvec_pg.database.connect import Connection
from imgvec_pg.doctor import vacuum_checks
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.doctor.vacuum_checks import check_dead_rows
from imgvec_pg.store.index.build import build_index

TABLE = "imgvec.photo_test_embedding"


def test_dead_rows_of_an_indexed_table_are_told_until_vacuum(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum_checks, "LEAST_ROWS", 100)
    collection = make_photos(connection, rows=200)
    connection.execute(f"ALTER TABLE {TABLE} SET (autovacuum_enabled = off)".encode())
    embed(connection, collection, dict.fromkeys(range(1, 201), (1.0, 0.0, 0.0)))

    def change(last: int) -> None:
        connection.execute(
            f"UPDATE {TABLE} SET content_hash = sha256(content_hash) WHERE id <= {last}".encode()
        )
        connection.execute("SELECT pg_stat_force_next_flush()")

    change(4)
    connection.execute(f"ANALYZE {TABLE}".encode())
    build_index(connection, collection)
    assert list(check_dead_rows(connection, collection)) == []
    change(20)
    (finding,) = check_dead_rows(connection, collection)
    assert finding.level == "warning"
    assert f"rows of {TABLE} are dead beside 200" in finding.met
    assert finding.next_step == f"imgvec index rebuild {collection.name}, then: VACUUM {TABLE}"
    assert finding in diagnose(connection)
    connection.execute(f"VACUUM {TABLE}".encode())
    assert list(check_dead_rows(connection, collection)) == []


def test_a_table_without_an_hnsw_index_is_cheap_to_vacuum(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum_checks, "LEAST_ROWS", 0)
    monkeypatch.setattr(vacuum_checks, "COSTLY_SHARE", 0.0)
    collection = make_photos(connection, rows=10)
    embed(connection, collection, dict.fromkeys(range(1, 11), (1.0, 0.0, 0.0)))
    assert list(check_dead_rows(connection, collection)) == []
