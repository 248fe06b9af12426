"""doctor --query says how many rows an index gives of those asked for, and is right: each statement is run beside it."""

import re
from collections.abc import Iterator

import pytest
from photostore import make_collection

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.hnsw import DATABASE_DEFAULTS
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.query_checks import advise
from imgvec_pg.errors import UsageError
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.index.build import build_index

ROWS = 3000
NEAR = "SELECT id FROM imgvec.near_shot(imgvec.embedding_of('shot', 7))"
SHORT = {
    "a large LIMIT": (NEAR + " ORDER BY distance LIMIT 100", 100, 40),
    "FETCH FIRST": (NEAR + " ORDER BY distance FETCH FIRST 41 ROWS ONLY", 41, 40),
    "OFFSET": (NEAR + " ORDER BY distance LIMIT 10 OFFSET 60", 70, 0),
    "a row": ("SELECT id FROM imgvec.near_shot_row(7) ORDER BY distance LIMIT 60", 60, 39),
    "words": ("SELECT id FROM imgvec.near_shot_text('east') ORDER BY distance LIMIT 60", 60, 40),
    "an alias": ("SELECT id FROM imgvec.near_shown_row(7) ORDER BY distance LIMIT 60", 60, 39),
    "inside": (f"SELECT count(*) OVER () FROM ({NEAR} ORDER BY distance LIMIT 80) AS n", 80, 40),
    "a CTE": (f"WITH n AS MATERIALIZED ({NEAR} ORDER BY distance LIMIT 80) SELECT * FROM n", 80, 40),
    "a view": ("SELECT * FROM shop.alike", 50, 40),
}
UTILITY = {
    "a materialized view": (
        f"CREATE MATERIALIZED VIEW shop.kept AS {NEAR} ORDER BY distance LIMIT 50",
        "shop.kept",
        40,
    ),
    "a table": (f"CREATE TABLE shop.copy AS {NEAR} ORDER BY distance LIMIT 50", "shop.copy", 40),
}


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE TABLE shop.shot (id bigint PRIMARY KEY, price integer, file text)")
        connection.execute(
            f"INSERT INTO shop.shot SELECT i, i % 100, i || '.jpg' FROM generate_series(1, {ROWS}) AS i"
        )
        collection = make_collection(connection, "shop.shot", "shot", dimensions=16)
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            "INSERT INTO imgvec.shot_embedding (id, embedding, version, content_hash, precision)"
            " SELECT id, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, 16) WHERE s.id > 0)"
            "::vector::halfvec), 1, '', 'fp32' FROM shop.shot AS s"
        )
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding)"
            " SELECT %s, 'east', embedding FROM imgvec.shot_embedding WHERE id = 9",
            [collection.model_id],
        )
        build_index(connection, collection)
        create_alias(connection, "shown", "shot")
        connection.execute(
            "CREATE VIEW shop.alike AS SELECT id FROM imgvec.near_shot(imgvec.embedding_of('shot', 9)) ORDER BY distance LIMIT 50"
        )
        connection.execute("VACUUM ANALYZE")
        connection.execute("SET enable_seqscan = off")
        yield connection


@pytest.fixture(autouse=True)
def defaults(shop: Connection) -> None:
    shop.execute("SET hnsw.iterative_scan = off; SET hnsw.ef_search = 40; SET hnsw.max_scan_tuples = 20000")
    shop.execute("UPDATE imgvec.collection SET ef_search = NULL")


def short(connection: Connection, query: str) -> list[Finding]:
    """Return what the doctor says of rows that will lack; where it does, it calls nothing ok."""
    findings = advise(connection, query)
    found = [finding for finding in findings if re.search(r"(asks for|are asked for|to find)", finding.met)]
    assert not found or all(finding.level != "ok" for finding in findings) or found[0].level == "info"
    return found


@pytest.mark.parametrize("shape", SHORT)
def test_a_limit_beyond_ef_search_is_told_with_both_numbers(shop: Connection, shape: str) -> None:
    query, wanted, given = SHORT[shape]
    assert len(shop.execute(query.encode()).fetchall()) == given
    (finding,) = short(shop, query)
    assert finding.level == "warning"
    assert f"asks for {wanted} rows" in finding.met and "ends after 40 rows" in finding.met
    assert finding.next_step is not None and f"search_shot(query, {wanted})" in finding.next_step
    shop.execute("SET hnsw.ef_search = 100")
    assert short(shop, query) == []
    shop.execute("SET hnsw.ef_search = 40; SET hnsw.iterative_scan = strict_order")
    assert short(shop, query) == []
    if given:
        assert len(shop.execute(query.encode()).fetchall()) > given


@pytest.mark.parametrize(
    ("function", "shape"),
    [("near_shot", "a large LIMIT"), ("near_shot_row", "a row"), ("near_shot_text", "words")],
)
def test_the_comment_of_a_function_says_how_many_rows_an_index_gives(
    shop: Connection, function: str, shape: str
) -> None:
    statement = "SELECT obj_description(oid) FROM pg_proc WHERE pronamespace = 'imgvec'::regnamespace AND proname = %s"
    (comment,) = shop.execute(statement, [function]).fetchone() or ("",)
    query, _, given = SHORT[shape]
    assert len(shop.execute(query.encode()).fetchall()) == given
    assert f"LIMIT 100 or a cursor gives {given} rows" in comment


@pytest.mark.parametrize("shape", UTILITY)
def test_what_keeps_its_rows_is_told_before_it_is_made(shop: Connection, shape: str) -> None:
    statement, relation, given = UTILITY[shape]
    (finding,) = short(shop, statement)
    assert "asks for 50 rows" in finding.met
    assert shop.execute("SELECT to_regclass(%s) IS NULL", [relation]).fetchone() == (True,)
    with shop.transaction(force_rollback=True):
        shop.execute(statement.encode())
        assert shop.execute(f"SELECT count(*) FROM {relation}".encode()).fetchone() == (given,)


def test_a_cursor_is_told_to_end_early_and_the_advised_form_does_not(shop: Connection) -> None:
    for order, given in (("distance", 40), ("distance + 0", ROWS)):
        declare = f"DECLARE onwards CURSOR FOR {NEAR} ORDER BY {order}"
        found = short(shop, declare)
        with shop.transaction():
            shop.execute(declare.encode())
            assert len(shop.execute("FETCH ALL FROM onwards").fetchall()) == given
        if given == ROWS:
            assert found == []
        else:
            assert "all rows are asked for" in found[0].met and "ends after 40 rows" in found[0].met
            assert "ORDER BY distance + 0" in str(found[0].next_step)
    shop.execute("SET hnsw.iterative_scan = strict_order; SET hnsw.max_scan_tuples = 500")
    (finding,) = short(shop, f"DECLARE onwards CURSOR FOR {NEAR} ORDER BY distance")
    assert "some 500 rows" in finding.met


def test_the_databases_defaults_make_limits_and_cursors_right(shop: Connection) -> None:
    with shop.transaction(force_rollback=True):
        for name, value in DATABASE_DEFAULTS.items():
            shop.execute("SELECT set_config(%s, %s, true)", [name, value])
        # As a table of this size is planned.
        shop.execute("SET LOCAL enable_seqscan = on")
        for shape in ("a large LIMIT", "words", "a view", "an alias"):
            query, wanted, _ = SHORT[shape]
            assert short(shop, query) == []
            assert len(shop.execute(query.encode()).fetchall()) == wanted
        assert short(shop, f"DECLARE onwards CURSOR FOR {NEAR} ORDER BY distance") == []
        shop.execute(f"DECLARE onwards CURSOR FOR {NEAR} ORDER BY distance".encode())
        assert len(shop.execute("FETCH ALL FROM onwards").fetchall()) == ROWS


def test_a_collections_own_ef_search_is_told_not_to_hold_for_near(shop: Connection) -> None:
    shop.execute("UPDATE imgvec.collection SET ef_search = 300")
    query, wanted, given = SHORT["a large LIMIT"]
    assert len(shop.execute(query.encode()).fetchall()) == given < wanted
    (finding,) = [finding for finding in advise(shop, query) if finding.level == "info"]
    assert "ef_search 300 of the collection shot" in finding.met
    assert finding.next_step == "SET hnsw.ef_search = 300"
    shop.execute("SET hnsw.ef_search = 300")
    assert len(shop.execute(query.encode()).fetchall()) == wanted


@pytest.mark.parametrize(
    ("price", "is_short"), [(50, False), (2, True)], ids=["half of the rows match", "one in fifty matches"]
)
def test_a_scan_that_goes_on_is_told_where_it_ends_before_enough_rows_match(
    shop: Connection, price: int, *, is_short: bool
) -> None:
    shop.execute("SET hnsw.iterative_scan = strict_order; SET hnsw.max_scan_tuples = 300")
    query = (
        "SELECT n.id FROM imgvec.near_shot_row(7) AS n JOIN shop.shot AS s USING (id)"
        f" WHERE s.price < {price} ORDER BY n.distance LIMIT 20"
    )
    with shop.transaction(force_rollback=True):
        shop.execute("SET LOCAL enable_sort = off")
        assert (len(shop.execute(query.encode()).fetchall()) < 20) == is_short
        found = short(shop, query)
        assert [finding.met.startswith("to find 20 rows") for finding in found] == (
            [True] if is_short else []
        )


def test_a_query_that_compares_all_rows_today_is_told_what_the_index_will_give(shop: Connection) -> None:
    with shop.transaction(force_rollback=True):
        shop.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on")
        query, wanted, _ = SHORT["a large LIMIT"]
        assert len(shop.execute(query.encode()).fetchall()) == wanted
        (finding,) = short(shop, query)
        assert finding.level == "info" and "there are 40" in finding.met
        assert short(shop, query.replace("distance LIMIT", "distance + 0 LIMIT")) == []
        assert short(shop, query.replace("LIMIT 100", "LIMIT 40")) == []


def test_a_statement_without_a_plan_is_one_line(shop: Connection) -> None:
    with pytest.raises(UsageError, match="it has no plan"):
        advise(shop, "REFRESH MATERIALIZED VIEW shop.none")
