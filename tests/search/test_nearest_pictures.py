"""NearestOptions(distinct=True): k different pictures, each by its smallest key, counted among what the role may see."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from photostore import Vector, as_role, embed, make_collection, make_photos, new_role
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.search.nearest import NearestOptions, Neighbours, find_nearest
from imgvec_pg.search.operations.recommend import find_others
from imgvec_pg.search.rows import find_row, newest_rows
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.pictures.picture_table import PictureCounts
from imgvec_pg.store.registry import get_collection

READER = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")
X = np.array([1, 0, 0], np.float32)


def at(degrees: float) -> Vector:
    """Return a vector of this angle from X."""
    return (float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees))), 0.0)


def picture_of(connection: Connection, collection: Collection, name: str, keys: Sequence[int]) -> None:
    statement = sql.SQL("UPDATE imgvec.{} SET content_hash = %s WHERE id = ANY (%s)")
    table = sql.Identifier(collection.embedding_table)
    connection.execute(statement.format(table), [hashlib.sha256(name.encode()).digest(), list(keys)])


def make(connection: Connection, **changes: object) -> Collection:
    """Rows 3, 5, 7 and 9 have picture a, 2 and 8 have b, 1 has c; of 4 and 6 nobody knows the picture."""
    collection = make_photos(connection, rows=9, **changes)
    angles = {3: 0, 5: 0, 7: 0, 9: 0, 2: 10, 8: 10, 1: 20, 4: 30, 6: 30}
    embed(connection, collection, {key: at(angle) for key, angle in angles.items()})
    for name, keys in {"a": (3, 5, 7, 9), "b": (2, 8), "c": (1,)}.items():
        picture_of(connection, collection, name, keys)
    return collection


def ask(connection: Connection, collection: Collection, **options: object) -> Neighbours:
    return find_nearest(connection, collection, X, NearestOptions(distinct=True, **options))  # type: ignore[arg-type]


def told(found: Neighbours) -> list[tuple[int, int]]:
    return [(row.key["id"], row.copies) for row in found.rows]


def test_each_picture_comes_once_by_its_smallest_key(connection: Connection) -> None:
    collection = make(connection)
    found = ask(connection, collection, columns=["price", "file"])
    assert told(found) == [(3, 4), (2, 2), (1, 1), (4, 1), (6, 1)]
    assert [row.distance for row in found.rows[:3]] == pytest.approx(
        [1 - np.cos(np.radians(angle)) for angle in (0, 10, 20)], abs=1e-3
    )
    assert found.rows[0].columns == {"price": 3, "file": "3.jpg"}
    assert told(ask(connection, collection, k=2)) == [(3, 4), (2, 2)]
    assert told(ask(connection, collection, max_distance=0.03)) == [(3, 4), (2, 2)]


def test_rows_are_counted_and_shown_that_meet_the_condition(connection: Connection) -> None:
    collection = make(connection)
    assert told(ask(connection, collection, where="price > 3 AND id <> 7")) == [
        (5, 2),
        (8, 1),
        (4, 1),
        (6, 1),
    ]


def test_equally_distant_pictures_come_by_key_where_k_cuts_them(connection: Connection) -> None:
    collection = make_photos(connection, rows=20)
    embed(connection, collection, {key: at(0) for key in range(1, 21)})
    for key in range(1, 21):
        picture_of(connection, collection, str(key % 10), [key])
    assert told(ask(connection, collection, k=4)) == [(1, 2), (2, 2), (3, 2), (4, 2)]


def test_a_row_that_is_searched_with_is_not_in_its_answer_and_its_copies_are(connection: Connection) -> None:
    collection = make(connection)
    row = find_row(connection, collection, {"id": 3})
    found = find_nearest(connection, collection, row, NearestOptions(k=2, distinct=True))
    assert told(found) == [(5, 3), (2, 2)]
    found = find_others(connection, collection, X, [{"id": 3}, {"id": 2}], NearestOptions(k=3, distinct=True))
    assert told(found) == [(5, 3), (8, 1), (1, 1)]


def test_a_picture_of_hidden_rows_is_nowhere(connection: Connection) -> None:
    collection = make(connection)
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON shop.photo USING (id IN (5, 9, 8, 4))")
    reconcile(connection, collection)
    with new_role(connection, *READER) as role, as_role(connection, role):
        assert told(ask(connection, collection)) == [(5, 2), (8, 1), (4, 1)]
        assert told_newest(connection, collection) == {(5, 2), (8, 1), (4, 1)}


def told_newest(connection: Connection, collection: Collection) -> set[tuple[int, int]]:
    return {(row.key["id"], row.copies) for row in newest_rows(connection, collection, [], distinct=True)}


def test_composite_keys_and_partitions(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.page (album int, name text, file text, PRIMARY KEY (album, name))")
    connection.execute("INSERT INTO shop.page SELECT i, 'n' || i FROM generate_series(1, 6) AS i")
    album = make_collection(connection, "shop.page", "album", partitions=3)
    embed(connection, album, {(i, f"n{i}"): at(i) for i in range(1, 7)})
    connection.execute(
        "UPDATE imgvec.album_embedding SET content_hash = sha256((album / 3)::text::bytea) WHERE album > 2"
    )
    found = ask(connection, album)
    assert [(*row.key.values(), row.copies) for row in found.rows] == [
        ("n1", 1, 1),
        ("n2", 2, 1),
        ("n3", 3, 3),
        ("n6", 6, 1),
    ]
    row = find_row(connection, album, {"album": 4, "name": "n4"})
    found = find_nearest(connection, album, row, NearestOptions(k=1, distinct=True))
    assert [(*row.key.values(), row.copies) for row in found.rows] == [("n3", 3, 2)]


@pytest.fixture(params=["rows", "bits", "pictures"])
def island(
    connection: Connection, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Collection:
    """600 rows of one picture nearest to X, 400 pictures of two rows each further away, by each kind of index."""
    collection = make_photos(connection, rows=1400, quantization="bit" if request.param == "bits" else None)
    embed(connection, collection, {key: at(0) for key in range(801, 1401)})
    embed(connection, collection, {key: at(5 + 0.2 * (key % 400)) for key in range(1, 801)})
    connection.execute(
        "UPDATE imgvec.photo_test_embedding"
        " SET content_hash = sha256((CASE WHEN id > 800 THEN 0 ELSE 1 + id % 400 END)::text::bytea)"
    )
    if request.param == "rows":
        monkeypatch.setattr(PictureCounts, "suit_pictures", lambda counts, now: False)
    build_index(connection, collection)
    connection.execute("ANALYZE")
    # Small tables are compared whole otherwise.
    monkeypatch.setattr("imgvec_pg.search.strategy.FEW_ROWS_PER_RESULT", 0)
    monkeypatch.setattr("imgvec_pg.search.strategy._affordable_candidates", lambda matching, stats: 1200.0)
    made = get_collection(connection, "photo_test")
    assert made.by_picture == (request.param == "pictures")
    return made


def test_one_picture_that_fills_the_candidates_hides_no_other(
    connection: Connection, island: Collection
) -> None:
    found = ask(connection, island, k=5)
    assert told(found) == [(801, 600), (400, 2), (1, 2), (2, 2), (3, 2)]
    # To an index over pictures it is one.
    assert (found.strategy == "index") == island.by_picture
    row = find_row(connection, island, {"id": 900})
    found = find_nearest(connection, island, row, NearestOptions(k=2, distinct=True))
    assert told(found) == [(801, 599), (400, 2)]


def test_the_index_finds_different_pictures(connection: Connection, island: Collection) -> None:
    far = np.array(at(60), np.float32)
    found = find_nearest(connection, island, far, NearestOptions(k=3, distinct=True))
    assert len({key for key, _ in told(found)}) == 3
    # Three bits a vector tell hardly any apart.
    if island.quantization is None:
        assert found.strategy == "index"
        assert sorted(told(found)) == [(274, 2), (275, 2), (276, 2)]


def test_without_the_index_on_hashes_it_is_the_same(connection: Connection) -> None:
    collection = make(connection)
    connection.execute("DROP INDEX imgvec.photo_test_embedding_content_hash")
    assert told(ask(connection, collection, k=2)) == [(3, 4), (2, 2)]


def test_rows_of_pictures_are_looked_up_by_the_index_while_sorts_are_off(
    connection: Connection, island: Collection
) -> None:
    if island.quantization is not None:
        pytest.skip("compares all rows here")

    def entries_read() -> int:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'photo_test_embedding_content_hash'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    before = entries_read()
    far = np.array(at(60), np.float32)
    found = find_nearest(connection, island, far, NearestOptions(k=3, distinct=True))
    assert found.strategy == "index"
    # Three pictures of two rows each, and candidates' rows where the index is over pictures; the table has 1,400.
    assert entries_read() - before < 200
