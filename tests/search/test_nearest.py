from collections.abc import Callable, Iterator

import numpy as np
import psycopg
import pytest
from colorshop import COLORS, FROM_RED, embed_row, embedding, make_shop, request
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import DatabaseError, UsageError
from imgvec_pg.search.nearest import NearestOptions, Neighbours, find_nearest
from imgvec_pg.search.rows import find_row
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index

Ask = Callable[..., Neighbours]


@pytest.fixture
def shop(connection: Connection) -> Collection:
    return make_shop(connection)


@pytest.fixture
def ask(connection: Connection, shop: Collection) -> Ask:
    def ask_near_red(**options: object) -> Neighbours:
        return find_nearest(connection, shop, embedding("red"), NearestOptions(**options))  # type: ignore[arg-type]

    return ask_near_red


def keys(found: Neighbours) -> list[object]:
    return [row.key["id"] for row in found.rows]


def test_rows_come_by_distance_and_equal_ones_by_key(ask: Ask) -> None:
    found = ask()
    assert [COLORS[row.key["id"] - 1] for row in found.rows] == [
        *("red", "yellow", "magenta", "black", "green", "blue", "white", "cyan")
    ]
    assert [row.distance for row in found.rows] == pytest.approx(sorted(FROM_RED.values()), abs=1e-3)
    assert found.rows[0].similarity == pytest.approx(1, abs=1e-3)


def test_columns_come_with_the_rows_as_json_values(ask: Ask) -> None:
    row = ask(k=1, columns=["price", "name", "in_stock", "details", "price"]).rows[0]
    assert row.columns == {
        "price": row.columns["price"],
        "name": "red <shoe>",
        "in_stock": True,
        "details": {},
    }
    assert str(row.columns["price"]) == "10.50"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("price < 40 AND in_stock", [1, 3]),
        # A key column is not ambiguous, and the source may be named.
        ("id > 6 OR product.id = 2", [2, 8, 7]),
        ("name LIKE '%ee%'", [3]),
        ("true -- and a comment", [1, 2, 6, 8, 3, 5, 7, 4]),
        ("EXISTS (SELECT FROM imgvec.collection) AND name ~ '^[bc]'", [8, 5, 4]),
        ("name = '{near}' OR name = '%(k)s'", []),
    ],
)
def test_condition_is_over_the_source(ask: Ask, where: str, expected: list[int]) -> None:
    assert keys(ask(where=where)) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("prise < 50", r'column "prise" does not exist \(hint: Perhaps you meant .*product.price'),
        ("price <", "syntax error"),
        ("price", "must be type boolean"),
        ("price / (id - 1) > 2", "division by zero"),
        ("distance < 1", 'column "distance" does not exist'),
        ("true; DROP TABLE shop.product", "cannot insert multiple commands"),
        ("false) or (true", 'syntax error at or near "\\)"'),
        ("true)\n--", "syntax error"),
        ("true ORDER BY id", "syntax error"),
        ("true UNION SELECT 1", "syntax error"),
        ("true); DROP TABLE shop.product; --", "cannot insert multiple commands|syntax error"),
        ("setval('imgvec.version_seq', 1) > 0", "read-only transaction"),
        ("set_config('transaction_read_only', 'off', true) = 'off'", "must be set before any query"),
        (" ", "is empty"),
    ],
)
def test_condition_that_cannot_be_is_one_line(
    ask: Ask, connection: Connection, where: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ask(where=where)
    assert "\n" not in str(caught.value)
    assert connection.execute("SELECT count(*) FROM shop.product").fetchone() == (8,)


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 10_001}, {"max_distance": -0.1}, {"max_distance": 2.1}])
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"expected (0 to 2|1 to 10000 rows)"):
        NearestOptions(**options)  # type: ignore[arg-type]


def test_rows_beyond_the_largest_distance_are_left_out(ask: Ask) -> None:
    assert keys(ask(max_distance=0.7)) == [1, 2, 6, 8]


def test_row_is_not_in_its_own_answer(connection: Connection, shop: Collection) -> None:
    red = find_row(connection, shop, {"id": "1"})
    found = find_nearest(connection, shop, red, NearestOptions(k=3))
    assert keys(found) == [2, 6, 8]
    assert keys(find_nearest(connection, shop, red)) == [2, 6, 8, 3, 5, 7, 4]


def add_random_rows(connection: Connection, shop: Collection, count: int) -> None:
    vectors = np.random.default_rng(7).normal(size=(count, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    connection.execute(
        "INSERT INTO shop.product SELECT n, 'random', n FROM generate_series(9, %s) AS n", [count + 8]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO imgvec.product_color_embedding VALUES (%s, %s, 1, '', 'fp32')",
            [(number, str(vector.tolist())) for number, vector in enumerate(vectors, 9)],
        )
    build_index(connection, shop)
    connection.execute("ANALYZE shop.product; ANALYZE imgvec.product_color_embedding")
    # The planner would rather compare a few thousand rows; a large table is what this stands for.
    connection.execute("SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off")


def test_a_condition_is_one_statement_while_it_is_estimated_too(
    connection: Connection, shop: Collection, ask: Ask
) -> None:
    add_random_rows(connection, shop, 1500)
    assert ask(k=5, where="id % 2 <> 7").strategy == "index"
    for where in (
        "true); COMMIT; DROP TABLE shop.product; SELECT (true",
        "true; COMMIT; DROP TABLE shop.product",
    ):
        with pytest.raises(UsageError, match=r"syntax error|multiple commands"):
            ask(k=5, where=where)
    assert connection.execute("SELECT count(*) FROM shop.product WHERE id < 9").fetchone() == (8,)


def test_never_fewer_than_k_rows_while_more_match(connection: Connection, shop: Collection, ask: Ask) -> None:
    add_random_rows(connection, shop, 1500)
    found = ask(k=30)
    assert (found.strategy, len(found.rows)) == ("index", 30)
    # pgvector gives up early: what a large table under a selective condition meets.
    connection.execute("SET hnsw.max_scan_tuples = 60")
    with connection.transaction():
        connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
        by_index = connection.execute(
            "SELECT n.id FROM imgvec.near_product_color(%s::halfvec) AS n JOIN shop.product AS p USING (id)"
            " WHERE id BETWEEN 1000 AND 1004 ORDER BY distance LIMIT 5",
            [str(embedding("red").tolist())],
        ).fetchall()
    assert len(by_index) < 5
    found = ask(k=5, where="id BETWEEN 1000 AND 1004")
    assert (found.strategy, sorted(map(int, keys(found)))) == ("exact", [1000, 1001, 1002, 1003, 1004])
    assert [row.distance for row in found.rows] == sorted(row.distance for row in found.rows)
    assert keys(ask(k=5, where="id = 4")) == [4]


def test_search_leaves_no_setting_behind(connection: Connection, ask: Ask) -> None:
    connection.execute("SET hnsw.iterative_scan = off")
    ask()
    assert connection.execute("SHOW hnsw.iterative_scan").fetchone() == ("off",)
    assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
    assert connection.execute("SHOW hnsw.ef_search").fetchone() == ("40",)


@pytest.fixture
def reader(connection: Connection, database: str, shop: Collection) -> Iterator[str]:
    """The connection string of a role that only searches; some columns are closed to it."""
    role = "imgvec_test_" + (connection.info.dbname[-12:])
    name = sql.Identifier(role)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE imgvec_reader PASSWORD 'reader'").format(name))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA shop TO {}").format(name))
    connection.execute(sql.SQL("GRANT SELECT (id, name, picture) ON shop.product TO {}").format(name))
    yield make_conninfo(database, user=role, password="reader")
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def test_reader_needs_rights_only_on_the_columns_it_asks_for(reader: str, shop: Collection) -> None:
    with connect(reader) as connection:
        found = find_nearest(connection, shop, embedding("red"), NearestOptions(k=1, columns=["name"]))
        assert found.rows[0].columns == {"name": "red <shoe>"}
        with pytest.raises(DatabaseError, match=r"may not do this: permission denied for .* product"):
            find_nearest(connection, shop, embedding("red"), NearestOptions(columns=["price"]))


def test_rows_hidden_by_a_policy_are_not_found(connection: Connection, database: str, reader: str) -> None:
    connection.execute("ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY odd ON shop.product USING (id % 2 = 1)")
    guarded = create_collection(connection, request("guarded"))
    for number, color in enumerate(COLORS, 1):
        embed_row(connection, guarded, [number], embedding(color))
    with connect(reader) as reading:
        assert keys(find_nearest(reading, guarded, embedding("red"))) == [1, 3, 5, 7]


def test_composite_key_of_awkward_names(connection: Connection) -> None:
    connection.execute(
        'CREATE TABLE "Odd %s{}" ("Order" text, "select" uuid, pic bytea, distance int, "tax %" int,'
        ' PRIMARY KEY ("Order", "select"))'
    )
    one, two = "5a1f0f5e-0000-4000-8000-000000000001", "5a1f0f5e-0000-4000-8000-000000000002"
    connection.execute(
        sql.SQL("INSERT INTO {} VALUES ('a', {}, NULL, 3, 19), ('b,c', {}, NULL, 4, 7)").format(
            sql.Identifier("Odd %s{}"), one, two
        )
    )
    odd = create_collection(connection, request("odd", '"Odd %s{}"', image=["pic"]))
    embed_row(connection, odd, ["a", one], embedding("red"))
    embed_row(connection, odd, ["b,c", two], embedding("yellow"))
    row = find_row(connection, odd, {"Order": "b,c", "select": two.upper()})
    assert row.key == {"Order": "b,c", "select": two}
    found = find_nearest(
        connection,
        odd,
        row,
        NearestOptions(where='"tax %" = 19 AND distance = 3', columns=["tax %", "Order"]),
    )
    assert [(row.key, row.columns) for row in found.rows] == [
        ({"Order": "a", "select": one}, {"tax %": 19, "Order": "a"})
    ]


def test_cancelled_search_stays_a_database_error(connection: Connection, ask: Ask) -> None:
    connection.execute("SET statement_timeout = 100")
    with pytest.raises(psycopg.errors.QueryCanceled):
        ask(where="pg_sleep(2) IS NOT NULL")
