"""`imgvec doctor` tells how many rows share a picture, how many are blank, and what that costs."""

import pytest
from photostore import embed, make_photos

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.doctor import copies_checks
from imgvec_pg.doctor.copies_checks import ISLAND_COPIES, check_copies, count_copies
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.doctor.source_checks import read_collection_facts
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.pictures.picture_table import PictureCounts
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import refresh_functions

# Of 700 rows 500 have a picture of their own, 40 have five between them each by eight, 160 one.
PICTURE = "CASE WHEN id <= 500 THEN id WHEN id <= 540 THEN 1000 + id % 5 ELSE 2000 END"
PICTURES = 500 + 5 + 1


@pytest.fixture
def photos(connection: Connection) -> Collection:
    return make(connection, PICTURE)


def make(connection: Connection, picture: str) -> Collection:
    collection = make_photos(connection, rows=700)
    embed(connection, collection, dict.fromkeys(range(1, 701), (1.0, 0.0, 0.0)))
    connection.execute(
        f"UPDATE imgvec.photo_test_embedding SET content_hash = sha256(({picture})::text::bytea)"  # type: ignore[arg-type]
    )
    connection.execute("ANALYZE imgvec.photo_test_embedding")
    return collection


def told(connection: Connection, collection: Collection) -> list[Finding]:
    return list(check_copies(connection, collection, read_collection_facts(connection, collection)))


def test_copies_are_counted(connection: Connection, photos: Collection) -> None:
    (finding,) = told(connection, photos)
    assert finding.level == "info"
    # 194 rows are not the first of their picture, of 14 bytes each.
    assert finding.met == (
        "28% of 700 rows are copies: they have 506 different pictures; their vectors take 3 kB"
    )
    connection.execute(str(finding.next_step).encode())
    assert finding in diagnose(connection)


def test_a_large_table_is_sampled(
    connection: Connection, photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All pages, each by the index: then it is exact.
    monkeypatch.setattr(copies_checks, "COUNTED_ROWS", 100)
    copies = count_copies(connection, photos, 700, has_index=True)
    assert copies is not None
    assert (copies.rows, round(copies.pictures), copies.most, copies.is_sampled) == (700, PICTURES, 160, True)
    assert count_copies(connection, photos, 700, has_index=False) is None
    # Half of its pages, and only so many rows of one picture.
    monkeypatch.setattr(copies_checks, "SAMPLED_ROWS", 350)
    monkeypatch.setattr(copies_checks, "MOST_COPIES", 100)
    sampled = [count_copies(connection, photos, 700, has_index=True) for _ in range(20)]
    means = [each.pictures for each in sampled if each is not None]
    assert PICTURES * 0.6 < sum(means) / len(means) < PICTURES * 1.4


def test_an_island_of_one_picture_is_a_warning(connection: Connection) -> None:
    collection = make(connection, f"CASE WHEN id <= {ISLAND_COPIES + 1} THEN 0 ELSE id END")
    (finding,) = told(connection, collection)
    assert finding.level == "warning"
    assert f"one picture has {ISLAND_COPIES + 1} rows" in finding.met


def test_an_index_over_rows_is_to_be_rebuilt_over_pictures(connection: Connection, database: str) -> None:
    collection = make_photos(connection, rows=1200)
    embed(connection, collection, dict.fromkeys(range(1, 1201), (1.0, 0.0, 0.0)))
    name_pictures = "UPDATE imgvec.photo_test_embedding SET content_hash = sha256((id % 500)::text::bytea)"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PictureCounts, "suit_pictures", lambda counts, now: False)
        build_index(connection, collection)
    connection.execute(name_pictures)
    connection.execute("ANALYZE imgvec.photo_test_embedding")
    (finding,) = told(connection, collection)
    assert finding.next_step == "imgvec index rebuild photo_test"
    assert "of the index" in finding.met
    assert run(cli, ["index", "rebuild", "photo_test", "--dsn", database]) == 0
    (finding,) = told(connection, get_collection(connection, "photo_test"))
    assert finding.met.endswith("; the index holds each picture once")
    assert finding.level == "info"


def test_without_copies_nothing_is_said(connection: Connection) -> None:
    assert told(connection, make(connection, "id")) == []


def test_the_missing_index_is_named(connection: Connection, photos: Collection) -> None:
    connection.execute("DROP INDEX imgvec.photo_test_embedding_content_hash")
    finding = told(connection, photos)[0]
    assert (finding.level, finding.next_step) == ("warning", "imgvec index create photo_test")


def test_blank_pictures_are_told(connection: Connection) -> None:
    collection = make(connection, "id")
    connection.execute(
        "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
        " SELECT %s, jsonb_build_object('id', id), 1, 'blank', 'all of it is white', 0 FROM shop.photo WHERE id <= 70",
        [collection.id],
    )
    (finding,) = told(connection, collection)
    assert finding.met.startswith("70 rows of about 700 (10%) have a blank picture")
    assert finding.met.endswith("; their vectors take 1 kB")
    assert connection.execute(str(finding.next_step).encode()).rowcount == 70


def test_a_count_that_takes_too_long_is_given_up(
    connection: Connection, database: str, photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = read_collection_facts(connection, photos)
    with connect(database) as migrating, migrating.transaction():
        migrating.execute("LOCK TABLE imgvec.photo_test_embedding")
        monkeypatch.setattr(copies_checks, "LIMIT_MS", 1000)
        (finding,) = check_copies(connection, photos, facts)
    assert (finding.level, finding.met) == ("info", "copies of pictures could not be counted within 1 s")


def test_an_embedding_table_of_another_schema_is_told_and_completed(
    connection: Connection, photos: Collection
) -> None:
    table = "imgvec.photo_test_embedding"
    connection.execute(f"ALTER TABLE {table} DROP COLUMN content_hash CASCADE")
    (finding,) = [f for f in diagnose(connection) if f.level == "error" and f.subject == "photo_test"]
    assert "photo_test_embedding lacks content_hash" in finding.met
    added, _, rest = str(finding.next_step).partition("; then: ")
    assert rest == "imgvec migrate; imgvec index rebuild photo_test"
    connection.execute(added.encode())
    refresh_functions(connection)
    build_index(connection, photos)
    assert [f for f in diagnose(connection) if f.level == "error"] == []
    assert connection.execute(f"SELECT count(*) FROM {table} WHERE content_hash = ''").fetchone() != (0,)
    connection.execute(f"ALTER TABLE {table} DROP COLUMN embedding CASCADE")
    (finding,) = [f for f in diagnose(connection) if f.level == "error" and f.subject == "photo_test"]
    assert finding.next_step == "imgvec collection drop photo_test, then create it again"
