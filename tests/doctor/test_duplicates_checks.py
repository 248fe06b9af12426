"""`imgvec doctor` on near-duplicates: what the last run has not seen, and decisions about pictures that are gone."""

from typing import Any

from photostore import X, Y, as_role, embed, make_photos, new_role

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, find_duplicates
from imgvec_pg.store.collection import Collection


def told(connection: Connection) -> list[Finding]:
    return [finding for finding in diagnose(connection) if "duplicates" in finding.met]


def search(connection: Connection, collection: Collection, **options: Any) -> None:
    with connect(connection.info.dsn) as guard:
        find_duplicates(connection, guard, collection, DuplicateSearch(**options))


def test_doctor_tells_what_the_last_run_has_not_seen(connection: Connection) -> None:
    collection = make_photos(connection, rows=41)
    connection.execute("DELETE FROM imgvec.job")
    embed(connection, collection, dict.fromkeys(range(1, 41), X))
    assert told(connection) == []
    search(connection, collection)
    assert told(connection) == []
    embed(connection, collection, {41: Y})
    [finding] = told(connection)
    assert finding.level == "info" and "0 rows gone or changed, 1 new or changed" in finding.met
    assert finding.next_step == "imgvec duplicates photo_test --threshold 0.95"
    connection.execute("DELETE FROM shop.photo WHERE id IN (1, 2)")
    [finding] = told(connection)
    assert finding.level == "warning" and "2 rows gone or changed, 1 new or changed" in finding.met
    search(connection, collection, where="price < 30", linkage="complete")
    assert told(connection) == []
    connection.execute("DELETE FROM shop.photo WHERE id = 3")
    [finding] = told(connection)
    assert "1 row gone or changed;" in finding.met
    assert (
        finding.next_step
        == "imgvec duplicates photo_test --threshold 0.95 --linkage complete --where 'price < 30'"
    )
    # As an earlier version noted a run.
    connection.execute("ALTER TABLE imgvec.photo_test_duplicate_run DROP linkage")
    assert (
        told(connection)[0].next_step == "imgvec duplicates photo_test --threshold 0.95 --where 'price < 30'"
    )


def test_doctor_tells_of_rows_that_had_no_vector(connection: Connection) -> None:
    collection = make_photos(connection)
    connection.execute("INSERT INTO shop.photo VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
    search(connection, collection)
    [finding] = told(connection)
    assert "left out 3 rows that had no vector then" in finding.met


def test_doctor_tells_of_decisions_about_pictures_that_no_row_has(connection: Connection) -> None:
    collection = make_photos(connection, rows=2)
    embed(connection, collection, {1: X, 2: X})
    connection.execute("UPDATE imgvec.photo_test_embedding SET content_hash = sha256(id::text::bytea)")
    decide = "SELECT imgvec.decide_duplicate_content(sha256('1'), sha256(%s::bytea), 'same')"
    connection.execute(decide, ["2"])
    assert told(connection) == []
    connection.execute(decide, ["3"])
    [finding] = told(connection)
    assert (finding.level, finding.subject) == ("info", "database")
    assert finding.met.startswith(
        "1 of 2 decisions about duplicates is about a picture that no row has any more"
    )


def test_a_reader_is_told_that_not_all_was_looked_at(connection: Connection) -> None:
    collection = make_photos(connection, rows=2)
    embed(connection, collection, {1: X, 2: X})
    search(connection, collection)
    with new_role(connection, "imgvec_reader") as reader, as_role(connection, reader):
        assert any("not all was looked at" in finding.met for finding in diagnose(connection))
