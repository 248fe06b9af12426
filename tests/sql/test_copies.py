"""imgvec.copies_<collection>(): which rows have the same picture, of those that the role may see."""

import hashlib
from typing import Any

import pytest
from photostore import X, Y, as_role, embed, make_collection, make_photos, new_role

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.aliases import create_alias, get_alias, point_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.spec import CollectionSpec

A, B = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()
READER = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")


def rows(connection: Connection, statement: str) -> list[Any]:
    return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def make(connection: Connection, **changes: Any) -> Collection:
    """Five rows: 1, 2 and 3 have picture A, 4 has B, the vector of 5 is an application's own."""
    collection = make_photos(connection, rows=5, **changes)
    embed(connection, collection, {1: X, 2: X, 3: X, 4: Y, 5: Y})
    for keys, content_hash in (([1, 2, 3], A), ([4], B)):
        connection.execute(
            "UPDATE imgvec.photo_test_embedding SET content_hash = %s,"
            " embedded_at = timestamptz '2026-01-01 12:00+00' + id * interval '1 day' WHERE id = ANY (%s)",
            [content_hash, keys],
        )
    return collection


def test_each_row_has_its_picture_and_how_many_have_it(scratch: Connection) -> None:
    make(scratch)
    found = rows(
        scratch,
        "SELECT id, picture, copies, (first_seen AT TIME ZONE 'UTC')::date::text FROM imgvec.copies_photo_test() ORDER BY id",
    )
    assert found == [(key, A, 3, "2026-01-02") for key in (1, 2, 3)] + [(4, B, 1, "2026-01-05")]


def test_different_pictures_instead_of_one_many_times(scratch: Connection) -> None:
    make(scratch)
    nearest = """
        SELECT id, copies FROM (
            SELECT DISTINCT ON (c.picture) n.id, n.distance, c.copies
            FROM imgvec.near_photo_test('[1,0,0]') AS n JOIN imgvec.copies_photo_test() AS c USING (id)
            ORDER BY c.picture, n.distance, n.id
        ) AS d ORDER BY distance LIMIT 10
    """
    assert rows(scratch, nearest) == [(1, 3), (4, 1)]


def test_rows_that_a_policy_hides_neither_show_nor_count(scratch: Connection) -> None:
    collection = make(scratch)
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    scratch.execute("CREATE POLICY shown ON shop.photo USING (price IN (2, 3))")
    reconcile(scratch, collection)
    scratch.execute("SET LOCAL row_security TO DEFAULT; SET LOCAL search_path TO DEFAULT")
    with new_role(scratch, *READER) as role, as_role(scratch, role):
        found = rows(
            scratch,
            "SELECT id, copies, (first_seen AT TIME ZONE 'UTC')::date::text FROM imgvec.copies_photo_test() ORDER BY id",
        )
    # Neither row 1, which has the picture too and had it first, nor the picture of row 4.
    assert found == [(2, 2, "2026-01-03"), (3, 2, "2026-01-03")]


def test_few_rows_are_counted_by_the_index(scratch: Connection) -> None:
    make(scratch)
    scratch.execute("SET LOCAL enable_seqscan = off")
    plan = "\n".join(
        line
        for (line,) in rows(scratch, "EXPLAIN SELECT copies FROM imgvec.copies_photo_test() WHERE id = 2")
    )
    assert "Function Scan" not in plan
    assert "photo_test_embedding_pkey" in plan
    assert "photo_test_embedding_content_hash" in plan
    # What is not asked for is not counted.
    listing = "EXPLAIN SELECT picture, count(*) FROM imgvec.copies_photo_test() GROUP BY picture"
    assert "SubPlan" not in "\n".join(line for (line,) in rows(scratch, listing))


def test_an_alias_has_it_too_and_switches(scratch: Connection) -> None:
    make(scratch)
    other = make_collection(scratch, name="photo_other")
    create_alias(scratch, "photo", "photo_test")
    assert rows(scratch, "SELECT count(*) FROM imgvec.copies_photo()") == [(4,)]
    point_alias(scratch, get_alias(scratch, "photo"), other)
    assert rows(scratch, "SELECT count(*) FROM imgvec.copies_photo()") == [(0,)]


def test_composite_keys_and_partitions(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.page (album int, name text, file text, PRIMARY KEY (album, name))")
    scratch.execute("INSERT INTO shop.page SELECT i, 'n' || i FROM generate_series(1, 6) AS i")
    album = make_collection(scratch, "shop.page", "album", partitions=3)
    embed(scratch, album, {(i, f"n{i}"): X for i in range(1, 7)})
    scratch.execute("UPDATE imgvec.album_embedding SET content_hash = %s WHERE album <> 3", [A])
    found = rows(scratch, "SELECT album, name, copies FROM imgvec.copies_album() ORDER BY album")
    assert found == [(i, f"n{i}", 5) for i in (1, 2, 4, 5, 6)]


def test_migrate_gives_it_to_collections_of_earlier_releases(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(database) as connection:
        make(connection)
        connection.execute("DROP FUNCTION imgvec.copies_photo_test")
        assert run(cli, ["migrate", "--dsn", database]) == 0
        assert "1 functions" in capsys.readouterr().out
        assert rows(connection, "SELECT count(*) FROM imgvec.copies_photo_test()") == [(4,)]
        with new_role(connection, *READER) as role, as_role(connection, role):
            assert rows(connection, "SELECT count(*) FROM imgvec.copies_photo_test()") == [(4,)]


def test_a_key_may_be_called_as_the_columns_beside_it(scratch: Connection) -> None:
    scratch.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.scan (picture bigint, copies text, photo bytea, PRIMARY KEY (picture, copies))"
    )
    scratch.execute("INSERT INTO shop.scan VALUES (1, 'a', 'x'), (1, 'b', 'y')")
    create_collection(scratch, CollectionSpec("scan_test", "shop.scan", ["photo"], "generated", 3, False))
    scratch.execute(
        "INSERT INTO imgvec.scan_test_embedding (picture, copies, embedding, version, content_hash, precision)"
        " SELECT picture, copies, '[1,0,0]', 1, %s, 'fp32' FROM shop.scan",
        [A],
    )
    found = rows(
        scratch,
        "SELECT picture, copies, picture_, copies_, first_seen IS NULL FROM imgvec.copies_scan_test()",
    )
    assert sorted(found) == [(1, "a", A, 2, False), (1, "b", A, 2, False)]
