"""What the application's own statements file, and that they need no right in the schema imgvec for it."""

import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from photostore import (
    X,
    Y,
    as_role,
    embed,
    embedded,
    enqueued,
    fail,
    failed,
    make_collection,
    make_photos,
    new_role,
    take_enqueued,
)

from imgvec_pg.backfill.partition_watch import PartitionWatch
from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.reconcile import list_source, reconcile

both_ways = pytest.mark.parametrize("with_foreign_key", [True, False], ids=["fk", "no-fk"])

MERGE = """
    MERGE INTO shop.photo AS p
    USING (VALUES (1, 'new.jpg'), (2, NULL), (9, 'nine.jpg')) AS s (id, file) ON p.id = s.id
    WHEN MATCHED AND s.file IS NULL THEN DELETE
    WHEN MATCHED THEN UPDATE SET file = s.file
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.file, 0)
"""


def make_partitioned(scratch: Connection, **changes: Any) -> Any:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (album integer, photo bigint, file text, price numeric, PRIMARY KEY (album, photo))"
        " PARTITION BY LIST (album)"
    )
    for album in (1, 2):
        scratch.execute(f"CREATE TABLE shop.photo_{album} PARTITION OF shop.photo FOR VALUES IN ({album})")
    return make_collection(scratch, **changes)


def create_citext(scratch: Connection) -> None:
    """Make the type citext in a schema that no search path names."""
    if scratch.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'").rowcount == 0:
        pytest.skip("this server does not offer citext")
    scratch.execute("CREATE SCHEMA ext")
    scratch.execute("CREATE EXTENSION citext SCHEMA ext")


@both_ways
def test_a_role_without_any_right_in_imgvec_writes_its_table_as_before(
    scratch: Connection, with_foreign_key: bool
) -> None:
    collection = make_photos(scratch, foreign_key=with_foreign_key)
    with (
        new_role(scratch, "USAGE ON SCHEMA shop", "ALL ON shop.photo") as role,
        as_role(scratch, role),
    ):
        scratch.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 5) AS i")
        scratch.execute("UPDATE shop.photo SET file = 'other.jpg' WHERE id = 2")
        scratch.execute("UPDATE shop.photo SET id = 6 WHERE id = 5")
        with scratch.cursor() as cursor, cursor.copy("COPY shop.photo FROM STDIN") as copy:
            copy.write_row((7, "7.jpg", 7))
        scratch.execute(MERGE)
        scratch.execute(
            "INSERT INTO shop.photo VALUES (3, 'three.jpg', 3) ON CONFLICT (id) DO UPDATE SET file = excluded.file"
        )
        scratch.execute("DELETE FROM shop.photo WHERE id = 4")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
            scratch.execute("SELECT FROM imgvec.job")
        scratch.execute("RESET ROLE")
        assert enqueued(scratch) == [1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 9]
        scratch.execute(f"SET ROLE {role}")
        if not with_foreign_key:
            scratch.execute("TRUNCATE shop.photo")
            scratch.execute("RESET ROLE")
            assert enqueued(scratch) == [] and embedded(scratch, collection) == []


def test_insert_files_slices_of_64_under_rising_versions(scratch: Connection) -> None:
    make_photos(scratch)
    scratch.execute("INSERT INTO shop.photo SELECT i, i || '.jpg' FROM generate_series(1, 150) AS i")
    jobs = scratch.execute("SELECT jsonb_array_length(keys), version FROM imgvec.job ORDER BY id").fetchall()
    assert sorted(length for length, _ in jobs) == [22, 64, 64]
    assert len({version for _, version in jobs}) == 3 and min(version for _, version in jobs) > 0
    assert enqueued(scratch) == list(range(1, 151))


def test_rows_without_an_image_are_not_enqueued_at_insert(scratch: Connection) -> None:
    make_photos(scratch)
    scratch.execute("INSERT INTO shop.photo VALUES (1, NULL), (2, '2.jpg')")
    assert enqueued(scratch) == [2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("price = price + 1", []),
        ("file = file", []),
        ("file = 'new.jpg' WHERE id = 2", [2]),
        ("file = NULL WHERE id = 1", [1]),
        ("file = '3.jpg' WHERE id = 3", [3]),
        ("file = CASE WHEN id = 1 THEN 'new.jpg' ELSE file END, price = 0", [1]),
        ("price = 0 WHERE false", []),
    ],
)
def test_update_files_the_rows_whose_image_changed(
    scratch: Connection, change: str, expected: list[int]
) -> None:
    make_photos(scratch)
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg', 1), (2, '2.jpg', 2), (3, NULL, 3)")
    take_enqueued(scratch)
    scratch.execute(f"UPDATE shop.photo SET {change}")  # type: ignore[arg-type]
    assert enqueued(scratch) == expected


def test_update_files_changes_of_watched_columns_of_any_type(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, crop json, focus point, content bytea)"
    )
    make_collection(scratch, image=["file", "content"], watch=["crop", "focus"])
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg', '{}', '(1,1)'), (2, '2.jpg', NULL, NULL)")
    take_enqueued(scratch)
    scratch.execute("UPDATE shop.photo SET crop = crop, focus = focus")
    assert take_enqueued(scratch) == []
    scratch.execute("UPDATE shop.photo SET focus = '(1,2)' WHERE id = 1")
    scratch.execute("""UPDATE shop.photo SET crop = '{"x": 1}' WHERE id = 2""")
    scratch.execute("UPDATE shop.photo SET content = '\\x00' WHERE id = 2")
    assert enqueued(scratch) == [1, 2, 2]


def test_update_sees_a_change_that_the_columns_type_calls_equal(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    create_citext(scratch)
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file ext.citext)")
    make_collection(scratch)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 'a.jpg')")
    scratch.execute("UPDATE shop.photo SET file = 'A.jpg'")
    assert enqueued(scratch) == [1, 1]


@both_ways
def test_copy_merge_and_upsert_file_what_they_changed(scratch: Connection, with_foreign_key: bool) -> None:
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: Y, 3: X})
    with scratch.cursor() as cursor, cursor.copy("COPY shop.photo FROM STDIN") as copy:
        for key in range(11, 14):
            copy.write_row((key, f"{key}.jpg", None))
    assert take_enqueued(scratch) == [11, 12, 13]
    scratch.execute(MERGE)
    assert take_enqueued(scratch) == [1, 9]
    assert embedded(scratch, collection) == [1, 3]
    scratch.execute(
        "INSERT INTO shop.photo VALUES (3, 'three.jpg'), (9, 'nine.jpg'), (20, '20.jpg')"
        " ON CONFLICT (id) DO UPDATE SET file = excluded.file, price = 5"
    )
    assert take_enqueued(scratch) == [3, 20]
    scratch.execute("INSERT INTO shop.photo VALUES (20, 'x.jpg') ON CONFLICT DO NOTHING")
    assert enqueued(scratch) == []


@both_ways
def test_a_changed_key_is_enqueued_anew_and_leaves_nothing_behind(
    scratch: Connection, with_foreign_key: bool
) -> None:
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    scratch.execute("UPDATE shop.photo SET id = id + 10 WHERE id <> 2")
    assert enqueued(scratch) == [11, 13]
    assert embedded(scratch, collection) == ([2, 11] if with_foreign_key else [2])
    assert failed(scratch) == []


@both_ways
def test_keys_may_be_swapped_within_one_statement(scratch: Connection, with_foreign_key: bool) -> None:
    scratch.execute("CREATE SCHEMA shop")
    deferrable = "" if with_foreign_key else "DEFERRABLE"
    scratch.execute(f"CREATE TABLE shop.photo (id bigint PRIMARY KEY {deferrable}, file text)")
    collection = make_collection(scratch, foreign_key=with_foreign_key)
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg'), (2, '2.jpg')")
    take_enqueued(scratch)
    embed(scratch, collection, {1: X, 2: Y})
    if with_foreign_key:
        # An immediate primary key lets no statement swap; the swap over a third key does.
        with scratch.transaction():
            for old, new in ((1, 0), (2, 1), (0, 2)):
                scratch.execute("UPDATE shop.photo SET id = %s WHERE id = %s", [new, old])
    else:
        scratch.execute("UPDATE shop.photo SET id = 3 - id")
    assert set(enqueued(scratch)) >= {1, 2}
    assert embedded(scratch, collection) == [1, 2]
    if with_foreign_key:
        rows = scratch.execute("SELECT id, embedding::text FROM imgvec.photo_test_embedding ORDER BY id")
        assert rows.fetchall() == [(1, "[0,1,0]"), (2, "[1,0,0]")]


def test_a_foreign_key_to_a_deferrable_primary_key_is_refused_with_the_way_out(
    scratch: Connection,
) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY DEFERRABLE, file text)")
    with pytest.raises(CollectionError, match=r"deferrable.*add --no-fk"):
        make_collection(scratch)


@both_ways
def test_delete_forgets_embeddings_and_failures(scratch: Connection, with_foreign_key: bool) -> None:
    collection = make_photos(scratch, rows=4, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    fail(scratch, collection, {"id": 4})
    scratch.execute("DELETE FROM shop.photo WHERE id IN (1, 3)")
    assert embedded(scratch, collection) == [2]
    assert failed(scratch) == [{"id": 4}]


def test_deletes_that_cascade_from_another_table_forget_too(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.album (id bigint PRIMARY KEY)")
    scratch.execute(
        "CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text,"
        " album bigint REFERENCES shop.album ON DELETE CASCADE)"
    )
    collection = make_collection(scratch, foreign_key=False)
    scratch.execute("INSERT INTO shop.album VALUES (1), (2)")
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg', 1), (2, '2.jpg', 2)")
    embed(scratch, collection, {1: X, 2: Y})
    scratch.execute("DELETE FROM shop.album WHERE id = 1")
    assert embedded(scratch, collection) == [2]


@both_ways
def test_truncate_empties_the_collection(scratch: Connection, with_foreign_key: bool) -> None:
    collection = make_photos(scratch, rows=2, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X})
    fail(scratch, collection, {"id": 2})
    list_source(scratch, collection)
    scratch.execute("INSERT INTO shop.photo VALUES (3, '3.jpg')")
    if with_foreign_key:
        with pytest.raises(psycopg.errors.FeatureNotSupported), scratch.transaction():
            scratch.execute("TRUNCATE shop.photo")
        scratch.execute("TRUNCATE shop.photo CASCADE")
    else:
        scratch.execute("TRUNCATE shop.photo")
    assert (enqueued(scratch), embedded(scratch, collection), failed(scratch)) == ([], [], [])


@both_ways
def test_partitions_file_what_is_written_through_the_parent_or_directly(
    scratch: Connection, with_foreign_key: bool
) -> None:
    collection = make_partitioned(scratch, foreign_key=with_foreign_key)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, '1.jpg'), (2, 1, '2.jpg')")
    scratch.execute("INSERT INTO shop.photo_2 VALUES (2, 2, '3.jpg')")
    assert take_enqueued(scratch) == [(1, 1), (2, 1), (2, 2)]
    embed(scratch, collection, {(1, 1): X, (2, 1): X, (2, 2): Y})
    scratch.execute("UPDATE shop.photo SET price = 1")
    scratch.execute("UPDATE shop.photo_2 SET price = 2")
    assert take_enqueued(scratch) == []
    scratch.execute("UPDATE shop.photo SET file = 'x.jpg' WHERE photo = 1")
    scratch.execute("UPDATE shop.photo_2 SET file = 'y.jpg'")
    assert take_enqueued(scratch) == [(1, 1), (2, 1), (2, 1), (2, 2)]
    scratch.execute("DELETE FROM shop.photo_2 WHERE photo = 1")
    scratch.execute("DELETE FROM shop.photo WHERE album = 1")
    assert embedded(scratch, collection) == [(2, 2)]


@both_ways
def test_a_row_that_moves_to_another_partition_is_enqueued_under_its_new_key(
    scratch: Connection, with_foreign_key: bool
) -> None:
    collection = make_partitioned(scratch, foreign_key=with_foreign_key)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, '1.jpg'), (1, 2, '2.jpg')")
    take_enqueued(scratch)
    embed(scratch, collection, {(1, 1): X, (1, 2): Y})
    fail(scratch, collection, {"album": 1, "photo": 1})
    scratch.execute("UPDATE shop.photo SET album = 2 WHERE photo = 1")
    # The old key too: a worker that had read its row would leave a vector without one.
    assert enqueued(scratch) == [(1, 1), (2, 1)]
    assert embedded(scratch, collection) == [(1, 2)]
    assert failed(scratch) == []


def test_truncate_of_one_partition_leaves_the_others_alone(scratch: Connection) -> None:
    collection = make_partitioned(scratch, foreign_key=False)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, '1.jpg'), (2, 2, '2.jpg')")
    embed(scratch, collection, {(1, 1): X, (2, 2): Y})
    fail(scratch, collection, {"album": 2, "photo": 3})
    scratch.execute("TRUNCATE shop.photo_1")
    assert embedded(scratch, collection) == [(2, 2)]
    assert enqueued(scratch) == [(1, 1), (2, 2)]  # the first is found gone by its worker
    assert failed(scratch) == [{"album": 2, "photo": 3}]
    scratch.execute("TRUNCATE shop.photo")
    assert (enqueued(scratch), embedded(scratch, collection), failed(scratch)) == ([], [], [])


@both_ways
@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE shop.photo_1",
        "TRUNCATE shop.photo_1 CASCADE",
        "ALTER TABLE shop.photo DETACH PARTITION shop.photo_1",
        "DROP TABLE shop.photo_1",
        "DROP TABLE shop.photo_1 CASCADE",
    ],
)
def test_a_partition_goes_as_it_did_before_and_leaves_the_embeddings_of_the_others(
    scratch: Connection, statement: str, with_foreign_key: bool
) -> None:
    collection = make_partitioned(scratch, foreign_key=with_foreign_key)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, '1.jpg'), (2, 2, '2.jpg'), (2, 3, '3.jpg')")
    take_enqueued(scratch)
    embed(scratch, collection, {(1, 1): X, (2, 2): Y, (2, 3): Y})
    scratch.execute(statement)  # type: ignore[arg-type]
    if not statement.startswith("TRUNCATE"):
        assert embedded(scratch, collection) == [(1, 1), (2, 2), (2, 3)]
        assert sweep_partitions(scratch, collection) == 1
    assert embedded(scratch, collection) == [(2, 2), (2, 3)]
    # Nothing was lost with the partition: rows deleted in others are still forgotten.
    scratch.execute("DELETE FROM shop.photo WHERE photo = 2")
    assert embedded(scratch, collection) == [(2, 3)]


def sweep_partitions(connection: Connection, collection: Collection) -> int:
    """Do what a running worker does at its heartbeat, until it has looked at all; return what was forgotten."""
    watch = PartitionWatch(collection)
    while watch.look(connection):
        pass
    return watch.forgotten


def test_truncate_of_a_partition_of_a_renamed_source_still_works(scratch: Connection) -> None:
    collection = make_partitioned(scratch, foreign_key=False)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, '1.jpg'), (2, 2, '2.jpg')")
    embed(scratch, collection, {(1, 1): X, (2, 2): Y})
    scratch.execute('ALTER TABLE shop.photo RENAME TO "Photo"')
    scratch.execute("TRUNCATE shop.photo_1")
    assert embedded(scratch, collection) == [(2, 2)]


@both_ways
def test_several_collections_on_one_source_are_enqueued_each(
    scratch: Connection, with_foreign_key: bool
) -> None:
    first = make_photos(scratch, foreign_key=with_foreign_key)
    second = make_collection(scratch, name="photo_other", watch=["price"])
    scratch.execute("INSERT INTO shop.photo VALUES (1, '1.jpg', 1)")
    scratch.execute("UPDATE shop.photo SET price = 2")
    assert enqueued(scratch, first) == [1]
    assert enqueued(scratch, second) == [1, 1]
    drop_collection(scratch, first)
    scratch.execute("UPDATE shop.photo SET file = 'other.jpg'")
    assert enqueued(scratch, second) == [1, 1, 1]
    assert enqueued(scratch, first) == []


LONG = "Ä" * 31 + "x"  # 63 bytes


@both_ways
@pytest.mark.parametrize(
    ("schema", "table", "key", "image"),
    [
        ("Shop", "Photo", "Id", "File Name"),
        ("select", "order", "user", "group"),
        ("shop", LONG, LONG, LONG[:-1] + "y"),
        ("shop", 'say "cheese"', "50 %", "{file}"),
        ("shop", "position", "position", "has_image"),
        ("shop", "keys", "collection_id", "moved"),
        ("shop", "new_rows", "e", "n"),
    ],
    ids=["mixed-case", "reserved", "63-bytes", "punctuation", "position", "collection_id", "new_rows"],
)
def test_names_of_all_kinds_work_from_insert_to_search(
    scratch: Connection, schema: str, table: str, key: str, image: str, with_foreign_key: bool
) -> None:
    def named(statement: str) -> psycopg.sql.Composed:
        parts = {"schema": schema, "t": table, "k": key, "i": image}
        quoted = {name: psycopg.sql.Identifier(text) for name, text in parts.items()}
        return psycopg.sql.SQL(statement).format(**quoted)  # type: ignore[arg-type]

    scratch.execute(named("CREATE SCHEMA {schema}"))
    scratch.execute(named("CREATE TABLE {schema}.{t} ({k} bigint PRIMARY KEY, {i} text, other text)"))
    collection = make_collection(
        scratch,
        named("{schema}.{t}").as_string(scratch),
        image=[image],
        foreign_key=with_foreign_key,
    )
    scratch.execute(named("INSERT INTO {schema}.{t} VALUES (1, '1.jpg'), (2, '2.jpg')"))
    scratch.execute(named("UPDATE {schema}.{t} SET {i} = 'x' WHERE {k} = 2"))
    assert take_enqueued(scratch) == [1, 2, 2]
    assert reconcile(scratch, collection).enqueued == 2
    embed(scratch, collection, {1: X, 2: Y})
    scratch.execute(named("UPDATE {schema}.{t} SET {k} = 3 WHERE {k} = 2"))
    scratch.execute(named("DELETE FROM {schema}.{t} WHERE {k} = 3"))
    found = scratch.execute("SELECT * FROM imgvec.search_photo_test('[1,0,0]')").fetchall()
    assert found == [(1, 0.0)]
    drop_collection(scratch, collection)


@both_ways
@pytest.mark.parametrize(
    ("types", "keys"),
    [
        (["bigint"], [(2**62 + 1,), (2,)]),
        (["uuid"], [(uuid.UUID(int=1),), (uuid.UUID(int=2),)]),
        (["text"], [('{"id": 1}',), ("it's",)]),
        (["varchar(20)"], [("a",), ("b",)]),
        (["numeric"], [(Decimal("12345678901234567890.123456789"),), (Decimal("1.50"),)]),
        (["timestamptz"], [("2026-01-01 12:00:00.000001+00",), ("2026-07-01 12:00:00+00",)]),
        (["date", "text"], [("2026-01-01", "a"), ("2026-01-01", "b")]),
        (["integer", "uuid", "text"], [(1, uuid.UUID(int=1), ""), (1, uuid.UUID(int=1), "b")]),
        (["shop.sku", "shop.size"], [("a", "small"), ("a", "large")]),
        (["shop.sku"], [("A",), ("b",)]),
        (["ext.citext"], [("Abc",), ("b",)]),
        (["ext.citext", "bigint"], [("Abc", 1), ("Abc", 2)]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value[0], str) else "",
)
def test_keys_of_many_types_are_enqueued_forgotten_and_found(
    scratch: Connection, types: list[str], keys: list[tuple[Any, ...]], with_foreign_key: bool
) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE DOMAIN shop.sku AS text CHECK (VALUE <> '')")
    scratch.execute("CREATE TYPE shop.size AS ENUM ('small', 'large')")
    if any("citext" in kind for kind in types):
        create_citext(scratch)
    names = [f"key{number}" for number in range(len(types))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
    scratch.execute(f"CREATE TABLE shop.photo ({columns}, file text, PRIMARY KEY ({', '.join(names)}))")  # type: ignore[arg-type]
    collection = make_collection(scratch, foreign_key=with_foreign_key)
    places = ", ".join(["%s"] * len(types))
    for key in keys:
        scratch.execute(f"INSERT INTO shop.photo VALUES ({places}, 'x.jpg')", key)  # type: ignore[arg-type]
    assert len(take_enqueued(scratch)) == len(keys)
    embed(scratch, collection, {keys[0]: X})
    scratch.execute("SET LOCAL timezone = 'America/New_York'")
    scratch.execute("UPDATE shop.photo SET file = 'y.jpg'")
    # These keys have been through JSON and Python, as a worker's have.
    queued = [key for (batch,) in scratch.execute("SELECT keys FROM imgvec.job") for key in batch]
    take_enqueued(scratch)
    for key_object in queued:
        fail(scratch, collection, key_object)
    store = EmbeddingStore(scratch, collection, vector_schema(scratch))
    assert len(store.read_images(queued)) == len(keys)
    scratch.execute("SET LOCAL timezone = 'Asia/Tokyo'")
    assert reconcile(scratch, collection).enqueued == 0
    columns = ", ".join(names)
    row = scratch.execute(f"SELECT {columns}, distance FROM imgvec.near_photo_test('[0,1,0]')").fetchone()  # type: ignore[arg-type]
    assert row is not None and row[-1] == 1
    among = f"ARRAY[ROW({places})::imgvec.photo_test_key]" if len(types) > 1 else f"ARRAY[%s::{types[0]}]"
    for key, expected in zip(keys, (1, 0), strict=True):
        found = scratch.execute(
            f"SELECT FROM imgvec.search_photo_test('[0,1,0]', 5, {among})",  # type: ignore[arg-type]
            key,
        )
        assert found.rowcount == expected
    scratch.execute("SET LOCAL timezone = 'Asia/Tokyo'")
    scratch.execute("DELETE FROM shop.photo")
    assert (embedded(scratch, collection), failed(scratch)) == ([], [])


def test_citext_keys_match_in_any_case(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    create_citext(scratch)
    scratch.execute("CREATE TABLE shop.photo (name ext.citext PRIMARY KEY, file text)")
    collection = make_collection(scratch)
    scratch.execute("INSERT INTO shop.photo VALUES ('Abc', '1.jpg')")
    embed(scratch, collection, {"Abc": X})
    found = scratch.execute(
        "SELECT name::text FROM imgvec.search_photo_test('[1,0,0]', 1, ARRAY['aBC'::ext.citext])"
    )
    assert found.fetchall() == [("Abc",)]
    assert scratch.execute("SELECT imgvec.embedding_of('photo_test', 'abc')::text").fetchone() == ("[1,0,0]",)


@both_ways
def test_reconcile_heals_what_ran_without_triggers(scratch: Connection, with_foreign_key: bool) -> None:
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    with scratch.transaction():
        scratch.execute("SET LOCAL session_replication_role = replica")
        scratch.execute("INSERT INTO shop.photo VALUES (4, '4.jpg'), (5, NULL)")
        scratch.execute("UPDATE shop.photo SET file = NULL WHERE id = 2")
        scratch.execute("DELETE FROM shop.photo WHERE id IN (1, 3)")
    assert (enqueued(scratch), embedded(scratch, collection)) == ([], [1, 2])
    healed = reconcile(scratch, collection)
    assert (healed.enqueued, healed.orphans_deleted, healed.failures_deleted) == (1, 2, 1)
    assert (enqueued(scratch), embedded(scratch, collection), failed(scratch)) == ([4], [], [])
    assert reconcile(scratch, collection).enqueued == 0


@both_ways
def test_reconcile_gives_an_attached_partition_its_triggers(
    scratch: Connection, with_foreign_key: bool
) -> None:
    collection = make_partitioned(scratch, foreign_key=with_foreign_key)
    scratch.execute("CREATE TABLE shop.photo_3 (LIKE shop.photo INCLUDING ALL)")
    scratch.execute("INSERT INTO shop.photo_3 VALUES (3, 1, '1.jpg'), (3, 2, NULL)")
    scratch.execute("ALTER TABLE shop.photo ATTACH PARTITION shop.photo_3 FOR VALUES IN (3)")
    scratch.execute("INSERT INTO shop.photo_3 VALUES (3, 3, '3.jpg')")
    assert enqueued(scratch) == []
    healed = reconcile(scratch, collection)
    assert (healed.enqueued, healed.tables_given_triggers) == (2, 1)
    assert take_enqueued(scratch) == [(3, 1), (3, 3)]
    scratch.execute("INSERT INTO shop.photo_3 VALUES (3, 4, '4.jpg')")
    assert enqueued(scratch) == [(3, 4)]
    assert reconcile(scratch, collection).tables_given_triggers == 0


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
@pytest.mark.parametrize("key_type", ["bigint", "shop.sku", "shop.size"])
def test_reconcile_is_how_a_view_is_followed(scratch: Connection, kind: str, key_type: str) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE DOMAIN shop.sku AS varchar(5)")
    scratch.execute("CREATE TYPE shop.size AS ENUM ('1', '2', '3')")
    scratch.execute(f"CREATE TABLE shop.photo (id {key_type} PRIMARY KEY, file text)")  # type: ignore[arg-type]
    scratch.execute(
        f"CREATE {kind} shop.photos AS SELECT id AS photo, file FROM shop.photo WHERE file <> 'hidden.jpg'"  # type: ignore[arg-type]
    )
    with pytest.raises(CollectionError, match="no primary key"):
        make_collection(scratch, "shop.photos", foreign_key=False)
    with pytest.raises(CollectionError, match="--no-fk"):
        make_collection(scratch, "shop.photos", key=["photo"])
    collection = make_collection(scratch, "shop.photos", key=["photo"], foreign_key=False)
    scratch.execute("INSERT INTO shop.photo VALUES ('1', '1.jpg'), ('2', 'hidden.jpg'), ('3', '3.jpg')")
    if kind == "MATERIALIZED VIEW":
        scratch.execute("REFRESH MATERIALIZED VIEW shop.photos")
    assert reconcile(scratch, collection).enqueued == 2
    assert [str(key) for key in enqueued(scratch)] == ["1", "3"]
    embed(scratch, collection, {"2": X})
    assert reconcile(scratch, collection).orphans_deleted == 1


def test_a_column_name_that_would_end_a_functions_body_is_refused(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute('CREATE TABLE shop.photo (id bigint PRIMARY KEY, "a$trigger$b" text)')
    with pytest.raises(CollectionError, match="dollar quote"):
        make_collection(scratch, image=["a$trigger$b"])
