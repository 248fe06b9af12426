"""search_* finds by the index, by comparing, or by one after the other; says which, and is never short."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from photostore import as_role, make_collection, make_photos, new_role

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods import ivfflat
from imgvec_pg.database.index_methods.scan import IndexFacts
from imgvec_pg.database.scan_costs import ScanCosts
from imgvec_pg.store.index.build import build_index

ROWS = 4000
NEAR, FAR, FEW = "price <= 2000", "price > 2000", f"price > {ROWS - 50}"
QUERY = "'[1,0,0,0,0,0,0,0]'"


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Connection]:
    """4,000 random directions in an HNSW index; price is the rank of a row's distance from QUERY."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA cloud")
        connection.execute("CREATE TABLE cloud.photo (id bigint PRIMARY KEY, file text, price numeric)")
        collection = make_collection(connection, "cloud.photo", "cloud", dimensions=8)
        connection.execute(
            "INSERT INTO cloud.photo SELECT i, i || '.jpg' FROM generate_series(1, %s) AS i", [ROWS]
        )
        connection.execute("DELETE FROM imgvec.job")
        connection.execute("SELECT setseed(0.5)")
        fill(connection, "cloud", "id", "cloud.photo")
        connection.execute(
            f"UPDATE cloud.photo SET price = r.rank FROM (SELECT id, rank() OVER (ORDER BY embedding <=> {QUERY}) AS rank"  # type: ignore[arg-type]
            " FROM imgvec.cloud_embedding) AS r WHERE photo.id = r.id"
        )
        build_index(connection, collection)
        connection.execute("ANALYZE")
        yield connection


def fill(connection: Connection, collection: str, keys: str, source: str) -> None:
    """Embed each row of a source in a random direction."""
    connection.execute(
        f"INSERT INTO imgvec.{collection}_embedding ({keys}, embedding, version, content_hash, precision)"  # type: ignore[arg-type]
        f" SELECT {keys}, l2_normalize((SELECT array_agg(random() - 0.5) FROM generate_series(1, 8) WHERE s.id > 0)"
        f"::vector::halfvec), 1, '', 'fp32' FROM {source} AS s"
    )


Rows = list[tuple[int, float]]


def search(connection: Connection, k: int = 10, where: str | None = None) -> tuple[Rows, str]:
    """Return the keys found with their distances, and the way they were found."""
    among = "" if where is None else f", ARRAY(SELECT id FROM cloud.photo WHERE {where})"
    found = connection.execute(
        f"SELECT id, distance FROM imgvec.search_cloud({QUERY}, {k}{among})"  # type: ignore[arg-type]
    ).fetchall()
    return found, way(connection)


def nearest(connection: Connection, k: int = 10, where: str | None = None) -> Rows:
    """Return what is to be found."""
    return connection.execute(
        f"SELECT e.id, (e.embedding <=> {QUERY}) + 0 FROM imgvec.cloud_embedding AS e JOIN cloud.photo USING (id)"  # type: ignore[arg-type]
        f" WHERE {where or 'true'} ORDER BY 2, 1 LIMIT {k}"
    ).fetchall()


def check(found: Rows, true: Rows, told: str) -> None:
    """Compare with the true rows: as many, in order, and the same where they were compared one by one."""
    assert len(found) == len(true)
    distances = [distance for _, distance in found]
    assert distances == sorted(distances)
    if told == "index":
        assert len(set(found) & set(true)) >= 0.9 * len(true)
    else:
        assert found == true


def way(connection: Connection) -> str:
    row = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
    assert row is not None
    return str(row[0])


@contextmanager
def explained(connection: Connection) -> Iterator[list[str]]:
    """Collect the plans of the statements inside functions."""
    plans: list[str] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        plans.append(notice.message_primary or "")

    connection.execute("LOAD 'auto_explain'")
    connection.add_notice_handler(keep)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "SET LOCAL client_min_messages = log; SET LOCAL auto_explain.log_min_duration = 0;"
            " SET LOCAL auto_explain.log_nested_statements = on; SET LOCAL auto_explain.log_analyze = on"
        )
        yield plans
    connection.remove_notice_handler(keep)


@pytest.mark.parametrize(
    ("where", "expected", "by_index", "compared"),
    [
        (None, "index", True, False),
        (NEAR, "index", True, False),
        (FEW, "exact", False, True),
        (FAR, "index, then exact", True, True),
        ("id IN (7, 9)", "exact", False, True),
    ],
)
def test_each_way_is_planned_as_it_is_called(
    cloud: Connection, where: str | None, expected: str, by_index: bool, compared: bool
) -> None:
    with explained(cloud) as plans:
        found, told = search(cloud, where=where)
    assert told == expected
    check(found, nearest(cloud, where=where), told)
    scans = [plan for plan in plans if "cloud_embedding_hnsw" in plan and "Order By" in plan]
    sorts = [plan for plan in plans if "+ '0'::double precision" in plan and plan not in scans]
    assert (bool(scans), bool(sorts)) == (by_index, compared)
    if by_index and where is not None:
        # Looked up for each row that the scan visits, and not joined before it.
        assert "Filter: CASE WHEN (v.id = ANY" in scans[0]
        assert "Join" not in scans[0] and "Nested Loop" not in scans[0]


@pytest.mark.parametrize("table_bytes", [0, 32 << 20, (32 << 20) + 1, 512 << 20, (512 << 20) + 1, 10 << 30])
@pytest.mark.parametrize("matching", [1, 160, 1000, 10_000, 1_000_000])
@pytest.mark.parametrize("lists", [None, 100])
def test_sql_and_python_afford_the_same_scans(
    cloud: Connection, table_bytes: int, matching: int, lists: int | None
) -> None:
    row = cloud.execute("SELECT prosrc FROM pg_proc WHERE proname = 'search_cloud'").fetchone()
    assert row is not None
    [expression] = re.findall(r"affordable := (CASE .*? END);", row[0], re.DOTALL)
    afforded = cloud.execute(
        f"SELECT ({expression})::float8 FROM (VALUES (%s::float8, %s::float8, %s::float8, 10::float8, 1e6::float8))"
        " AS v (embedded_bytes, matching, index_lists, index_probes, embedded_rows)",
        [table_bytes, matching, lists],
    ).fetchone()
    costs = ScanCosts.of_table(table_bytes)
    start = costs.start_scan
    if lists is not None:
        start = ivfflat.start_microseconds(IndexFacts("ivfflat", 1e6, lists, 10))
        costs = replace(costs, visit_candidate=ivfflat.CANDIDATE_MICROSECONDS)
    by_keys = costs.affordable_candidates(costs.compare_key * matching, start)
    assert afforded == (pytest.approx(by_keys, rel=1e-9),)
    assert costs.compare_key < costs.compare_joined_row


@pytest.mark.parametrize("k", [1, 10, 200, 1500, 10_000])
@pytest.mark.parametrize("where", [None, NEAR, FAR, FEW, "price % 97 = 3", "false"])
def test_search_is_never_short_and_gives_the_nearest(cloud: Connection, k: int, where: str | None) -> None:
    found, told = search(cloud, k, where)
    check(found, nearest(cloud, k, where), told)
    assert len({key for key, _ in found}) == len(found)
    assert {key for key, _ in found} <= {key for key, _ in nearest(cloud, ROWS, where)}


@pytest.mark.parametrize("limit", [1, 60, 20_000])
def test_the_callers_own_scan_limit_costs_no_row(cloud: Connection, limit: int) -> None:
    with cloud.transaction(force_rollback=True):
        cloud.execute(f"SET LOCAL hnsw.max_scan_tuples = {limit}")  # type: ignore[arg-type]
        for where in (None, NEAR, FAR, FEW):
            assert len(search(cloud, 30, where)[0]) == 30


def test_the_collections_ef_search_is_used_and_every_setting_put_back(cloud: Connection) -> None:
    def settings() -> list[tuple[str]]:
        return cloud.execute(
            "SELECT current_setting(s) FROM unnest(ARRAY['hnsw.iterative_scan', 'hnsw.ef_search',"
            " 'hnsw.max_scan_tuples', 'enable_sort', 'plan_cache_mode']) AS s"
        ).fetchall()

    cloud.execute("SET hnsw.ef_search = 7; SET hnsw.max_scan_tuples = 300; SET enable_sort = on")
    before = settings()
    for where in (None, NEAR, FAR, FEW):
        search(cloud, where=where)
        assert settings() == before
    with cloud.transaction(force_rollback=True):
        # None of the first 150 candidates match.
        cloud.execute("SET LOCAL hnsw.ef_search = 40")
        cloud.execute("UPDATE imgvec.collection SET ef_search = NULL")
        assert search(cloud, 10, "price > 150")[1] == "index, then exact"
        cloud.execute("UPDATE imgvec.collection SET ef_search = 300")
        assert search(cloud, 10, "price > 150")[1] == "index"
    cloud.execute("RESET hnsw.ef_search; RESET hnsw.max_scan_tuples")


def test_ways_are_of_the_last_search_and_unknown_before_the_first(
    cloud: Connection, module_database: str
) -> None:
    with connect(module_database) as fresh:
        assert fresh.execute("SELECT imgvec.last_search_strategy()").fetchone() == (None,)
        search(fresh, where=FEW)
        assert way(fresh) == "exact"
        search(fresh)
        assert way(fresh) == "index"
        with pytest.raises(psycopg.Error), fresh.transaction():
            search(fresh, k=0)
        assert way(fresh) == "index"


@pytest.mark.parametrize("policy", ["id % 100 = 7", f"price > {ROWS - 40}", "price <= 40"])
def test_a_reader_who_sees_one_percent_gets_ten_of_ten(cloud: Connection, policy: str) -> None:
    def ask(among: str | None) -> Rows:
        given = "" if among is None else f", {among}"
        return cloud.execute(
            f"SELECT id, distance FROM imgvec.search_hidden({QUERY}, 10{given})"  # type: ignore[arg-type]
        ).fetchall()

    with cloud.transaction(force_rollback=True):
        cloud.execute("CREATE TABLE cloud.hidden (LIKE cloud.photo INCLUDING ALL)")
        cloud.execute("INSERT INTO cloud.hidden SELECT * FROM cloud.photo")
        cloud.execute("ALTER TABLE cloud.hidden ENABLE ROW LEVEL SECURITY")
        cloud.execute(f"CREATE POLICY few ON cloud.hidden USING ({policy})")  # type: ignore[arg-type]
        make_collection(cloud, "cloud.hidden", "hidden", dimensions=8)
        cloud.execute("INSERT INTO imgvec.hidden_embedding SELECT * FROM imgvec.cloud_embedding")
        cloud.execute("CREATE INDEX ON imgvec.hidden_embedding USING hnsw (embedding halfvec_cosine_ops)")
        cloud.execute("ANALYZE imgvec.hidden_embedding; ANALYZE cloud.hidden")
        visible = nearest(cloud, 40, policy)
        keys = [key for key, _ in visible]
        grants = ("imgvec_reader", "USAGE ON SCHEMA cloud", "SELECT ON ALL TABLES IN SCHEMA cloud")
        with new_role(cloud, *grants) as role, as_role(cloud, role):
            for among, expected in (
                (None, visible[:10]),
                ("ARRAY(SELECT id FROM cloud.photo)", visible[:10]),
                (f"ARRAY{keys[-12:]}", visible[-12:][:10]),
                (f"ARRAY(SELECT id FROM cloud.photo WHERE id <> {keys[0]})", visible[1:11]),
            ):
                check(ask(among), expected, way(cloud))


def test_a_first_scan_tells_how_far_a_second_must_go(cloud: Connection) -> None:
    # Of the first 40 candidates 5 match, of the first 160 more than 10.
    where = f"(price <= 600 OR price > {ROWS - 2600}) AND (price % 8 = 3 OR price > {ROWS - 2600})"
    with explained(cloud) as plans:
        found, told = search(cloud, where=where)
    assert told == "index"
    check(found, nearest(cloud, where=where), told)
    assert len([plan for plan in plans if "cloud_embedding_hnsw" in plan and "Order By" in plan]) == 2


def test_filters_of_one_percent_give_ten_of_ten(cloud: Connection) -> None:
    for rest in range(0, 100, 3):
        where = f"id % 100 = {rest}"
        found, told = search(cloud, where=where)
        check(found, nearest(cloud, where=where), told)


def test_without_rows_and_without_a_usable_index_all_are_compared(scratch: Connection) -> None:
    def search() -> tuple[int, str]:
        found = scratch.execute(f"SELECT FROM imgvec.search_photo_test({QUERY}, 5)").rowcount  # type: ignore[arg-type]
        return found, way(scratch)

    make_photos(scratch, rows=1000, dimensions=8)
    assert search() == (0, "exact")
    fill(scratch, "photo_test", "id", "shop.photo")
    assert search() == (5, "exact")
    scratch.execute(
        "CREATE INDEX building ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
    )
    assert search() == (5, "index")
    # As it is while CREATE INDEX CONCURRENTLY runs, and after one that was cancelled.
    scratch.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'imgvec.building'::regclass")
    assert search() == (5, "exact")


def test_partitions_are_searched_by_their_indexes(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (album integer, id integer, file text, PRIMARY KEY (album, id))")
    scratch.execute("INSERT INTO shop.photo SELECT i % 3, i, 'x' FROM generate_series(1, 600) AS i")
    make_collection(scratch, partitions=2, dimensions=8)
    fill(scratch, "photo_test", "album, id", "shop.photo")
    true = scratch.execute(
        f"SELECT album, id FROM imgvec.photo_test_embedding ORDER BY (embedding <=> {QUERY}) + 0"  # type: ignore[arg-type]
    ).fetchall()
    scratch.execute("CREATE INDEX ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)")
    everything = f"SELECT album, id FROM imgvec.search_photo_test({QUERY}, 5)"
    # An HNSW index is not exact: most of what it gives is among the nearest, in order.
    assert len(set(scratch.execute(everything).fetchall()) & set(true[:10])) >= 3  # type: ignore[arg-type]
    assert way(scratch) == "index"
    search = f"SELECT album, id FROM imgvec.search_photo_test({QUERY}, 5, %s::imgvec.photo_test_key[])"
    for kept, expected in ((true[1:], "index"), (true[7:90], "exact")):
        among = "{" + ",".join(f'"({album},{number})"' for album, number in kept) + "}"
        found = scratch.execute(search, [among]).fetchall()  # type: ignore[arg-type]
        assert way(scratch) == expected
        assert found == kept[:5] or (expected == "index" and len(set(found) & set(kept[:10])) >= 3)


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "hint"),
    [
        ("NULL", "22004", "Pass a vector"),
        (f"{QUERY}, NULL", "22023", "Ask for 1 to 10000 rows"),
        (f"{QUERY}, 0", "22023", "Ask for 1 to 10000 rows"),
        (f"{QUERY}, -1", "22023", "Ask for 1 to 10000 rows"),
        (f"{QUERY}, 10001", "22023", "Ask for 1 to 10000 rows"),
        ("'[1,0]'", "22023", "the collection's own model"),
        ("'[0,0,0,0,0,0,0,0]'", "22023", "a vector that has a direction"),
        ("'[NaN,0,0]'", "22000", ""),
        ("'[Infinity,0,0]'", "22000", ""),
    ],
)
def test_bad_questions_have_a_state_and_a_hint(
    scratch: Connection, arguments: str, sqlstate: str, hint: str
) -> None:
    make_photos(scratch, dimensions=8)
    with pytest.raises(psycopg.Error) as raised, scratch.transaction():
        scratch.execute(f"SELECT * FROM imgvec.search_photo_test({arguments})")  # type: ignore[arg-type]
    assert raised.value.sqlstate == sqlstate
    assert hint in (raised.value.diag.message_hint or "")
