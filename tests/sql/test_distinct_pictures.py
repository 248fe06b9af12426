"""search_*(..., distinct_pictures => true): different pictures, each by its row with the smallest key."""

import hashlib
from typing import Any

import psycopg
import pytest
from photostore import X, Y, Z, as_role, embed, make_collection, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.aliases import create_alias, drop_alias, get_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.rename import rename_collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import refresh_functions

A, B = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()
NEAR = (0.8, 0.6, 0.0)
CALL = "SELECT id, round(distance::numeric, 1)::float8 FROM imgvec.search_photo_test('[1,0,0]', {}, distinct_pictures => true)"
READER = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")
FORMER = """
    DROP FUNCTION imgvec.search_{0};
    CREATE FUNCTION imgvec.search_{0}(
        query public.halfvec, k integer DEFAULT 10, among bigint[] DEFAULT '[2147483646:2147483646]={{NULL}}'
    )
    RETURNS TABLE (id bigint, distance double precision) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT 0::bigint, 0::float8; END'
"""


def rows(connection: Connection, statement: str) -> list[Any]:
    return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def make(connection: Connection, **options: Any) -> Collection:
    """Rows 3, 4 and 5 have picture A, 1 and 2 have B; 6 and 7 equal vectors of an application, 8 another."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    connection.execute("INSERT INTO shop.photo SELECT i, 'x.jpg' FROM generate_series(1, 8) AS i")
    collection = make_collection(connection, **options)
    embed(connection, collection, {5: X, 3: X, 4: X, 1: NEAR, 2: NEAR, 6: Y, 7: Y, 8: Z})
    for keys, content_hash in (([3, 4, 5], A), ([1, 2], B)):
        connection.execute(
            "UPDATE imgvec.photo_test_embedding SET content_hash = %s WHERE id = ANY (%s)",
            [content_hash, keys],
        )
    return collection


@pytest.mark.parametrize("options", [{}, {"partitions": 2}, {"quantization": "bit"}])
def test_each_picture_comes_once_by_its_smallest_key(scratch: Connection, options: dict[str, Any]) -> None:
    make(scratch, **options)
    assert rows(scratch, CALL.format(3)) == [(3, 0.0), (1, 0.2), (6, 1.0)]
    # Without it, and where it is false, as ever.
    plain = "SELECT id FROM imgvec.search_photo_test('[1,0,0]', 4{})"
    assert rows(scratch, plain.format("")) == rows(scratch, plain.format(", distinct_pictures => false"))


@pytest.mark.parametrize("among", ["", ", among => ARRAY(SELECT generate_series(1, 30000, 2)::bigint)"])
@pytest.mark.parametrize("quantization", [None, "bit"])
def test_the_index_gives_as_many_pictures_as_are_asked_for(
    connection: Connection, quantization: str | None, among: str
) -> None:
    collection = make(connection, quantization=quantization)
    # Each picture seven times, the smallest of its keys odd or even.
    connection.execute("INSERT INTO shop.photo SELECT i, 'x.jpg' FROM generate_series(9, 30000) AS i")
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision) SELECT i,"
        " l2_normalize(format('[%s,%s,%s]', cos(p), sin(p) * cos(1.7 * p), sin(p) * sin(1.7 * p))::halfvec), 1,"
        " sha256(p::text::bytea), 'fp32' FROM generate_series(9, 30000) AS i, LATERAL (SELECT i / 7) AS v(p)"
    )
    build_index(connection, collection)
    call = (
        "SELECT id FROM imgvec.search_photo_test('[0.1,0.7,0.7]', 20, distinct_pictures => true" + among + ")"
    )
    found = rows(connection, call)
    way = rows(connection, "SELECT imgvec.last_search_strategy()")
    condition = "true" if not among else "id % 2 = 1"
    exact = rows(
        connection,
        "SELECT id FROM (SELECT DISTINCT ON (content_hash) id, embedding <=> '[0.1,0.7,0.7]' AS distance"
        f" FROM imgvec.photo_test_embedding WHERE content_hash <> '' AND {condition}"
        " ORDER BY content_hash, id) AS d ORDER BY distance + 0, id LIMIT 20",
    )
    assert way == [("index",)]
    assert len({(key - key % 7, key > 8) for (key,) in found}) == 20
    # Three bits tell little.
    assert quantization or len(set(found) & set(exact)) >= 19


def test_a_picture_is_shown_by_the_smallest_key_that_among_allows(scratch: Connection) -> None:
    make(scratch)
    among = "5, among => ARRAY[8, 7, 5, 4, 2]"
    assert rows(scratch, CALL.format(among)) == [(4, 0.0), (2, 0.2), (7, 1.0), (8, 1.0)]
    assert rows(scratch, CALL.format("5, among => ARRAY[]::bigint[]")) == []


def test_a_picture_is_shown_by_the_smallest_key_that_the_role_sees(scratch: Connection) -> None:
    collection = make(scratch)
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    scratch.execute("CREATE POLICY own ON shop.photo USING (id IN (2, 5, 8))")
    reconcile(scratch, collection)
    scratch.execute("SET LOCAL row_security TO DEFAULT; SET LOCAL search_path TO DEFAULT")
    with new_role(scratch, *READER) as role, as_role(scratch, role):
        assert rows(scratch, CALL.format(5)) == [(5, 0.0), (2, 0.2), (8, 1.0)]


def test_null_is_refused(scratch: Connection) -> None:
    make(scratch)
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="distinct_pictures is NULL"):
        scratch.execute("SELECT * FROM imgvec.search_photo_test('[1,0,0]', distinct_pictures => NULL)")


def test_an_earlier_function_gives_way_and_views_over_it_follow(scratch: Connection) -> None:
    collection = make(scratch)
    create_alias(scratch, "shown", "photo_test")
    for name in ("photo_test", "shown"):
        scratch.execute(FORMER.format(name))  # type: ignore[arg-type]
    scratch.execute("CREATE VIEW shop.alike AS SELECT * FROM imgvec.search_photo_test('[1,0,0]', 2)")
    refresh_functions(scratch)
    assert rows(scratch, CALL.format(2)) == [(3, 0.0), (1, 0.2)]
    assert rows(scratch, "SELECT id FROM shop.alike") == [(3,), (4,)]
    assert rows(scratch, "SELECT id FROM imgvec.search_shown('[1,0,0]', 1)") == [(3,)]
    assert find_functions(scratch, "superseded_%") == ["superseded_search_photo_test"]
    # It goes with its collection, under whatever name that has by then.
    scratch.execute("DROP VIEW shop.alike")
    drop_alias(scratch, get_alias(scratch, "shown"))
    rename_collection(scratch, collection, "renamed")
    assert find_functions(scratch, "superseded_%") == ["superseded_search_renamed"]
    drop_collection(scratch, get_collection(scratch, "renamed"))
    assert find_functions(scratch, "superseded_%") == []


def find_functions(connection: Connection, pattern: str) -> list[str]:
    found = connection.execute(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'imgvec'::regnamespace AND proname LIKE %s",
        [pattern],
    )
    return [str(row[0]) for row in found]
