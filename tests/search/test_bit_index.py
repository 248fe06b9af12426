"""Collections whose index holds one bit a dimension: search_*, find_nearest and recall re-rank; near_* stay exact."""

import json

import numpy as np
import psycopg
import pytest
from command_line import Imgvec, command_line
from photostore import X, Y, embed, make_collection, new_role
from psycopg import sql
from vectorstore import make_items, vectors

from imgvec_pg.cli.commands.index import format_index
from imgvec_pg.database.connect import Connection
from imgvec_pg.search.bit_index import candidate_count
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.search.query_types import RowKey
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import RecallOptions
from imgvec_pg.search.rows import find_row
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.registry import get_collection

ROWS = 2000


@pytest.fixture
def imgvec(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return command_line(database, monkeypatch, capsys)


@pytest.fixture
def items(connection: Connection) -> Collection:
    items = make_items(connection, ROWS, quantization="bit")
    build_index(connection, items)
    return items


def literal(row: int) -> str:
    return str(vectors(ROWS)[row].tolist())


def true_keys(row: int, k: int = 10) -> set[int]:
    stored = vectors(ROWS).astype(np.float64)
    return set((np.argsort(-(stored @ stored[row]), kind="stable")[:k] + 1).tolist())


def search(connection: Connection, arguments: str, *values: object) -> list[tuple[int, float]]:
    return connection.execute(f"SELECT * FROM imgvec.search_item_test({arguments})", values).fetchall()  # type: ignore[arg-type]


def way(connection: Connection) -> str:
    """How the last search found its rows."""
    row = connection.execute("SELECT current_setting('imgvec.last_search_strategy')").fetchone()
    assert row is not None
    return str(row[0])


def index_scans(connection: Connection) -> int:
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'item_test_embedding_hnsw'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_search_finds_by_bits_and_ranks_by_the_full_vectors(
    connection: Connection, items: Collection
) -> None:
    (state,) = index_states(connection, items)
    assert state.is_valid and state.quantization == "bit"
    scans = index_scans(connection)
    hits = 0
    for row in range(20):
        found = search(connection, "%s::halfvec, 10", literal(row))
        assert way(connection) == "index"
        hits += len({key for key, _ in found} & true_keys(row))
        assert found[0][0] == row + 1
        exact = connection.execute(
            "SELECT id, distance FROM imgvec.near_item_test(%s::halfvec) WHERE id = ANY (%s) ORDER BY distance + 0",
            [literal(row), [key for key, _ in found]],
        ).fetchall()
        assert exact == found
    assert hits >= 0.97 * 200
    assert index_scans(connection) == scans + 20


def test_search_gives_k_rows_while_more_match(connection: Connection, items: Collection) -> None:
    assert len(search(connection, "%s::halfvec, 5000", literal(0))) == ROWS and way(connection) == "exact"
    few = search(connection, "%s::halfvec, 10, ARRAY[5, 6, 7]::bigint[]", literal(0))
    assert {key for key, _ in few} == {5, 6, 7} and way(connection) == "exact"
    # More keys than are compared without the index, of which three exist.
    missing = "ARRAY(SELECT -i::bigint FROM generate_series(1, 10000) AS i)"
    assert search(connection, f"%s::halfvec, 10, ARRAY[5, 6, 7] || {missing}", literal(0)) == few
    assert way(connection) == "index, then exact"
    every = "ARRAY(SELECT i::bigint FROM generate_series(1, 12000) AS i)"
    found = search(connection, f"%s::halfvec, 10, {every}", literal(3))
    assert way(connection) == "index" and len({key for key, _ in found} & true_keys(3)) >= 9
    # pgvector gives up early: what a large table under a selective policy meets.
    connection.execute("SET hnsw.max_scan_tuples = 1; SET hnsw.scan_mem_multiplier = 1")
    half = "ARRAY(SELECT 2 * i::bigint FROM generate_series(1, 12000) AS i)"
    assert len(search(connection, f"%s::halfvec, 12, {half}", literal(3))) == 12


def test_search_refuses_what_cannot_be_searched_for(connection: Connection, items: Collection) -> None:
    for arguments, error in (
        ("NULL", psycopg.errors.NullValueNotAllowed),
        (f"'{literal(0)}', 0", psycopg.errors.InvalidParameterValue),
        (f"'{literal(0)}', 10001", psycopg.errors.InvalidParameterValue),
        ("'[1,0]'", psycopg.errors.InvalidParameterValue),
        (f"'{[0.0] * 48}'", psycopg.errors.InvalidParameterValue),
    ):
        with pytest.raises(error) as caught:
            search(connection, arguments)
        assert caught.value.diag.message_hint


def test_search_leaves_no_setting_behind(connection: Connection, items: Collection) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL hnsw.ef_search = 77; SET LOCAL hnsw.iterative_scan = relaxed_order")
        search(connection, "%s::halfvec", literal(0))
        shown = connection.execute(
            "SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')"
        ).fetchone()
    assert shown == ("77", "relaxed_order")


def test_near_is_exact_and_says_so(connection: Connection, items: Collection) -> None:
    comments = connection.execute(
        "SELECT p.proname, obj_description(p.oid, 'pg_proc') FROM pg_proc AS p"
        " WHERE p.pronamespace = 'imgvec'::regnamespace AND p.proname LIKE 'near_item_test%'"
    ).fetchall()
    assert len(comments) == 3 and all("Exact" in comment for _, comment in comments)
    scans = index_scans(connection)
    rows = connection.execute(
        "SELECT id FROM imgvec.near_item_test(%s::halfvec) ORDER BY distance LIMIT 10", [literal(9)]
    ).fetchall()
    assert {row[0] for row in rows} == true_keys(9)
    assert index_scans(connection) == scans


def test_python_search_uses_the_bits_joined_with_the_source(
    connection: Connection, items: Collection
) -> None:
    hits = 0
    for row in range(20):
        found = find_nearest(connection, items, vectors(ROWS)[row], NearestOptions(columns=["price"]))
        assert found.strategy == "index"
        assert [row.distance for row in found.rows] == sorted(row.distance for row in found.rows)
        assert all(row.columns["price"] == row.key["id"] for row in found.rows)
        hits += len({row.key["id"] for row in found.rows} & true_keys(row))
    assert hits >= 0.97 * 200
    connection.execute("SET enable_sort = on")
    matching = find_nearest(
        connection, items, vectors(ROWS)[0], NearestOptions(where="price IN (5, 6) AND '%' = '%'")
    )
    assert sorted(row.key["id"] for row in matching.rows) == [5, 6]
    assert matching.strategy == "exact"


def test_a_row_is_not_in_its_own_answer(connection: Connection, items: Collection) -> None:
    found = find_nearest(connection, items, find_row(connection, items, {"id": "8"}), NearestOptions(k=9))
    assert found.strategy == "index" and 8 not in [row.key["id"] for row in found.rows]
    assert len({row.key["id"] for row in found.rows} & true_keys(7)) >= 8


def test_composite_keys_are_searched_by_bits_too(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        'CREATE TABLE shop.photo (album int, "%name" text, file text, PRIMARY KEY (album, "%name"))'
    )
    connection.execute("INSERT INTO shop.photo VALUES (1, 'a', 'x'), (1, 'b', 'x')")
    photos = make_collection(connection, quantization="bit")
    embed(connection, photos, {(1, "a"): X, (1, "b"): Y})
    build_index(connection, photos)
    connection.execute("SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off")
    row = find_row(connection, photos, {"album": "1", "%name": "a"})
    found = find_nearest(connection, photos, row, NearestOptions(k=1))
    assert (found.strategy, [row.key for row in found.rows]) == ("index", [{"album": 1, "%name": "b"}])
    among = "ARRAY[ROW(1, 'b')]::imgvec.photo_test_key[]"
    rows = connection.execute(f"SELECT * FROM imgvec.search_photo_test('[1,0,0]', 5, {among})").fetchall()
    assert rows == [(1, "b", 1.0)]


def test_quantization_is_changed_by_a_rebuild_and_back(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, ROWS, partitions=2)
    assert imgvec("index", "create", "item_test")[0] == 0
    with new_role(connection) as role:
        connection.execute(f'GRANT EXECUTE ON FUNCTION imgvec.search_item_test TO "{role}"')

        def state() -> tuple[set[str | None], bool, bool, bool]:
            """Kinds of index, whether search_* goes by bits, whether near_* says so, whether the grant is kept."""
            collection = get_collection(connection, "item_test")
            row = connection.execute(
                "SELECT pg_get_functiondef('imgvec.search_item_test'::regproc) LIKE '%%binary_quantize%%',"
                " obj_description('imgvec.near_item_test'::regproc, 'pg_proc') LIKE '%%Exact%%',"
                " has_function_privilege(%s, 'imgvec.search_item_test'::regproc, 'EXECUTE')",
                [role],
            ).fetchone()
            assert row is not None
            states = index_states(connection, collection)
            assert all(index.is_valid and index.is_made_as(collection) for index in states)
            return ({index.quantization for index in states}, *row)

        assert state() == ({None}, False, False, True)
        assert imgvec("index", "rebuild", "item_test", "--quantize", "bit")[0] == 0
        assert state() == ({"bit"}, True, True, True)
        assert search(connection, "%s::halfvec", literal(4))[0][0] == 5
        assert imgvec("index", "rebuild", "item_test", "--quantize", "none")[0] == 0
        assert state() == ({None}, False, False, True)
        assert search(connection, "%s::halfvec", literal(4))[0][0] == 5


def test_recall_of_bits_is_measured_and_tuned(
    connection: Connection, items: Collection, imgvec: Imgvec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "index tune" not in imgvec("index", "rebuild", "item_test")[2]
    monkeypatch.setattr(format_index, "MANY_BITS_ROWS", ROWS)
    said = imgvec("index", "rebuild", "item_test")[2]
    assert "of 2,000 rows 200 candidates by bits may hold too few" in said and "index tune item_test" in said
    code, out, err = imgvec("recall", "item_test", "--sample", "40", "--json")
    assert code == 0, err
    found = json.loads(out)
    settings = found["settings"]
    assert settings[0]["ef_search"] == candidate_count(10, None) == 200 == found["ef_search_in_use"]
    assert all(setting["strategy"] == "index" for setting in settings)
    assert 0.9 < settings[0]["recall"] <= settings[-1]["recall"] <= 1
    assert imgvec("index", "tune", "item_test", "--recall", "0.95")[0] == 0
    tuned = get_collection(connection, "item_test").ef_search
    assert tuned is not None and tuned >= 200
    assert "index tune" not in imgvec("index", "rebuild", "item_test")[2]
    assert "one bit a dimension" in imgvec("index", "show", "item_test")[1]


def test_more_candidates_than_a_list_of_hnsw_holds_are_measured_stored_and_taken(
    connection: Connection, items: Collection, imgvec: Imgvec
) -> None:
    code, out, _ = imgvec("recall", items.name, "--sample", "40", "--ef-search", "200,1800", "--json")
    assert code == 0
    few, many = json.loads(out)["settings"]
    assert (few["ef_search"], many["ef_search"], many["strategy"]) == (200, 1800, "index")
    assert many["recall"] >= 0.95
    connection.execute("UPDATE imgvec.collection SET ef_search = 1800")
    tuned = get_collection(connection, items.name)
    found = find_nearest(connection, tuned, vectors(ROWS)[5])
    assert found.strategy == "index" and len({row.key["id"] for row in found.rows} & true_keys(5)) >= 9
    assert {key for key, _ in search(connection, "%s::halfvec, 10", literal(5))} == true_keys(5)

    meter = RecallMeter(connection, tuned, RecallOptions())
    statement, values = meter.sql.nearest(RowKey({"id": 6}, ["6"]), exactly=False)
    connection.execute("SELECT '[1]'::halfvec")
    for name, value in meter.method.measured_settings(1800).items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    explained = connection.execute(
        sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) {}").format(statement),
        {**values, "k": 10, "candidates": 1800},
    ).fetchone()
    # A list of HNSW ends at 1,000.
    assert explained is not None and '"Actual Rows": 1800' in json.dumps(explained[0])


def test_more_candidates_than_that_are_for_bits_alone(connection: Connection, imgvec: Imgvec) -> None:
    items = make_items(connection, 50)
    with pytest.raises(psycopg.errors.CheckViolation, match="collection_ef_search_range"):
        connection.execute("UPDATE imgvec.collection SET ef_search = 1001")
    build_index(connection, items)
    code, _, said = imgvec("recall", items.name, "--ef-search", "1001")
    assert (code, "expected 1 to 1000" in said) == (2, True), said


def test_collection_create_takes_the_option(connection: Connection, imgvec: Imgvec) -> None:
    connection.execute("CREATE TABLE photo (id int PRIMARY KEY, picture bytea)")
    arguments = (
        "collection",
        "create",
        "bits",
        "--source",
        "photo",
        "--image",
        "picture",
        "--model",
        "color-grid",
    )
    assert imgvec(*arguments, "--quantize", "bit")[0] == 0
    assert get_collection(connection, "bits").quantization == "bit"
    build_index(connection, get_collection(connection, "bits"))
    assert "bits_embedding_hnsw of bits" in imgvec("collection", "show", "bits")[1]
