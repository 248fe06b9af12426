"""near_*, near_*_row, search_* and embedding_of against distances worked out by hand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dumps import dump_to_file, restore
from photostore import (
    X,
    Y,
    Z,
    as_role,
    embed,
    make_collection,
    make_photos,
    new_role,
)

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection

HALF = 0.5**0.5
BETWEEN = (HALF, HALF, 0.0)
VECTORS = {1: X, 2: Y, 3: (-1.0, 0.0, 0.0), 4: BETWEEN}
FROM_X = [(1, 0.0), (4, 1 - HALF), (2, 1.0), (3, 2.0)]
DIRECTIONS = {"[1,0,0]": X, "[0,2,0]": Y}


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    """Rows 1 to 5, the last of which is not embedded."""
    collection = make_photos(scratch, rows=5)
    embed(scratch, collection, VECTORS)
    return collection


@pytest.fixture
def albums(scratch: Connection) -> Collection:
    """A source whose key has two columns, the embeddings in hash partitions."""
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (album integer, name text, file text, PRIMARY KEY (album, name))"
    )
    collection = make_collection(scratch, partitions=3)
    vectors = {(1, "a"): X, (1, "b"): Y, (2, "a"): (-1.0, 0.0, 0.0), (2, "b"): BETWEEN}
    for key in vectors:
        scratch.execute("INSERT INTO shop.photo VALUES (%s, %s, 'x.jpg')", key)
    embed(scratch, collection, vectors)
    return collection


def rows(scratch: Connection, statement: str, *values: Any) -> list[Any]:
    return scratch.execute(statement, values or None).fetchall()  # type: ignore[arg-type]


def approximately(expected: list[tuple[Any, ...]]) -> list[Any]:
    return [(*row[:-1], pytest.approx(row[-1], abs=1e-3)) for row in expected]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "call",
    [
        "near_photo_test('[1,0,0]') ORDER BY distance",
        "near_photo_test('[5,0,0]') ORDER BY distance",
        "near_photo_test(imgvec.embedding_of('photo_test', 1)) ORDER BY distance",
        "search_photo_test('[1,0,0]')",
        "search_photo_test(query => '[1,0,0]', k => 4)",
        "search_photo_test('[1,0,0]', among => ARRAY[4, 3, 2, 1, 99, NULL])",
    ],
)
def test_near_and_search_give_cosine_distances_in_order(scratch: Connection, call: str) -> None:
    assert rows(scratch, f"SELECT id, distance FROM imgvec.{call}") == approximately(FROM_X)


@pytest.mark.usefixtures("photos")
def test_near_row_gives_the_other_rows(scratch: Connection) -> None:
    near_row = "SELECT * FROM imgvec.near_photo_test_row(%s) ORDER BY distance"
    assert rows(scratch, near_row, 1) == approximately(FROM_X[1:])


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("key", [5, 99, None])
def test_near_row_of_a_row_without_embedding_gives_none(scratch: Connection, key: int | None) -> None:
    assert rows(scratch, "SELECT * FROM imgvec.near_photo_test_row(%s) ORDER BY distance", key) == []


@pytest.mark.usefixtures("albums")
def test_composite_keys_are_found_named_and_left_out_by_both_columns(scratch: Connection) -> None:
    near = "SELECT album, name, distance FROM imgvec.near_photo_test('[1,0,0]') ORDER BY distance LIMIT 2"
    assert rows(scratch, near) == approximately([(1, "a", 0.0), (2, "b", 1 - HALF)])
    near_row = "SELECT * FROM imgvec.near_photo_test_row(1, 'a') ORDER BY distance"
    assert rows(scratch, near_row) == approximately([(2, "b", 1 - HALF), (1, "b", 1.0), (2, "a", 2.0)])


@pytest.mark.usefixtures("albums")
@pytest.mark.parametrize(
    ("among", "expected"),
    [
        ("ROW(2, 'a'), ROW(1, 'b')", [(1, "b", 1.0), (2, "a", 2.0)]),
        ("ROW(1, 'a'), ROW(1, 'a'), ROW(9, 'a')", [(1, "a", 0.0)]),
        ("ROW(1, NULL)", []),
    ],
)
def test_among_takes_composite_keys_as_the_collections_key_type(
    scratch: Connection, among: str, expected: list[tuple[Any, ...]]
) -> None:
    search = f"SELECT * FROM imgvec.search_photo_test('[1,0,0]', 3, ARRAY[{among}]::imgvec.photo_test_key[])"
    assert rows(scratch, search) == approximately(expected)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(("among", "expected"), [("ARRAY[2,4,4]", [4, 2]), ("'{}'", []), ("ARRAY[99]", [])])
def test_among_restricts_the_search_to_the_given_keys(
    scratch: Connection, among: str, expected: list[int]
) -> None:
    found = rows(scratch, f"SELECT id FROM imgvec.search_photo_test('[1,0,0]', 3, {among})")
    assert [row[0] for row in found] == expected


@pytest.mark.usefixtures("photos")
def test_near_gives_nothing_for_a_null_or_zero_query(scratch: Connection) -> None:
    # 1e-9 is zero to a halfvec.
    for query in (
        "NULL",
        "(SELECT NULL::halfvec)",
        "'[0,0,0]'",
        "'[1e-9,0,0]'",
        "(SELECT '[0,0,0]'::halfvec)",
    ):
        near = f"SELECT * FROM imgvec.near_photo_test({query}) ORDER BY distance LIMIT 3"
        assert rows(scratch, near) == []
    lateral = (
        "SELECT v.name, n.id FROM (VALUES ('x', '[1,0,0]'::halfvec), ('none', NULL), ('zero', '[0,0,0]')) AS v (name, query)"
        " CROSS JOIN LATERAL (SELECT * FROM imgvec.near_photo_test(v.query) ORDER BY distance LIMIT 1) AS n"
    )
    assert rows(scratch, lateral) == [("x", 1)]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("NULL", r"the query vector is NULL"),
        ("'[1,0,0]', 0", r"k must be 1 to 10000, not 0"),
        ("'[1,0,0]', -1", r"k must be 1 to 10000, not -1"),
        ("'[1,0,0]', NULL", r"k must be 1 to 10000, not NULL"),
        ("'[1,0,0]', 10001", r"k must be 1 to 10000, not 10001"),
        ("'[1,0]'", r"the query vector has 2 dimensions, the collection 3"),
        ("'[0,0,0]'", r"the query vector is zero, which is equally far from all"),
    ],
)
def test_search_refuses_what_cannot_be_meant(scratch: Connection, arguments: str, error: str) -> None:
    with pytest.raises(psycopg.Error, match=error), scratch.transaction():
        scratch.execute(f"SELECT * FROM imgvec.search_photo_test({arguments})")  # type: ignore[arg-type]


SEARCH_HINT = "Ask for 1 to 10000 rows; for all, read near_* with ORDER BY distance + 0, page by page page_*."
PAGE_HINT = "Ask for 1 to 10000 rows a page."
NULL_VECTOR = (
    "22004",
    "the query vector is NULL",
    "Pass a vector; a row that is not embedded yet has none.",
)
OTHER_DIMENSIONS = (
    "22023",
    "the query vector has 2 dimensions, the collection 3",
    "Embed the query with the collection's own model.",
)
ZERO = (
    "22023",
    "the query vector is zero, which is equally far from all",
    "Pass a vector that has a direction.",
)


@pytest.mark.parametrize(
    ("function", "quantization", "k_hint"),
    [("search", None, SEARCH_HINT), ("search", "bit", SEARCH_HINT), ("page", None, PAGE_HINT)],
)
def test_search_over_both_kinds_of_index_and_page_refuse_the_same(
    scratch: Connection, function: str, quantization: str | None, k_hint: str
) -> None:
    make_photos(scratch, quantization=quantization)
    refused = {
        "NULL": NULL_VECTOR,
        "NULL, 0": NULL_VECTOR,
        "'[1,0]'": OTHER_DIMENSIONS,
        "'[0,0,0]'": ZERO,
        **{
            f"'[1,0,0]', {k}": ("22023", f"k must be 1 to 10000, not {k}", k_hint)
            for k in ("0", "-1", "10001", "NULL")
        },
    }
    told = {}
    for arguments in refused:
        with pytest.raises(psycopg.Error) as raised, scratch.transaction():
            scratch.execute(f"SELECT * FROM imgvec.{function}_photo_test({arguments})")  # type: ignore[arg-type]
        diagnostic = raised.value.diag
        told[arguments] = (diagnostic.sqlstate, diagnostic.message_primary, diagnostic.message_hint)
    assert told == refused


@pytest.mark.parametrize(
    "call",
    [
        "find_embedding({}, '1')",
        "embeddings_of({}, '[1]')",
        "text_query({}, 'red')",
        "embed_image({}, 'x')",
        "embed_labels({}, ARRAY['red', 'blue'])",
        "percentile({}, 0.1)",
    ],
)
def test_an_unknown_collection_is_told_alike_by_all_functions(scratch: Connection, call: str) -> None:
    messages = {
        "'nope'": 'collection "nope" does not exist',
        "NULL": "the collection is NULL",
        f"'{'x' * 90}'": f'collection "{"x" * 80}" does not exist',
    }
    for name, message in messages.items():
        with pytest.raises(psycopg.errors.UndefinedObject) as raised, scratch.transaction():
            scratch.execute(f"SELECT * FROM imgvec.{call.format(name)}")  # type: ignore[arg-type]
        assert raised.value.diag.message_primary == message
        assert raised.value.diag.message_hint == "SELECT name FROM imgvec.collection lists those that do."


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("k", [1, 10_000])
def test_search_takes_k_from_1_to_10000(scratch: Connection, k: int) -> None:
    assert len(rows(scratch, "SELECT FROM imgvec.search_photo_test('[1,0,0]', %s)", k)) == min(k, 4)


@pytest.mark.usefixtures("photos")
def test_near_refuses_other_dimensions(scratch: Connection) -> None:
    # As docs/reference/sql.md says: nothing is compared where no distance is read.
    assert len(rows(scratch, "SELECT id FROM imgvec.near_photo_test('[1,0]')")) == 4
    with pytest.raises(psycopg.DataError, match="different halfvec dimensions 3 and 2"):
        scratch.execute("SELECT * FROM imgvec.near_photo_test('[1,0]') ORDER BY distance")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "key", ["4", "'4'", "4::bigint", "'4'::varchar", "'{\"id\": 4}'", "'{\"id\": 4}'::jsonb"]
)
def test_embedding_of_takes_a_key_as_number_text_or_object(scratch: Connection, key: str) -> None:
    (found,) = rows(scratch, f"SELECT imgvec.embedding_of('photo_test', {key})::text")
    assert found[0].startswith("[0.7")


@pytest.mark.usefixtures("albums")
@pytest.mark.parametrize(
    "key",
    [
        """'{"album": 2, "name": "b"}'""",
        "jsonb_build_object('name', 'b', 'album', 2)",
        "ROW(2, 'b')::imgvec.photo_test_key",
        "(SELECT p FROM shop.photo AS p WHERE p.album = 2 AND p.name = 'b')",
    ],
)
def test_embedding_of_takes_a_composite_key_as_an_object_or_row(scratch: Connection, key: str) -> None:
    (found,) = rows(scratch, f"SELECT imgvec.embedding_of('photo_test', {key})::text")
    assert found[0].startswith("[0.7")


@pytest.mark.usefixtures("photos")
def test_embedding_of_knows_aliases(scratch: Connection) -> None:
    scratch.execute("INSERT INTO imgvec.alias SELECT 'newest', id FROM imgvec.collection")
    assert rows(scratch, "SELECT imgvec.embedding_of('newest', 1)::text") == [("[1,0,0]",)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("'photo_test', 99", 'collection "photo_test" has no embedding for key {"id": 99}'),
        ("'photo_test', 5", 'collection "photo_test" has no embedding for key {"id": 5}'),
        ("'photo_test', NULL", 'collection "photo_test" has no embedding for key {"id": null}'),
        ("'photo_test', '{\"name\": 1}'::jsonb", '{"name": 1} is not a key of collection "photo_test"'),
        ("'photo_test', 'seven'", 'invalid input syntax for type bigint: "seven"'),
        ("'nothing', 1", 'collection "nothing" does not exist'),
        ("NULL, 1", "the collection is NULL"),
    ],
)
def test_embedding_of_raises_instead_of_giving_null(
    scratch: Connection, photos: Collection, arguments: str, error: str
) -> None:
    with pytest.raises(psycopg.Error, match=re.escape(error)):
        scratch.execute(f"SELECT imgvec.embedding_of({arguments})")  # type: ignore[arg-type]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("key", "state"), [("'a''b'", "22P02"), ("'99999999999999999999'", "22003"), ("1e30", "22003")]
)
def test_embedding_of_says_what_a_key_is(scratch: Connection, key: str, state: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        scratch.execute(f"SELECT imgvec.embedding_of('photo_test', {key})")  # type: ignore[arg-type]
    assert raised.value.sqlstate == state
    assert raised.value.diag.message_hint == 'The key of collection "photo_test" is id bigint.'


@pytest.mark.usefixtures("photos")
def test_find_embedding_gives_null_for_a_row_that_has_none(scratch: Connection) -> None:
    for key in ("1", '"1"', '{"id": 1}'):
        (found,) = rows(
            scratch, "SELECT embedding::text, key_object FROM imgvec.find_embedding('photo_test', %s)", key
        )
        assert found[0] == "[1,0,0]"
    assert rows(scratch, "SELECT * FROM imgvec.find_embedding('photo_test', '99')") == [(None, {"id": 99})]


@pytest.mark.usefixtures("albums")
@pytest.mark.parametrize("key", ["7", "'x'", "NULL", """'{"album": 1}'"""])
def test_embedding_of_says_how_a_composite_key_is_given(scratch: Connection, key: str) -> None:
    with pytest.raises(psycopg.Error, match="is not a key of collection") as raised:
        scratch.execute(f"SELECT imgvec.embedding_of('photo_test', {key})")  # type: ignore[arg-type]
    assert raised.value.diag.message_hint == "Pass jsonb_build_object('album', …, 'name', …)."


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("setting", ["off", "relaxed_order", "strict_order"])
def test_search_leaves_the_callers_scan_setting_as_it_was(scratch: Connection, setting: str) -> None:
    scratch.execute(f"SET hnsw.iterative_scan = {setting}")  # type: ignore[arg-type]
    rows(scratch, "SELECT FROM imgvec.search_photo_test('[1,0,0]')")
    with pytest.raises(psycopg.Error), scratch.transaction():
        scratch.execute("SELECT FROM imgvec.search_photo_test('[1,0]')")
    assert rows(scratch, "SHOW hnsw.iterative_scan") == [(setting,)]


MANY = 4000


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Connection]:
    """4,000 vectors on a circle in an HNSW index; price rises with the distance from [1,0,0]."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA cloud")
        connection.execute("CREATE TABLE cloud.photo (id bigint PRIMARY KEY, file text, price numeric)")
        make_collection(connection, "cloud.photo", "cloud")
        connection.execute(
            f"INSERT INTO cloud.photo SELECT i, i || '.jpg', i FROM generate_series(1, {MANY}) AS i"
        )
        connection.execute(
            "INSERT INTO imgvec.cloud_embedding (id, embedding, version, content_hash, precision)"
            f" SELECT i, l2_normalize(ARRAY[cos(pi() * i / {MANY}), sin(pi() * i / {MANY}), 0]::vector(3))::halfvec,"
            f" 1, '', 'fp32' FROM generate_series(1, {MANY}) AS i"
        )
        connection.execute(
            "CREATE INDEX cloud_embedding_hnsw ON imgvec.cloud_embedding"
            " USING hnsw (embedding halfvec_cosine_ops) WITH (m = 8, ef_construction = 32)"
        )
        connection.execute("ANALYZE")
        yield connection


def uses_index(connection: Connection, statement: str) -> bool:
    plan = rows(connection, f"EXPLAIN {statement}")
    return any("cloud_embedding_hnsw" in line for (line,) in plan)


# The farthest keys of all, of which an index scan meets none among its first hnsw.ef_search.
FARTHEST = f"ARRAY(SELECT id FROM cloud.photo WHERE price > {MANY - 50})"


def test_search_gives_k_rows_where_the_index_alone_gives_fewer(cloud: Connection) -> None:
    plain = (
        "SELECT id FROM imgvec.near_cloud('[1,0,0]') AS n JOIN cloud.photo AS p USING (id)"
        f" WHERE p.price > {MANY - 50} ORDER BY distance LIMIT 10"
    )
    with cloud.transaction(force_rollback=True):
        # The plan that a larger table would get by itself.
        cloud.execute("SET LOCAL enable_hashjoin = off")
        cloud.execute("SET LOCAL enable_sort = off")
        cloud.execute("SET LOCAL hnsw.iterative_scan = off")
        assert uses_index(cloud, plain)
        assert rows(cloud, plain) == []
        cloud.execute("SET LOCAL hnsw.iterative_scan = strict_order")
        cloud.execute("SET LOCAL hnsw.max_scan_tuples = 100")
        assert len(rows(cloud, plain)) < 10
        found = rows(cloud, f"SELECT id FROM imgvec.search_cloud('[1,0,0]', 10, {FARTHEST})")
    assert [row[0] for row in found] == list(range(MANY - 49, MANY - 39))


def test_search_gives_a_restricted_role_k_of_the_rows_it_may_see(cloud: Connection) -> None:
    with cloud.transaction(force_rollback=True):
        cloud.execute("CREATE SCHEMA shop")
        cloud.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric)")
        cloud.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
        cloud.execute(f"CREATE POLICY few ON shop.photo USING (id > {MANY - 50})")
        make_collection(cloud)
        cloud.execute("INSERT INTO shop.photo SELECT * FROM cloud.photo")
        cloud.execute("INSERT INTO imgvec.photo_test_embedding SELECT * FROM imgvec.cloud_embedding")
        cloud.execute("CREATE INDEX ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)")
        cloud.execute("ANALYZE")
        cloud.execute("SET LOCAL hnsw.max_scan_tuples = 100")
        grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
        with new_role(cloud, *grants) as role, as_role(cloud, role):
            found = rows(cloud, "SELECT id FROM imgvec.search_photo_test('[1,0,0]', 10)")
    assert [row[0] for row in found] == list(range(MANY - 49, MANY - 39))


def test_a_dump_restores_with_the_same_answers(database: str, empty_database: str, tmp_path: Path) -> None:
    with connect(database) as connection:
        connection.execute('CREATE SCHEMA "Shop"')
        connection.execute(
            'CREATE TABLE "Shop"."Photo" (tenant integer, "Id" uuid, file text, PRIMARY KEY (tenant, "Id"))'
        )
        connection.execute('ALTER TABLE "Shop"."Photo" ENABLE ROW LEVEL SECURITY')
        collection = make_collection(connection, '"Shop"."Photo"', partitions=2)
        keys = [(1, f"00000000-0000-0000-0000-00000000000{n}") for n in range(3)]
        for key in keys:
            connection.execute("""INSERT INTO "Shop"."Photo" VALUES (%s, %s, 'x.jpg')""", key)
        embed(connection, collection, dict(zip(keys, (X, Y, Z), strict=True)))
        connection.execute("CREATE VIEW \"Shop\".like_x AS SELECT * FROM imgvec.near_photo_test('[1,0,0]')")
        connection.execute(
            "CREATE INDEX ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
        )
        question = (
            """SELECT * FROM "Shop".like_x UNION ALL SELECT * FROM imgvec.search_photo_test('[0,1,0]', 2)"""
            """ UNION ALL SELECT * FROM imgvec.near_photo_test_row(%s, %s) ORDER BY 1, 2, 3"""
        )
        expected = rows(connection, question, *keys[0])
    dump_to_file(database, tmp_path / "dump")
    restore(empty_database, tmp_path / "dump")
    with connect(empty_database) as restored:
        assert rows(restored, question, *keys[0]) == expected
        restored.execute("DELETE FROM imgvec.job")
        restored.execute("""UPDATE "Shop"."Photo" SET file = 'y.jpg'""")
        assert rows(restored, "SELECT jsonb_array_length(keys) FROM imgvec.job") == [(3,)]
