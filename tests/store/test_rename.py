"""A collection gets another name, its source's columns too: embeddings, queue, failures and what asks stay as they were."""

from typing import Any

import pytest
from photostore import (
    X,
    Y,
    embed,
    embedded,
    fail,
    failed,
    make_collection,
    make_photos,
    take_enqueued,
)

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.rename import follow_columns, rename_collection
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.registry import find_collections

OBJECTS = """
    SELECT 'relation', c.relname::text FROM pg_class c WHERE c.relnamespace = 'imgvec'::regnamespace
    UNION ALL SELECT 'constraint', n.conname::text FROM pg_constraint n
        WHERE n.connamespace = 'imgvec'::regnamespace AND n.contype <> 'n'
    UNION ALL SELECT 'type', t.typname::text FROM pg_type t WHERE t.typnamespace = 'imgvec'::regnamespace
    UNION ALL SELECT 'function', p.proname || md5(pg_get_functiondef(p.oid)) FROM pg_proc p
        WHERE p.pronamespace = 'imgvec'::regnamespace AND p.prokind = 'f'
    UNION ALL SELECT 'trigger', g.tgname || g.tgrelid::regclass FROM pg_trigger g WHERE NOT g.tgisinternal
    UNION ALL SELECT 'comment', d.description FROM pg_description d WHERE d.objoid IN
        (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'imgvec'::regnamespace)
    UNION ALL SELECT 'right', routine_name || grantee FROM information_schema.routine_privileges WHERE routine_schema = 'imgvec'
"""

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("id bigint PRIMARY KEY, file text", {}),
    "no foreign key": ("id bigint PRIMARY KEY, file text", {"foreign_key": False}),
    "composite": ("tenant int, id uuid, file text, PRIMARY KEY (tenant, id)", {}),
    "partitions": ("id bigint PRIMARY KEY, file text", {"partitions": 3}),
    "partitioned source": ("id bigint PRIMARY KEY, file text) PARTITION BY HASH (id", {"foreign_key": False}),
    "bits": ("id bigint PRIMARY KEY, file text", {"quantization": "bit"}),
}
shapes = pytest.mark.parametrize(("columns", "options"), SHAPES.values(), ids=SHAPES.keys())


def objects(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(OBJECTS).fetchall()
    return sorted((kind, name) for kind, name in rows)


def made(connection: Connection, columns: str, options: dict[str, Any], *names: str) -> list[tuple[str, str]]:
    """Return the objects of a collection made by the first name and renamed to the others, and leave nothing of it."""
    with connection.transaction(force_rollback=True):
        # Its id stands in functions.
        connection.execute("ALTER TABLE imgvec.collection ALTER id RESTART WITH 987654")
        connection.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.photo ({columns})")  # type: ignore[arg-type]
        collection = make_collection(connection, name=names[0], **options)
        create_alias(connection, "photos", names[0])
        for name in names[1:]:
            collection = rename_collection(connection, collection, name)
        return objects(connection)


@shapes
def test_what_is_renamed_is_what_a_new_collection_of_that_name_would_be(
    scratch: Connection, columns: str, options: dict[str, Any]
) -> None:
    expected = made(scratch, columns, options, "photo_test")
    assert made(scratch, columns, options, "other", "photo_test") == expected
    assert made(scratch, columns, options, "photo_test", "other", "photo_test") == expected
    assert any("photo_test_embedding" in name for _, name in expected)


def test_embeddings_queue_and_failures_stay_and_changes_are_seen_on(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=3)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    scratch.execute("CREATE VIEW shop.near AS SELECT * FROM imgvec.near_photo_test('[1,0,0]')")
    create_alias(scratch, "photos", "photo_test")
    before = scratch.execute("SELECT xmin::text, * FROM imgvec.photo_test_embedding ORDER BY id").fetchall()
    take_enqueued(scratch)

    renamed = rename_collection(scratch, collection, "picture_test")
    assert (
        scratch.execute("SELECT xmin::text, * FROM imgvec.picture_test_embedding ORDER BY id").fetchall()
        == before
    )
    assert failed(scratch) == [{"id": 3}]
    for asked in ("imgvec.near_picture_test('[1,0,0]')", "imgvec.near_photos('[1,0,0]')", "shop.near"):
        rows = scratch.execute(f"SELECT id FROM {asked} ORDER BY distance").fetchall()  # type: ignore[arg-type]
        assert rows == [(1,), (2,)], asked
    assert scratch.execute("SELECT id FROM imgvec.search_photos('[1,0,0]', 1)").fetchall() == [(1,)]
    assert scratch.execute("SELECT id FROM imgvec.search_picture_test('[1,0,0]', 1)").fetchall() == [(1,)]
    scratch.execute(
        "UPDATE shop.photo SET file = 'x.jpg' WHERE id = 2; INSERT INTO shop.photo VALUES (4, '4.jpg')"
    )
    assert take_enqueued(scratch) == [2, 4]
    scratch.execute("DELETE FROM shop.photo WHERE id = 1")
    assert embedded(scratch, renamed) == [2]
    assert [c.name for c in find_collections(scratch)] == ["picture_test"]


def test_renamed_columns_are_followed_and_nothing_is_embedded_anew(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=3)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    create_alias(scratch, "photos", "photo_test")
    take_enqueued(scratch)
    scratch.execute("INSERT INTO shop.photo VALUES (4, '4.jpg')")
    scratch.execute(
        "ALTER TABLE shop.photo RENAME file TO picture; ALTER TABLE shop.photo RENAME id TO number"
    )
    followed = follow_columns(scratch, collection, {"file": "picture", "id": "number", "price": "cost"})
    assert (followed.path_column, followed.watch_columns, followed.key_columns) == (
        "picture",
        ["picture"],
        ["number"],
    )
    assert scratch.execute("SELECT keys FROM imgvec.job").fetchall() == [([{"number": 4}],)]
    assert failed(scratch) == [{"number": 3}]
    for name in ("photo_test", "photos"):
        asked = f"SELECT number FROM imgvec.near_{name}('[1,0,0]') ORDER BY distance"
        assert scratch.execute(asked).fetchall() == [(1,), (2,)]  # type: ignore[arg-type]
        asked = f"SELECT number FROM imgvec.search_{name}('[1,0,0]', 1)"
        assert scratch.execute(asked).fetchall() == [(1,)]  # type: ignore[arg-type]
    take_enqueued(scratch)
    scratch.execute("UPDATE shop.photo SET picture = 'x.jpg' WHERE number = 2")
    assert take_enqueued(scratch) == [2]
    assert verify_collection(scratch, followed).differences.keys() <= {"missing"}
    assert reconcile(scratch, followed).changed == 0


def test_a_composite_key_is_followed_with_its_type(scratch: Connection) -> None:
    scratch.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.photo (tenant int, id int, file text, PRIMARY KEY (tenant, id))"
    )
    collection = make_collection(scratch, foreign_key=False)
    create_alias(scratch, "photos", "photo_test")
    scratch.execute("INSERT INTO shop.photo VALUES (1, 1, 'a'), (1, 2, 'b')")
    embed(scratch, collection, {(1, 1): X, (1, 2): Y})
    scratch.execute("ALTER TABLE shop.photo RENAME tenant TO owner")
    followed = follow_columns(scratch, collection, {"tenant": "owner"})
    for name in ("photo_test", "photos"):
        asked = f"SELECT owner, id FROM imgvec.search_{name}('[1,0,0]', 3, ARRAY[(1, 2)::imgvec.{name}_key])"
        assert scratch.execute(asked).fetchall() == [(1, 2)]  # type: ignore[arg-type]
    scratch.execute("DELETE FROM shop.photo WHERE id = 1")
    assert embedded(scratch, followed) == [(1, 2)]


def test_what_stands_in_the_way_of_a_rename_is_told_and_nothing_is_changed(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=1)
    make_collection(scratch, name="second")
    create_alias(scratch, "photos", "second")
    before = objects(scratch)
    for name, told in (("second", "is a collection already"), ("photos", "is an alias of second already")):
        with pytest.raises(CollectionError, match=told):
            rename_collection(scratch, collection, name)
    with pytest.raises(UsageError, match="cannot name a collection"):
        rename_collection(scratch, collection, "Photo")
    scratch.execute("CREATE VIEW shop.near AS SELECT id FROM imgvec.near_photo_test('[1,0,0]')")
    with pytest.raises(CollectionError, match=r"are needed as they are \(.*shop\.near.*Nothing was changed"):
        follow_columns(scratch, collection, {"id": "number"})
    scratch.execute("DROP VIEW shop.near")
    assert objects(scratch) == before
