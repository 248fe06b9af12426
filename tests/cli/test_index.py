"""imgvec index create, rebuild, drop, show, on a real server."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from command_line import Imgvec, Said, command_line
from photostore import new_role
from psycopg import sql
from psycopg.conninfo import make_conninfo
from vectorstore import make_items, vectors, writer_holding
from workers import wait_until

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.index_methods.hnsw import graph_bytes, index_bytes
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states, running_build
from imgvec_pg.store.index.swap import leftovers
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.registry import get_collection


@pytest.fixture
def imgvec(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    """The command line within this process: exit code, stdout, stderr."""
    return command_line(database, monkeypatch, capsys)


@pytest.fixture
def items(connection: Connection) -> Collection:
    return make_items(connection, 1500)


def nearest(connection: Connection, collection: Collection) -> str:
    """The plan of an ordinary search."""
    query = str(vectors(1)[0].tolist())
    statement = f"EXPLAIN SELECT id FROM imgvec.near_{collection.name}('{query}') ORDER BY distance LIMIT 10"
    return "\n".join(row[0] for row in connection.execute(statement))  # type: ignore[arg-type]


def complains(said: Said, code: int, *words: str) -> None:
    assert said[0] == code, said
    last = said[2].splitlines()[-1]
    assert last.startswith("imgvec: "), said
    for word in words:
        assert word in last


def test_create_tells_memory_and_size_and_the_index_serves(
    connection: Connection, items: Collection, imgvec: Imgvec
) -> None:
    code, out, err = imgvec("index", "create", "item_test", "--workers", "0")
    assert code == 0, err
    assert out == "item_test: the index is ready, 1,500 rows\n"
    assert re.search(r"memory   \d+ MB for the graph, the build gets 64 MB", err)
    assert "unknown until a first build" in err
    assert "item_test_embedding_hnsw" in nearest(connection, items)
    (state,) = index_states(connection, items)
    assert state.is_valid and state.built is not None and state.built[0] == 1500
    _, out, _ = imgvec("index", "create", "item_test", "--dry-run")
    assert "rows/s of the last build" in out and "nothing was changed" in out
    complains(
        imgvec("index", "create", "item_test"), 1, "has a valid HNSW index", "imgvec index rebuild item_test"
    )


@pytest.mark.parametrize("quantization", [None, "bit"])
def test_size_is_as_the_formula_says(
    connection: Connection, items: Collection, imgvec: Imgvec, quantization: str | None
) -> None:
    assert imgvec("index", "create", "item_test", "--quantize", quantization or "none", "--m", "8")[0] == 0
    (state,) = index_states(connection, get_collection(connection, "item_test"))
    assert (state.m, state.quantization) == (8, quantization)
    assert index_bytes(1500, 48, 8, quantization) == pytest.approx(state.index_bytes, rel=0.05)


def test_memory_is_as_the_formula_says(connection: Connection, items: Collection) -> None:
    """PostgreSQL itself tells how many rows it kept within 1 MB."""
    met: list[int] = []
    connection.add_notice_handler(
        lambda diagnostic: met.extend(
            map(int, re.findall(r"after (\d+) tuples", diagnostic.message_primary or ""))
        )
    )
    connection.execute("SET maintenance_work_mem = '1MB'; SET max_parallel_maintenance_workers = 0")
    connection.execute(
        "CREATE INDEX ON imgvec.item_test_embedding USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16)"
    )
    assert len(met) == 1
    # Without parallel workers the reserve is not taken.
    assert graph_bytes(met[0], 48, 16) - graph_bytes(0, 48, 16) == pytest.approx(1 << 20, rel=0.05)


def test_rebuild_changes_the_options_while_searches_use_an_index(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec
) -> None:
    assert imgvec("index", "create", "item_test")[0] == 0
    connection.execute("UPDATE imgvec.collection SET ef_search = 123")
    plans: list[str] = []
    done = threading.Event()

    def watch() -> None:
        with connect(database) as other:
            while not done.is_set():
                plans.append(nearest(other, items))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code, out, _ = imgvec("index", "rebuild", "item_test", "--m", "24", "--ef-construction", "100")
    finally:
        done.set()
        watcher.join()
    assert code == 0 and "dropped item_test_embedding_old" in out
    assert len(plans) > 10 and all(
        "_embedding_hnsw" in p or "_embedding_next" in p or "_embedding_old" in p for p in plans
    )
    changed = get_collection(connection, "item_test")
    assert (changed.m, changed.ef_construction, changed.ef_search) == (24, 100, None)
    (state,) = index_states(connection, changed)
    assert state.is_valid and state.is_made_as(changed) and leftovers(connection, changed) == []


def test_partitioned_tables_are_built_rebuilt_and_dropped(connection: Connection, imgvec: Imgvec) -> None:
    items = make_items(connection, 900, partitions=3)
    assert imgvec("index", "create", "item_test")[0] == 0
    states = index_states(connection, items)
    assert [state.is_valid for state in states] == [True] * 4 and states[-1].is_parent
    assert "item_test_embedding_0_hnsw" in nearest(connection, items)
    assert imgvec("index", "rebuild", "item_test", "--m", "10")[0] == 0
    states = index_states(connection, items)
    assert [(state.m, state.is_valid) for state in states] == [(10, True)] * 4
    assert leftovers(connection, items) == []
    code, out, _ = imgvec("index", "drop", "item_test", "--yes")
    assert code == 0 and "item_test_embedding_hnsw" in out
    assert [state.index_name for state in index_states(connection, items)] == [None] * 4


def test_an_invalid_index_is_shown_and_repaired(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec
) -> None:
    with writer_holding(database, items), connect(database) as builder:

        def cancel_once_it_is_there() -> None:
            wait_until(lambda: index_states(connection, items)[0].index_name, "the index")
            builder.cancel()

        canceller = threading.Thread(target=cancel_once_it_is_there)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            builder.execute(
                "CREATE INDEX CONCURRENTLY item_test_embedding_hnsw ON imgvec.item_test_embedding"
                " USING hnsw (embedding halfvec_cosine_ops)"
            )
        canceller.join()
    assert "INVALID" in imgvec("index", "show", "item_test")[1]
    assert imgvec("index", "create", "item_test")[0] == 0
    (state,) = index_states(connection, items)
    assert state.is_valid and state.index_name == "item_test_embedding_hnsw"
    assert leftovers(connection, items) == []


@contextmanager
def waiting_build(
    connection: Connection, database: str, items: Collection, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own that builds an index; a writer is to keep it waiting."""
    process = subprocess.Popen(
        [sys.executable, "-m", "imgvec_pg", "index", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "IMGVEC_DSN": database},
    )
    try:
        deadline = time.monotonic() + 600
        while running_build(connection, items) is None or not leftovers(connection, items):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        process.wait()


@pytest.fixture
def building(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec
) -> Iterator[subprocess.Popen[str]]:
    """`imgvec index rebuild`, waiting for a writer."""
    assert imgvec("index", "create", "item_test")[0] == 0
    with (
        writer_holding(database, items),
        waiting_build(connection, database, items, "rebuild", "item_test", "--m", "20") as process,
    ):
        yield process


def test_a_stopped_create_leaves_nothing_behind(
    connection: Connection, database: str, items: Collection
) -> None:
    with ExitStack() as stack:
        writer = stack.enter_context(ExitStack())
        writer.enter_context(writer_holding(database, items))
        process = stack.enter_context(waiting_build(connection, database, items, "create", "item_test"))
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "tidying up" not in (line := process.stderr.readline()):
            assert line
        # The removal waits for the writer as the build did.
        writer.close()
        _, err = process.communicate(timeout=900)
    assert process.returncode == 130
    assert err == (
        "imgvec: nothing is left of the build, there is no index, searches compare all rows; "
        "to build it, run: imgvec index create item_test\n"
    )
    assert leftovers(connection, items) == []
    assert [state.index_name for state in index_states(connection, items)] == [None]


def test_an_index_under_construction_is_left_alone(
    building: subprocess.Popen[str], connection: Connection, imgvec: Imgvec
) -> None:
    complains(
        imgvec("index", "rebuild", "item_test"), 1, "being built by another session", "imgvec index show"
    )
    complains(imgvec("index", "drop", "item_test", "--yes"), 1, "being built by another session")
    assert "building " in imgvec("index", "show", "item_test")[1]
    shown = json.loads(imgvec("index", "show", "item_test", "--json")[1])
    assert shown["building"]["phase"].startswith("waiting") and shown["leftovers"] == [
        "item_test_embedding_next"
    ]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_rebuild_says_what_is_left_and_the_old_index_serves(
    building: subprocess.Popen[str],
    connection: Connection,
    items: Collection,
    imgvec: Imgvec,
    sent: signal.Signals,
    code: int,
) -> None:
    building.send_signal(sent)
    _, err = building.communicate(timeout=900)
    assert building.returncode == code, err
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    # The writer that holds up the build may hold up its removal too.
    assert "could not be dropped within 10 s" in last or "nothing is left of the build" in last
    assert last.endswith("run: imgvec index rebuild item_test")
    assert "item_test_embedding_hnsw" in nearest(connection, items)
    (state,) = index_states(connection, items)
    assert state.is_valid and state.m == 16
    assert get_collection(connection, "item_test").m == 16


def test_a_killed_rebuild_leaves_the_old_index_serving(
    building: subprocess.Popen[str], connection: Connection, items: Collection
) -> None:
    building.kill()
    building.wait()
    assert leftovers(connection, items) == ["item_test_embedding_next"]
    assert "item_test_embedding_hnsw" in nearest(connection, items)


def test_rebuild_after_a_kill_leaves_one_index(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec
) -> None:
    assert imgvec("index", "create", "item_test")[0] == 0
    # What a process killed after the new index took its place leaves, and one killed while it was built.
    connection.execute(
        "CREATE INDEX item_test_embedding_old ON imgvec.item_test_embedding USING hnsw (embedding halfvec_cosine_ops);"
        "CREATE INDEX item_test_embedding_next ON imgvec.item_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
        " WITH (m = 5)"
    )
    assert (
        "left over    item_test_embedding_next, item_test_embedding_old"
        in imgvec("index", "show", "item_test")[1]
    )
    assert imgvec("index", "create", "item_test")[0] == 0
    assert leftovers(connection, items) == []
    connection.execute(
        "CREATE INDEX item_test_embedding_next ON imgvec.item_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
        " WITH (m = 5)"
    )
    code, out, _ = imgvec("index", "rebuild", "item_test")
    assert code == 0 and "dropped item_test_embedding_next, item_test_embedding_old" in out
    (state,) = index_states(connection, items)
    assert state.is_valid and state.m == 16 and leftovers(connection, items) == []


def test_what_is_wrong_gets_one_line(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 50)
    complains(imgvec("index", "create", "nope"), 1, '"nope" does not exist', "item_test")
    complains(imgvec("index", "create", "item_test", "--m", "1"), 2, "m is 1")
    complains(imgvec("index", "create", "item_test", "--ef-construction", "8"), 2, "ef_construction is 8")
    complains(imgvec("index", "create", "item_test", "--memory", "much"), 2, "expected one such as 4GB")
    complains(imgvec("index", "create", "item_test", "--memory", "1kB"), 2, "expected 64MB")
    complains(imgvec("index", "create", "item_test", "--quantize", "pq"), 2, "'bit'")
    complains(imgvec("index", "drop", "item_test", "--yes"), 1, "has no index")


def test_a_role_without_rights_gets_one_line_and_leaves_nothing(
    connection: Connection, database: str, items: Collection, imgvec: Imgvec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imgvec("index", "create", "item_test")[0] == 0
    with new_role(connection, "imgvec_reader") as role:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        monkeypatch.setenv("IMGVEC_DSN", make_conninfo(database, user=role, password="x"))
        for command in ("rebuild", "drop"):
            yes = ["--yes"] if command == "drop" else []
            complains(imgvec("index", command, "item_test", *yes), 1, f"the role {role} may not", "owner")
        assert imgvec("index", "show", "item_test")[0] == 0
    (state,) = index_states(connection, items)
    assert state.is_valid and leftovers(connection, items) == []


def test_a_collection_without_rows_gets_an_empty_index(connection: Connection, imgvec: Imgvec) -> None:
    make_items(connection, 0)
    code, out, _ = imgvec("index", "create", "item_test")
    assert (code, out) == (0, "item_test: the index is ready, 0 rows\n")


def test_create_adds_the_index_on_pictures_to_a_collection_of_an_earlier_release(
    connection: Connection, items: Collection, imgvec: Imgvec
) -> None:
    assert imgvec("index", "create", items.name)[0] == 0
    connection.execute("DROP INDEX imgvec.item_test_embedding_content_hash")
    assert not has_content_index(connection, items)
    code, _, said = imgvec("index", "create", items.name)
    assert (code, said.count("content_hash")) == (0, 1)
    assert has_content_index(connection, items)
    # As a cancelled build leaves it.
    connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'imgvec.item_test_embedding_content_hash'::regclass"
    )
    assert not has_content_index(connection, items)
    assert imgvec("index", "create", items.name)[0] == 0
    assert has_content_index(connection, items)
    complains(imgvec("index", "create", items.name), 1, "has a valid HNSW index")


def test_create_adds_the_index_on_pictures_to_partitions(connection: Connection, imgvec: Imgvec) -> None:
    items = make_items(connection, 60, partitions=3)
    connection.execute("DROP INDEX imgvec.item_test_embedding_content_hash")
    assert imgvec("index", "create", items.name)[0] == 0
    assert has_content_index(connection, items)
    attached = connection.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'imgvec.item_test_embedding_content_hash'::regclass"
    ).fetchone()
    assert attached == (3,)
    complains(imgvec("index", "create", items.name), 1, "has a valid HNSW index")
