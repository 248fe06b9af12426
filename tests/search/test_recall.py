"""imgvec recall and imgvec index tune against recall worked out in numpy, on a real server."""

import json
import time

import numpy as np
import pytest
from command_line import Imgvec, Said, command_line
from photostore import new_role
from psycopg import sql
from psycopg.conninfo import make_conninfo
from vectorstore import make_items, vectors

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import DatabaseError
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.search.recall import measure
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import Exact, RecallOptions
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection

ROWS = 2000


@pytest.fixture
def imgvec(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return command_line(database, monkeypatch, capsys)


def complains(said: Said, code: int, *words: str) -> None:
    assert said[0] == code, said
    assert said[2].startswith("imgvec: ") and said[2].count("\n") == 1, said
    for word in words:
        assert word in said[2]


@pytest.fixture
def items(connection: Connection) -> Collection:
    """An index of few links, so that it does miss some."""
    items = make_items(connection, ROWS)
    connection.execute("UPDATE imgvec.collection SET m = 6, ef_construction = 16")
    build_index(connection, get_collection(connection, items.name))
    return get_collection(connection, items.name)


def true_neighbours(key: int, k: int, matching: np.ndarray | None = None) -> set[int]:
    """The keys of the nearest other rows, from the vectors as halfvec holds them."""
    stored = vectors(ROWS).astype(np.float16).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    distance = 1 - stored @ stored[key - 1]
    distance[key - 1] = 9
    if matching is not None:
        distance[~matching] = 9
    return set((np.argsort(distance, kind="stable")[:k] + 1).tolist())


def recall_by_hand(connection: Connection, meter: RecallMeter, ef_search: int) -> float:
    """Ask near_*_row with the same rows and compare keys with numpy's."""
    shares = []
    for question in meter.ask_exactly().questions:
        key = int(question.row.texts[0])
        with connection.transaction():
            connection.execute(
                sql.SQL("SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = {}").format(
                    ef_search
                )
            )
            rows = connection.execute(
                "SELECT id FROM imgvec.near_item_test_row(%s) ORDER BY distance LIMIT 10", [key]
            ).fetchall()
        shares.append(len({row[0] for row in rows} & true_neighbours(key, 10)) / 10)
    return float(np.mean(shares))


def test_recall_is_that_worked_out_by_hand(connection: Connection, items: Collection) -> None:
    meter = RecallMeter(connection, items, RecallOptions(sample=60))
    exact = meter.ask_exactly()
    assert len({question.row.texts[0] for question in exact.questions}) == 60
    by_ef = {ef: meter.measure(exact, ef) for ef in (10, 200)}
    for ef_search, setting in by_ef.items():
        assert setting is not None and setting.recall is not None and setting.low is not None
        assert setting.strategy == "index"
        assert setting.recall == pytest.approx(recall_by_hand(connection, meter, ef_search), abs=0.002)
        assert setting.low <= setting.recall <= (setting.high or 0)
        assert 0 < setting.p50_ms <= setting.p95_ms
    assert 0.5 < by_ef[10].recall < by_ef[200].recall  # type: ignore[union-attr,operator]


def test_command_shows_a_line_for_each_setting(items: Collection, imgvec: Imgvec) -> None:
    code, out, err = imgvec("recall", "item_test", "--sample", "40", "--ef-search", "10,40,100")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("item_test: 40 rows as queries; exact search takes")
    assert lines[1].split()[:3] == ["ef_search", "strategy", "recall@10"]
    assert [line.split()[:2] for line in lines[2:]] == [["10", "index"], ["40", "index"], ["100", "index"]]
    assert "in use" in lines[3] and "in use" not in lines[2]


def test_rows_in_bursts_of_near_copies_are_told_by_themselves(connection: Connection, imgvec: Imgvec) -> None:
    items = make_items(connection, ROWS)
    width = items.dimensions
    draw = np.random.default_rng(3)
    middle = draw.standard_normal(width) / width**0.5
    for key in range(1, 201):
        frame = middle + 0.05 * draw.standard_normal(width) / width**0.5
        connection.execute(
            "UPDATE imgvec.item_test_embedding SET embedding = l2_normalize(%s::halfvec) WHERE id = %s",
            [str([float(x) for x in frame]), key],
        )
    build_index(connection, items)
    code, out, err = imgvec("recall", "item_test", "--sample", "40", "--ef-search", "40")
    assert (code, err) == (0, "")
    assert "in bursts of near copies: recall@10" in out.splitlines()[-1]
    _, out, _ = imgvec("recall", "item_test", "--sample", "40", "--ef-search", "40", "--json")
    found = json.loads(out)["bursts"]
    assert 5 <= found["questions"] <= 40
    # Which of 200 near copies are the ten nearest is a matter of rounding: what the index misses by that is no loss.
    assert 0.5 < found["low"] <= found["recall"] <= found["high"] and found["recall"] > 0.95


def test_time_that_is_over_before_bursts_are_looked_for_costs_no_figure(
    connection: Connection, items: Collection
) -> None:
    meter = RecallMeter(connection, items, RecallOptions(sample=20, max_seconds=1.0))
    time.sleep(1.0)
    assert meter.ask_bursts() is None
    with pytest.raises(DatabaseError, match=r"not drawn within 1 s; give more time with --max-seconds"):
        meter.ask_exactly()


def test_json_is_the_same_for_the_same_seed(items: Collection, imgvec: Imgvec) -> None:
    def recalls(seed: str) -> list[float]:
        _, out, _ = imgvec(
            "recall", "item_test", "--sample", "30", "--ef-search", "10", "--seed", seed, "--json"
        )
        found = json.loads(out)
        assert (found["questions"], found["confidence"], found["ef_search_in_use"]) == (30, 0.95, 40)
        return [setting["recall"] for setting in found["settings"]]

    assert recalls("1") == recalls("1")


def test_condition_restricts_the_neighbours_not_the_questions(
    connection: Connection, items: Collection
) -> None:
    options = RecallOptions(sample=50, where="price % 2 = 0 AND 'a%b' LIKE 'a%'", ef_searches=[100])
    meter = RecallMeter(connection, items, options)
    exact = meter.ask_exactly()
    asked = {int(question.row.texts[0]) for question in exact.questions}
    assert any(key % 2 for key in asked) and any(key % 2 == 0 for key in asked)
    matching = np.arange(1, ROWS + 1) % 2 == 0
    question = exact.questions[0]
    key = int(question.row.texts[0])
    rows = connection.execute(
        "SELECT id, distance FROM imgvec.near_item_test_row(%s) WHERE id = ANY (%s) ORDER BY distance + 0",
        [key, sorted(true_neighbours(key, 10, matching))],
    ).fetchall()
    assert [distance for _, distance in rows] == pytest.approx(list(question.distances), abs=2e-3)
    only_matching = RecallMeter(
        connection, items, RecallOptions(sample=50, where="price <= 30", ask_matching=True)
    )
    drawn = only_matching.ask_exactly().questions
    assert len(drawn) == 30 and all(int(question.row.texts[0]) <= 30 for question in drawn)


def test_a_plan_without_the_index_is_reported_and_has_no_recall(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec
) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))
    code, out, err = imgvec("recall", "item_test", "--sample", "20", "--ef-search", "40", "--where", "id = 7")
    assert code == 0
    assert out.splitlines()[2].split()[:2] == ["40", "exact"]
    assert len(out.splitlines()[2].removesuffix("in use").split()) == 4, "way and times, no recall"
    assert "does not use the index" in err
    connection.execute(sql.SQL("ALTER DATABASE {} SET enable_indexscan = off").format(name))
    complains(
        imgvec("index", "tune", "item_test", "--recall", "0.5"),
        1,
        "answers exactly, without the index",
        "ANALYZE",
    )


def test_short_answers_are_counted(connection: Connection, items: Collection) -> None:
    connection.execute("SET hnsw.max_scan_tuples = 20")
    meter = RecallMeter(connection, items, RecallOptions(sample=20, where="price % 40 = 0", ef_searches=[10]))
    setting = meter.measure(meter.ask_exactly(), 10)
    assert setting is not None and setting.strategy == "index"
    assert setting.short > 10


def test_measuring_writes_nothing_and_leaves_no_setting(connection: Connection, items: Collection) -> None:
    before = connection.execute(
        "SELECT pg_current_xact_id_if_assigned(), current_setting('hnsw.ef_search')"
    ).fetchone()
    meter = RecallMeter(connection, items, RecallOptions(sample=20, where="pg_notify('x', '') IS NOT NULL"))
    meter.ask_exactly()
    assert (
        connection.execute(
            "SELECT pg_current_xact_id_if_assigned(), current_setting('hnsw.ef_search')"
        ).fetchone()
        == before
    )
    assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
    with pytest.raises(Exception, match="read-only transaction"):
        RecallMeter(
            connection, items, RecallOptions(sample=20, where="nextval('imgvec.version_seq') > 0")
        ).ask_exactly()


@pytest.mark.parametrize("where", [None, "price < 40", "price < 3"])
@pytest.mark.parametrize("quantization", [None, "bit"])
def test_many_exact_answers_of_one_scan_are_those_of_a_scan_each(
    connection: Connection,
    items: Collection,
    where: str | None,
    quantization: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if quantization:
        connection.execute("UPDATE imgvec.collection SET quantization = %s", [quantization])
        connection.execute("DROP INDEX imgvec.item_test_embedding_hnsw")
        build_index(connection, get_collection(connection, items.name))
    collection = get_collection(connection, items.name)
    options = RecallOptions(sample=60, where=where)
    alone = RecallMeter(connection, collection, options).ask_exactly()
    assert alone.p50_ms > 0 and len(alone.questions) == 60
    monkeypatch.setattr(measure, "LEAST_ALONE", 0)
    monkeypatch.setattr(measure, "ALONE_SHARE", 0.0)
    together = RecallMeter(connection, collection, options).ask_exactly()
    assert np.isnan(together.p50_ms), "some were asked for alone"

    def by_row(exact: Exact) -> dict[str, list[float]]:
        return {question.row.texts[0]: list(question.distances) for question in exact.questions}

    assert by_row(together) == by_row(alone)


def test_what_was_not_asked_for_want_of_time_is_said(items: Collection, imgvec: Imgvec) -> None:
    matching = ("--where", "price <= 25", "--ask-matching", "--ef-search", "40", "--sample")
    assert "queries: as many as" not in imgvec("recall", items.name, *matching, "25")[2]
    said = imgvec("recall", items.name, *matching, "26")
    assert said[0] == 0 and "25 of 26 queries: as many as rows match and the time allows" in said[2]


def test_time_is_bounded(connection: Connection, items: Collection, imgvec: Imgvec) -> None:
    complains(
        imgvec("recall", "item_test", "--max-seconds", "1", "--where", "pg_sleep(0.01) IS NOT NULL"),
        1,
        "exact searches ended",
        "--max-seconds",
    )


def test_tune_stores_the_first_setting_that_surely_reaches_the_recall(
    connection: Connection, items: Collection, imgvec: Imgvec
) -> None:
    code, out, err = imgvec("index", "tune", "item_test", "--recall", "0.9", "--dry-run", "--json")
    assert code == 0
    planned = json.loads(out)
    assert (planned["stored"], get_collection(connection, "item_test").ef_search) == (False, None)
    *others, chosen = planned["settings"]
    assert chosen["low"] >= 0.9 and all(setting["low"] < 0.9 for setting in others)
    assert err.count("ef_search") == len(planned["settings"])
    code, out, _ = imgvec("index", "tune", "item_test", "--recall", "0.9")
    assert out == f"item_test: ef_search {chosen['ef_search']} is stored\n"
    assert get_collection(connection, "item_test").ef_search == chosen["ef_search"]
    assert f"ef_search    {chosen['ef_search']}" in imgvec("collection", "show", "item_test")[1]
    assert f"ef_search    {chosen['ef_search']}" in imgvec("index", "show", "item_test")[1]


def test_python_search_uses_the_stored_setting(connection: Connection, items: Collection) -> None:
    # The condition sees what the search has set.
    only_if_set = NearestOptions(k=5, where="current_setting('hnsw.ef_search') = '200'")
    query = vectors(ROWS)[0]
    assert find_nearest(connection, items, query, only_if_set).rows == []
    connection.execute("UPDATE imgvec.collection SET ef_search = 200")
    tuned = get_collection(connection, "item_test")
    assert len(find_nearest(connection, tuned, query, only_if_set).rows) == 5


def test_what_is_wrong_gets_one_line(connection: Connection, imgvec: Imgvec) -> None:
    complains(imgvec("recall", "nope"), 1, "no collection yet")
    make_items(connection, 100)
    complains(imgvec("recall", "nope"), 1, '"nope" does not exist')
    complains(imgvec("recall", "item_test"), 1, "no valid index", "imgvec index create item_test")
    assert imgvec("index", "create", "item_test")[0] == 0
    for arguments, word in (
        (["-k", "0"], "k is 0"),
        (["-k", "1001"], "k is 1001"),
        (["--sample", "3"], "sample is 3"),
        (["--max-seconds", "0"], "time is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--where", " "], "condition is empty"),
        (["--ask-matching"], "--where"),
        (["--ef-search", "40,x"], "no whole numbers"),
        (["--ef-search", "4000"], "ef_search is 4000"),
        (["--where", "no_such = 1"], "does not take the condition"),
        (["--where", "1/(price-price) = 1"], "division by zero"),
    ):
        complains(imgvec("recall", "item_test", *arguments), 2, word)
    complains(
        imgvec("recall", "item_test", "--where", "price < 0"), 1, "no embedded row of item_test matches"
    )
    for wanted in ("2", "1", "0.1", "nan"):
        complains(imgvec("index", "tune", "item_test", "--recall", wanted), 2, "expected 0.5 to 0.9999")
    complains(
        imgvec("index", "tune", "item_test", "--recall", "0.999", "--sample", "50"),
        1,
        "cannot show a recall of 0.999",
    )


def test_a_collection_with_no_row_embedded_is_told_so(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 0)
    assert imgvec("index", "create", "item_test")[0] == 0
    complains(imgvec("recall", "item_test"), 1, "imgvec backfill item_test")
    complains(imgvec("index", "tune", "item_test"), 1, "imgvec backfill item_test")


def test_a_reader_measures_but_stores_nothing(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_role(connection, "imgvec_reader") as role:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        monkeypatch.setenv("IMGVEC_DSN", make_conninfo(database, user=role, password="x"))
        assert imgvec("recall", "item_test", "--sample", "20", "--ef-search", "40")[0] == 0
        said = imgvec("index", "tune", "item_test", "--recall", "0.9")
        assert said[0] == 1 and f"the role {role} may not store ef_search" in said[2].splitlines()[-1]
        complains(
            imgvec("recall", "item_test", "--where", "price > 0"), 1, f"the role {role} may not measure"
        )
    assert get_collection(connection, "item_test").ef_search is None
