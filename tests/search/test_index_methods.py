"""Searches, recall, tuning and the index commands with indexes of other methods than HNSW, on a real server.

IVFFlat is pgvector's own. Of a method that imgvec does not know stands one that is made here of pgvector's handler under another
name, as vchordrq, diskann and lakebase_ann come: with an operator class that orders by <=>.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from command_line import Imgvec, command_line
from photostore import as_role, new_role
from psycopg import sql
from vectorstore import make_items, vectors

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.doctor.query_checks import advise
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.registry import get_collection

ROWS = 8000
FILTERS = {"50 %": "price <= 4000", "1 %": "price <= 80", "0.1 %": "price <= 8"}


@pytest.fixture
def imgvec(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return command_line(database, monkeypatch, capsys)


@pytest.fixture(scope="module")
def listed(module_database: str) -> Iterator[Connection]:
    """8,000 clustered vectors in an IVFFlat index of 80 lists."""
    with connect(module_database) as connection:
        made = make_items(connection, ROWS, index_method="ivfflat", lists=80)
        build_index(connection, get_collection(connection, made.name))
        yield connection


def query(seed: int = 3) -> str:
    return str(vectors(1, seed)[0].tolist())


def search(
    connection: Connection, where: str | None = None, k: int = 10, seed: int = 3
) -> tuple[list[int], str]:
    """Return the keys that search_* finds, and the way."""
    among = "" if where is None else f", ARRAY(SELECT id FROM shop.item WHERE {where})"
    rows = connection.execute(
        f"SELECT id, distance FROM imgvec.search_item_test('{query(seed)}', {k}{among})"  # type: ignore[arg-type]
    ).fetchall()
    assert [distance for _, distance in rows] == sorted(distance for _, distance in rows)
    (way,) = connection.execute("SELECT imgvec.last_search_strategy()").fetchone() or ("",)
    return [key for key, _ in rows], way


def exactly(connection: Connection, where: str = "true", k: int = 10, seed: int = 3) -> list[int]:
    return [
        row[0]
        for row in connection.execute(
            f"SELECT e.id FROM imgvec.item_test_embedding AS e JOIN shop.item USING (id) WHERE {where}"  # type: ignore[arg-type]
            f" ORDER BY (embedding <=> '{query(seed)}') + 0, 1 LIMIT {k}"
        )
    ]


@contextmanager
def nested_plans(connection: Connection) -> Iterator[list[str]]:
    """Collect the plans of statements, those inside functions too."""
    plans: list[str] = []
    connection.execute("LOAD 'auto_explain'")

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        plans.append(notice.message_primary or "")

    connection.add_notice_handler(keep)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "SET LOCAL client_min_messages = log; SET LOCAL auto_explain.log_min_duration = 0;"
            " SET LOCAL auto_explain.log_nested_statements = on"
        )
        yield plans
    connection.remove_notice_handler(keep)


def test_the_index_that_serves_is_asked_of_postgresql(listed: Connection) -> None:
    collection = get_collection(listed, "item_test")
    (state,) = index_states(listed, collection)
    assert (state.method, state.lists, state.is_valid) == ("ivfflat", 80, True)
    assert state.index_name == "item_test_embedding_ivfflat"
    assert listed.execute("SELECT index FROM imgvec.status WHERE collection = 'item_test'").fetchall() == [
        ("ready",)
    ]
    with nested_plans(listed) as plans:
        keys, way = search(listed)
    assert way == "index" and len(keys) == 10
    assert any("item_test_embedding_ivfflat" in plan and "Order By" in plan for plan in plans)


@pytest.mark.parametrize("share", [None, *FILTERS])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_search_is_never_short_and_near_exact(listed: Connection, share: str | None, k: int) -> None:
    where = FILTERS[share] if share else "true"
    found, expected = 0, 0
    for seed in range(20, 30):
        keys, way = search(listed, FILTERS[share] if share else None, k, seed)
        true = exactly(listed, where, k, seed)
        assert len(keys) == len(set(keys)) == len(true)
        found, expected = found + len(set(keys) & set(true)), expected + len(true)
        if share is None and k <= 10:
            # One or several: 9 lists of 100 rows, the root of 80, are read.
            assert way == "index"
        if share == "0.1 %":
            assert way == "exact"
    assert found >= 0.9 * expected


def test_python_searches_use_it_too(listed: Connection) -> None:
    collection = get_collection(listed, "item_test")
    target = vectors(1, 3)[0]
    for where, least in ((None, "index"), (FILTERS["50 %"], "index"), (FILTERS["0.1 %"], "exact")):
        with nested_plans(listed) as plans:
            found = find_nearest(listed, collection, target, NearestOptions(k=10, where=where))
        assert found.strategy == least, where
        assert len(found.rows) == (8 if least == "exact" else 10)
        if least == "index":
            assert any("item_test_embedding_ivfflat" in plan for plan in plans)
        keys = {int(row.key["id"]) for row in found.rows}
        assert len(keys & set(exactly(listed, where or "true"))) >= 0.8 * len(keys)


def test_settings_of_the_caller_are_put_back(listed: Connection) -> None:
    names = (
        "ivfflat.probes",
        "ivfflat.iterative_scan",
        "ivfflat.max_probes",
        "enable_sort",
        "hnsw.ef_search",
    )

    def settings() -> list[str]:
        return [listed.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names]  # type: ignore[index]

    before = settings()
    search(listed)
    find_nearest(listed, get_collection(listed, "item_test"), vectors(1, 3)[0], NearestOptions())
    assert settings() == before


def test_rows_that_are_hidden_are_no_reason_to_compare_all(database: str, imgvec: Imgvec) -> None:
    with connect(database) as connection:
        make_items(connection, ROWS, index_method="ivfflat", lists=80)
        assert imgvec("index", "create", "item_test")[0] == 0
        with new_role(connection) as reader:
            for statement in (
                "GRANT imgvec_reader TO {}",
                "GRANT USAGE ON SCHEMA shop TO {}",
                "GRANT SELECT ON shop.item TO {}",
                "ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY",
                "CREATE POLICY half ON shop.item TO {} USING (price <= 4000)",
            ):
                connection.execute(sql.SQL(statement).format(sql.Identifier(reader)))
            assert imgvec("collection", "reconcile", "item_test")[0] == 0
            with as_role(connection, reader):
                keys, way = search(connection)
            assert way == "index" and len(keys) == 10
            assert len(set(keys) & set(exactly(connection, "price <= 4000"))) >= 8


def test_sqlalchemy_search_uses_it(listed: Connection, module_database: str) -> None:
    from imgvec_pg.sqlalchemy import search as find

    item = sa.Table(
        "item", sa.MetaData(), sa.Column("id", sa.BigInteger), sa.Column("price", sa.Integer), schema="shop"
    )
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(module_database))
    with engine.connect() as connection:
        for where, way in ((item.c.price <= 4000, "index"), (item.c.price <= 8, "exact")):
            found = find(connection, sa.select(item.c.id).where(where), vectors(1, 3)[0], 10, by="item_test")
            assert found.strategy == way
            assert len(found.rows) == (10 if way == "index" else 8)
    engine.dispose()


def test_commands_of_an_index_that_is_ivfflat(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 3000)
    code, out, err = imgvec("index", "create", "item_test", "--method", "ivfflat")
    assert code == 0, err
    assert "IVFFlat index of 3,000 rows, halfvec(48), lists 3, as suit the rows" in err
    collection = get_collection(connection, "item_test")
    assert (collection.index_method, collection.lists) == ("ivfflat", None)
    code, out, err = imgvec("index", "create", "item_test")
    assert code == 1 and "has a valid IVFFlat index" in err
    code, out, err = imgvec("index", "rebuild", "item_test", "--lists", "200")
    assert code == 0 and "dropped item_test_embedding_old" in out, err
    code, out, err = imgvec("index", "show", "item_test")
    assert "item_test_embedding_ivfflat (IVFFlat, lists 200" in out and "probes       15, the root" in out
    code, out, err = imgvec("recall", "item_test", "--json", "--sample", "50")
    measured = json.loads(out)
    assert measured["method"] == "IVFFlat" and measured["probes_in_use"] == 15
    assert [setting["probes"] for setting in measured["settings"]] == [1, 2, 4, 8, 15, 16, 32, 64, 128, 200]
    recalls = [setting["recall"] for setting in measured["settings"]]
    assert recalls == sorted(recalls) and recalls[-1] > 0.99 > recalls[0]
    assert {setting["strategy"] for setting in measured["settings"]} == {"index"}
    assert not any(setting["short"] for setting in measured["settings"])
    code, out, err = imgvec("index", "tune", "item_test", "--recall", "0.9")
    assert code == 0, err
    tuned = get_collection(connection, "item_test").probes
    assert out == f"item_test: probes {tuned} is stored\n" and tuned is not None
    _, out, _ = imgvec("index", "show", "item_test")
    assert f"probes       {tuned};" in out
    code, out, err = imgvec("recall", "item_test", "--ef-search", "40")
    assert code == 2 and "is IVFFlat, which has no ef_search; expected probes" in err
    # Back to HNSW: what was tuned for the lists is forgotten.
    code, out, err = imgvec("index", "rebuild", "item_test", "--method", "hnsw")
    assert code == 0, err
    collection = get_collection(connection, "item_test")
    assert (collection.index_method, collection.lists, collection.probes) == ("hnsw", None, None)
    assert [state.index_name for state in index_states(connection, collection)] == [
        "item_test_embedding_hnsw"
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--method", "ivfflat", "--lists", "0"), "lists is 0; expected 1 to 32768"),
        (("--lists", "9"), "lists are of the index method ivfflat, this is hnsw"),
        (("--method", "ivfflat", "--m", "9"), "m and ef_construction are of the index method hnsw"),
        (("--method", "ivfflat", "--quantize", "bit"), "the quantization bit is of the index method hnsw"),
        (("--method", "diskann"), "'hnsw', 'ivfflat'"),
    ],
)
def test_options_of_another_method_are_refused(
    connection: Connection, imgvec: Imgvec, arguments: tuple[str, ...], told: str
) -> None:
    make_items(connection, 30)
    code, _, err = imgvec("index", "create", "item_test", *arguments)
    assert code == 2 and told in err
    assert index_states(connection, get_collection(connection, "item_test"))[0].index_name is None


def test_partitions_are_built_and_attached(connection: Connection, imgvec: Imgvec) -> None:
    made = make_items(connection, 3000, index_method="ivfflat", lists=10, partitions=3)
    assert imgvec("index", "create", "item_test")[0] == 0
    states = index_states(connection, made)
    assert [state.method for state in states] == ["ivfflat"] * 4 and all(state.is_valid for state in states)
    same = [len(set(search(connection, seed=s)[0]) & set(exactly(connection, seed=s))) for s in range(20, 30)]
    assert sum(same) >= 80


def make_other_method(connection: Connection) -> None:
    """Make an access method that imgvec has no module for, and an index of it."""
    connection.execute("CREATE ACCESS METHOD elsewhere TYPE INDEX HANDLER ivfflathandler")
    connection.execute(
        "CREATE OPERATOR CLASS elsewhere_cosine_ops FOR TYPE halfvec USING elsewhere AS"
        " OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,"
        " FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec), FUNCTION 2 l2_norm(halfvec),"
        " FUNCTION 3 halfvec_spherical_distance(halfvec, halfvec), FUNCTION 4 l2_norm(halfvec),"
        " FUNCTION 5 ivfflat_halfvec_support(internal)"
    )
    connection.execute(
        "CREATE INDEX item_by_elsewhere ON imgvec.item_test_embedding"
        " USING elsewhere (embedding elsewhere_cosine_ops) WITH (lists = 20)"
    )


def test_any_other_method_of_the_same_operator_serves(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 3000)
    make_other_method(connection)
    with nested_plans(connection) as plans:
        keys, way = search(connection)
    assert way == "index" and len(keys) == 10
    assert any("item_by_elsewhere" in plan and "Order By" in plan for plan in plans)
    for where in FILTERS.values():
        keys, way = search(connection, where)
        assert sorted(keys) == sorted(exactly(connection, where)) or (way == "index" and len(keys) == 10)
    collection = get_collection(connection, "item_test")
    found = find_nearest(connection, collection, vectors(1, 3)[0], NearestOptions(k=10))
    assert found.strategy == "index" and len(found.rows) == 10
    code, out, err = imgvec("recall", "item_test", "--sample", "50", "--json")
    assert code == 0, err
    (setting,) = json.loads(out)["settings"]
    assert setting["strategy"] == "index" and 0.2 < setting["recall"] < 1
    code, out, err = imgvec("recall", "item_test", "--sample", "50")
    assert "elsewhere, the session's settings" in out
    _, out, _ = imgvec("index", "show", "item_test")
    assert "item_by_elsewhere (elsewhere, lists 20" in out and "the session's own of elsewhere" in out
    code, out, err = imgvec("index", "tune", "item_test")
    assert code == 1 and "of the method elsewhere, whose settings imgvec does not know" in err
    assert connection.execute("SELECT index FROM imgvec.status").fetchall() == [("ready",)]
    code, out, err = imgvec("index", "create", "item_test")
    assert code == 1 and "has a valid elsewhere index" in err


def test_a_partial_index_or_one_of_another_distance_does_not_serve(connection: Connection) -> None:
    made = make_items(connection, 3000)
    connection.execute(
        "CREATE INDEX part ON imgvec.item_test_embedding USING ivfflat (embedding halfvec_cosine_ops) WHERE id < 100"
    )
    connection.execute(
        "CREATE INDEX other ON imgvec.item_test_embedding USING ivfflat (embedding halfvec_l2_ops)"
    )
    assert index_states(connection, made)[0].index_name is None
    assert search(connection)[1] == "exact"


def test_doctor_says_that_the_lists_are_outgrown(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 1000, index_method="ivfflat", lists=10)
    assert imgvec("index", "create", "item_test")[0] == 0
    _, out, _ = imgvec("doctor")
    assert "the IVFFlat index is valid" in out and "were found among" not in out
    assert "near_* read 1 of 10 lists (ivfflat.probes), where search_* read 4" in out
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET ivfflat.probes = 4").format(sql.Identifier(connection.info.dbname))
    )
    assert "where search_* read" not in imgvec("doctor")[1]
    connection.execute("INSERT INTO shop.item SELECT i, 'x', i FROM generate_series(1001, 3000) AS i")
    connection.execute(
        "INSERT INTO imgvec.item_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT i, e.embedding, 1, '', 'fp32' FROM generate_series(1001, 3000) AS i"
        " JOIN imgvec.item_test_embedding AS e ON e.id = i % 1000 + 1"
    )
    connection.execute("ANALYZE shop.item; ANALYZE imgvec.item_test_embedding")
    _, out, _ = imgvec("doctor")
    assert "were found among 1,000 rows, there are about 3,000 now" in out


def test_doctor_computes_what_a_scan_of_lists_gives(listed: Connection) -> None:
    near = f"SELECT id FROM imgvec.near_item_test('{query()}') ORDER BY distance LIMIT 500"
    with listed.transaction(force_rollback=True):
        listed.execute("SET LOCAL ivfflat.probes = 1")
        told = [finding.met for finding in advise(listed, near)]
        assert any("ends after some 100, of 1 of 80 lists" in met for met in told), told
        assert len(listed.execute(near).fetchall()) < 500  # type: ignore[arg-type]
    listed.execute("SET ivfflat.iterative_scan = relaxed_order")
    told = [finding.met for finding in advise(listed, near)]
    assert told == ["reads the IVFFlat index in order of distance"]
    assert len(listed.execute(near).fetchall()) == 500  # type: ignore[arg-type]
    listed.execute("RESET ivfflat.iterative_scan")
