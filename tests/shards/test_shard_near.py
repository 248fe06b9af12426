"""near_* over the embedding tables of two shards, whose indexes are read, against exact distances."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import psycopg
import pytest
from fresh_databases import Server, fresh_database
from psycopg.conninfo import conninfo_to_dict
from vectorstore import make_items, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards import coordinator as coordinator_module
from imgvec_pg.shards.coordinator import span_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection

ROWS = 900
"""Of each shard; the second's keys come after the first's."""


@dataclass
class Pair:
    """Connection strings."""

    coordinator: str
    shards: tuple[str, str]


def imgvec(dsn: str, *words: str) -> int:
    return run(cli, [*words, "--dsn", dsn])


@pytest.fixture(scope="module")
def pair(server: Server, template: str) -> Iterator[Pair]:
    with ExitStack() as stack:
        here, first, second = (stack.enter_context(fresh_database(server, template)) for _ in range(3))
        made = Pair(here, (first, second))
        for place, dsn in enumerate(made.shards):
            with connect(dsn) as connection:
                fill(connection, place)
            assert imgvec(here, "shard", "add", ("first", "second")[place], "--at", dsn) == 0
        assert imgvec(here, "shard", "span", "item_test", "--shards", "first,second") == 0
        with connect(here) as connection:
            connection.execute(
                "CREATE TABLE public.stock AS SELECT i::bigint AS id, i % 10 AS shelf FROM generate_series(1, 1800) AS i;"
                "CREATE UNIQUE INDEX ON public.stock (id); ANALYZE public.stock"
            )
        yield made


def fill(connection: Connection, place: int) -> None:
    """Keys 1 to ROWS with the first half of the vectors, or those after them with the second."""
    make_items(connection, ROWS)
    half = vectors(2 * ROWS)[place * ROWS :][:ROWS]
    connection.execute("TRUNCATE imgvec.item_test_embedding")
    connection.execute("UPDATE shop.item SET id = id + %s, price = price + %s", [place * ROWS] * 2)
    with connection.cursor().copy(
        "COPY imgvec.item_test_embedding (id, embedding, version, content_hash, precision) FROM STDIN"
    ) as copy:
        for key, vector in enumerate(half, 1 + place * ROWS):
            copy.write_row((key, str(vector.tolist()), 1, key.to_bytes(2, "big"), "fp32"))
    build_index(connection, get_collection(connection, "item_test"))
    connection.execute("ANALYZE imgvec.item_test_embedding")


@pytest.fixture
def coordinator(pair: Pair) -> Iterator[Connection]:
    with connect(pair.coordinator) as connection:
        yield connection


def query(seed: int = 3) -> np.ndarray:
    return vectors(1, seed)[0]


def nearest(asked: np.ndarray, k: int, keys: np.ndarray | None = None) -> set[int]:
    """Return the keys of the k nearest, by exact distance."""
    keys = np.arange(1, 2 * ROWS + 1) if keys is None else keys
    distances = 1 - vectors(2 * ROWS)[keys - 1] @ asked
    return set(keys[np.argsort(distances, kind="stable")[:k]].tolist())


@pytest.mark.parametrize("limit", [10, 100, 500])
def test_rows_of_all_shards_come_in_the_order_of_their_distance_and_never_short(
    coordinator: Connection, limit: int
) -> None:
    found = coordinator.execute(
        f"SELECT id, distance FROM imgvec.near_item_test(%s) ORDER BY distance LIMIT {limit}",
        [str(query().tolist())],
    ).fetchall()
    distances = np.array([row[1] for row in found])
    # An index keeps vectors of length 1, rounded once more, whose order it gives.
    assert np.diff(distances).min() > -1e-3
    assert len({row[0] for row in found}) == limit
    exact = 1 - vectors(2 * ROWS)[[row[0] - 1 for row in found]] @ query()
    assert np.abs(distances - exact).max() < 1e-3
    assert len({row[0] for row in found} & nearest(query(), limit)) >= 0.7 * limit


def test_the_order_is_left_to_the_shards_and_their_index(pair: Pair, coordinator: Connection) -> None:
    statement = "SELECT id FROM imgvec.near_item_test(%s) ORDER BY distance LIMIT 10"
    plan = coordinator.execute("EXPLAIN (VERBOSE) " + statement, [str(query().tolist())]).fetchall()
    sent = [row[0].split("Remote SQL: ")[1] for row in plan if "Remote SQL" in row[0]]
    assert len(sent) == 2 and all("ORDER BY" in each for each in sent)
    with connect(pair.shards[0]) as shard:
        there = "\n".join(row[0] for row in shard.execute("EXPLAIN " + sent[0]))  # type: ignore[arg-type]
    assert "item_test_embedding_hnsw" in there or "Index Scan using" in there


def test_a_join_with_a_condition_is_not_short(coordinator: Connection) -> None:
    """Of 1,800 rows 180 are on the shelf, more than the index lists at first."""
    found = coordinator.execute(
        "SELECT n.id FROM imgvec.near_item_test(%s) AS n JOIN public.stock AS s USING (id) WHERE s.shelf = 3"
        " ORDER BY n.distance LIMIT 60",
        [str(query().tolist())],
    ).fetchall()
    keys = np.arange(3, 2 * ROWS + 1, 10)
    assert len(found) == 60
    assert len({row[0] for row in found} & nearest(query(), 60, keys)) >= 42


def test_the_other_rows_by_distance_to_a_row(coordinator: Connection) -> None:
    found = coordinator.execute(
        "SELECT id FROM imgvec.near_item_test_row(1000) ORDER BY distance LIMIT 20"
    ).fetchall()
    keys = {row[0] for row in found}
    expected = nearest(vectors(2 * ROWS)[999], 21) - {1000}
    assert 1000 not in keys and len(keys) == 20 and len(keys & expected) >= 14


def test_a_span_that_meets_a_long_reader_gives_up_and_holds_nobody_up(
    pair: Pair, coordinator: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator_module, "LOCK_MS", 200)
    near = "SELECT id FROM imgvec.near_item_test(%s) ORDER BY distance LIMIT 5"
    asked = [str(query().tolist())]
    with connect(pair.coordinator) as reader, reader.transaction():
        expected = reader.execute(near, asked).fetchall()
        with pytest.raises(DatabaseError, match="nothing was changed"):
            span_collection(coordinator, "item_test", ["first", "second"])
        assert coordinator.execute(near, asked).fetchall() == expected


def test_a_shard_that_is_gone_is_an_error(pair: Pair, coordinator: Connection) -> None:
    coordinator.execute("ALTER SERVER imgvec_shard_second OPTIONS (SET dbname 'nowhere')")
    try:
        with (
            connect(pair.coordinator) as fresh,
            pytest.raises(psycopg.OperationalError, match="imgvec_shard_second"),
        ):
            fresh.execute("SELECT count(*) FROM imgvec.near_item_test(%s)", [str(query().tolist())])
    finally:
        database = conninfo_to_dict(pair.shards[1])["dbname"]
        coordinator.execute(f"ALTER SERVER imgvec_shard_second OPTIONS (SET dbname '{database}')")


def test_readers_may_read_and_nobody_may_write(coordinator: Connection) -> None:
    coordinator.execute("CREATE ROLE analyst IN ROLE imgvec_reader")
    try:
        rights = "SELECT has_table_privilege('analyst', 'imgvec.item_test_embedding', %s)"
        assert coordinator.execute(rights, ["SELECT"]).fetchone() == (True,)
        assert coordinator.execute(rights, ["INSERT"]).fetchone() == (False,)
        allowed = "SELECT has_function_privilege('analyst', 'imgvec.near_item_test(halfvec)', 'EXECUTE')"
        assert coordinator.execute(allowed).fetchone() == (True,)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="does not allow deletes"):
            coordinator.execute("DELETE FROM imgvec.item_test_embedding")
        with pytest.raises(psycopg.errors.CheckViolation):
            coordinator.execute(
                "INSERT INTO imgvec.item_test_embedding VALUES (1, %s)", [str(query().tolist())]
            )
    finally:
        coordinator.execute("DROP ROLE analyst")


FAULTS = {
    "ALTER SERVER imgvec_shard_first OPTIONS (DROP extensions)": (
        "ALTER SERVER imgvec_shard_first OPTIONS (ADD extensions 'vector')",
        "reads all rows of shard first",
    ),
    "ALTER SERVER imgvec_shard_first OPTIONS (ADD use_remote_estimate 'true')": (
        "ALTER SERVER imgvec_shard_first OPTIONS (DROP use_remote_estimate)",
        "use_remote_estimate is on",
    ),
    "ALTER FOREIGN TABLE imgvec.item_test_embedding_2 OPTIONS (ADD use_remote_estimate 'on')": (
        "ALTER FOREIGN TABLE imgvec.item_test_embedding_2 OPTIONS (DROP use_remote_estimate)",
        "ALTER FOREIGN TABLE imgvec.item_test_embedding_2 OPTIONS (DROP use_remote_estimate)",
    ),
    "ALTER SERVER imgvec_shard_second OPTIONS (SET options '-c hnsw.iterative_scan=strickt_order')": (
        "ALTER SERVER imgvec_shard_second OPTIONS (SET options '')",
        "hnsw.iterative_scan is strickt_order in sessions on shard second",
    ),
}


@pytest.mark.parametrize("change", FAULTS)
def test_doctor_says_what_near_lacks_and_the_cure(
    pair: Pair, coordinator: Connection, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    undo, told = FAULTS[change]
    imgvec(pair.coordinator, "doctor")
    assert "near_item_test" not in capsys.readouterr().out
    coordinator.execute(change)  # type: ignore[arg-type]
    try:
        imgvec(pair.coordinator, "doctor")
        assert told in capsys.readouterr().out
    finally:
        coordinator.execute(undo)  # type: ignore[arg-type]
        assert imgvec(pair.coordinator, "shard", "span", "item_test", "--shards", "first,second") == 0
    capsys.readouterr()
    imgvec(pair.coordinator, "doctor")
    assert "near_item_test" not in capsys.readouterr().out


def test_a_shard_with_the_extension_elsewhere_is_searched_and_not_joined(
    pair: Pair, coordinator: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ("shard", "span", "item_test", "--shards", "first,second")
    with connect(pair.shards[1]) as shard:
        shard.execute("CREATE SCHEMA ext; ALTER EXTENSION vector SET SCHEMA ext")
    try:
        imgvec(pair.coordinator, "doctor")
        assert "near_item_test fails: the extension vector lies in schema ext" in capsys.readouterr().out
        assert imgvec(pair.shards[1], "migrate") == 0
        assert imgvec(pair.coordinator, *span) == 0
        assert "no near_item_test to join with: the extension vector lies in schema ext on shard second" in (
            capsys.readouterr().err
        )
        found = coordinator.execute(
            "SELECT id FROM imgvec.search_item_test(%s, 20)", [str(query().tolist())]
        ).fetchall()
        assert len(found) == 20
        assert coordinator.execute("SELECT to_regclass('imgvec.item_test_embedding')").fetchone() == (None,)
    finally:
        with connect(pair.shards[1]) as shard:
            shard.execute("ALTER EXTENSION vector SET SCHEMA public; DROP SCHEMA ext")
        assert imgvec(pair.shards[1], "migrate") == 0
        assert imgvec(pair.coordinator, *span) == 0


def test_a_table_of_somebody_else_is_left_alone(
    pair: Pair, coordinator: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imgvec(pair.coordinator, "shard", "unspan", "item_test") == 0
    assert coordinator.execute("SELECT to_regclass('imgvec.item_test_embedding')").fetchone() == (None,)
    assert coordinator.execute("SELECT to_regproc('imgvec.near_item_test_row')").fetchone() == (None,)
    coordinator.execute("CREATE TABLE imgvec.item_test_embedding (kept integer)")
    span = ("shard", "span", "item_test", "--shards", "first,second")
    try:
        assert imgvec(pair.coordinator, *span) == 1
        assert "a left-over is in the way of near_item_test" in capsys.readouterr().err
        assert coordinator.execute("SELECT to_regproc('imgvec.search_item_test')").fetchone() == (None,)
    finally:
        coordinator.execute("DROP TABLE imgvec.item_test_embedding")
        assert imgvec(pair.coordinator, *span) == 0


def test_rights_that_were_given_on_them_hold_after_a_shard_has_come_or_gone(
    pair: Pair, coordinator: Connection
) -> None:
    coordinator.execute(
        "CREATE ROLE caller; GRANT USAGE ON SCHEMA imgvec TO caller; GRANT SELECT ON imgvec.item_test_embedding TO caller;"
        "GRANT EXECUTE ON FUNCTION imgvec.search_item_test, imgvec.near_item_test TO caller WITH GRANT OPTION"
    )
    try:
        for shards in ("first", "first,second"):
            assert imgvec(pair.coordinator, "shard", "span", "item_test", "--shards", shards) == 0
            rights = coordinator.execute(
                "SELECT has_table_privilege('caller', 'imgvec.item_test_embedding', 'SELECT'),"
                " array_agg(has_function_privilege('caller', oid, 'EXECUTE WITH GRANT OPTION') ORDER BY proname)"
                " FROM pg_proc WHERE proname IN ('near_item_test', 'near_item_test_row', 'search_item_test')"
            ).fetchone()
            assert rights == (True, [True, False, True])
    finally:
        coordinator.execute("DROP OWNED BY caller; DROP ROLE caller")
