"""What a worker's start is, and is not: no part of a model's rate, and known to those who wait for an answer."""

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from asking import answering, embed_text
from colorshop import make_shop
from imgvec_test_embedder import ColorGrid
from workers import NAME as PHOTOS
from workers import count, make_table, running, wait_until

from imgvec_pg.backfill import stats as stats_module
from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.model_check import check_words
from imgvec_pg.backfill.query_server import QueryServer
from imgvec_pg.backfill.startup import StartingWorker
from imgvec_pg.backfill.stats import IDLE, SteadyRate, WorkerStats
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.errors import ModelError, NoWorkerError
from imgvec_pg.search.query_client import vector_of_words
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import Written
from imgvec_pg.store.setup.text_relay import install_relay

START_SECONDS = 2.0


class SlowStart(ColorGrid):
    """Takes long for its first batch, as torch does, and a little for each."""

    name = "faulty-grid"
    fingerprint = "f" * 64

    def __init__(self) -> None:
        self.has_begun = False

    def embed_prepared(self, prepared: object) -> npt.NDArray[np.float32]:
        time.sleep(0.05 if self.has_begun else START_SECONDS)
        self.has_begun = True
        return super().embed_prepared(prepared)  # type: ignore[arg-type]


def stored_rate(connection: Connection) -> float | None:
    row = connection.execute("SELECT images_per_second FROM imgvec.model").fetchone()
    assert row is not None
    return None if row[0] is None else float(row[0])


# The rate


def test_the_start_is_no_part_of_the_rate(connection: Connection, database: str, tmp_path: Path) -> None:
    make_table(connection, tmp_path, rows=160)
    stats = Worker(database, PHOTOS, SlowStart(), PipelineOptions(batch_size=16, root=tmp_path)).run()
    assert stats.embedded == 160
    rate = stored_rate(connection)
    # With the start it could not be more than 160 / START_SECONDS, whatever this machine does.
    assert rate is not None and rate > 160 / START_SECONDS
    assert rate == pytest.approx(stats.computing.images / stats.computing.seconds, rel=1e-3)
    assert 64 <= stats.computing.images < 160


@pytest.mark.parametrize("kind", ["few images", "one batch", "a rate that was asked for"])
def test_what_says_nothing_of_the_model_is_not_stored(
    connection: Connection, database: str, tmp_path: Path, kind: str
) -> None:
    make_table(connection, tmp_path, rows=70)
    options = {
        "few images": PipelineOptions(batch_size=16, root=tmp_path),
        "one batch": PipelineOptions(batch_size=256, root=tmp_path),
        "a rate that was asked for": PipelineOptions(
            batch_size=2, root=tmp_path, allowance=Allowance(rate=50.0)
        ),
    }[kind]
    assert Worker(database, PHOTOS, SlowStart(), options).run().embedded == 70
    assert stored_rate(connection) is None


def test_rests_are_no_part_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(stats_module.time, "monotonic", lambda: now)
    for rest in ("idle", "another connection"):
        stats = WorkerStats(steady=SteadyRate())
        for wait in (100.0, 1.0, 1.0, 5000.0, 1.0):
            if wait == 5000.0 and rest == "idle":
                stats.rest(IDLE)
            elif wait == 5000.0:
                stats.note_connection()
            now += wait
            stats.steady.wrote(32)
        assert stats.steady.per_second() == 32.0


def test_copied_rows_are_no_part_of_the_models_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(stats_module.time, "monotonic", lambda: now)
    stats = WorkerStats()
    # Batches of 64 rows, of whom so many are computed at 32 a second; to copy one takes next to nothing.
    for computed in (64, 64, 0, 64, 32, 4, 64):
        now += 0.01 + computed / 32
        stats.note_batch(64, computed)
        stats.add(Written(64, 0, 64, 0, 0, ()), computed)
    assert stats.computing.images == 64 + 64 + 32 + 64
    assert stats.computing.per_second() == pytest.approx(32, rel=0.02)
    assert (stats.steady.per_second() or 0) > 40


# The row that says that a worker starts


@pytest.fixture
def relay(connection: Connection) -> Collection:
    collection = make_shop(connection)
    install_relay(connection)
    connection.execute("SET imgvec.text_timeout = '50 ms'")
    return collection


def hint(connection: Connection) -> str:
    """Return what somebody is told whose words nobody answers."""
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no worker") as caught:
        embed_text(connection, "red")
    return str(caught.value.diag.message_hint)


def test_who_waits_is_told_that_a_worker_starts(
    connection: Connection, database: str, relay: Collection
) -> None:
    assert hint(connection).startswith("Start one")
    with StartingWorker(database, [relay], "auto") as starting:
        assert hint(connection).startswith("A worker has been starting for 0 s and loads its model")
        connection.execute("UPDATE imgvec.worker SET started_at = now() - interval '12 s'")
        assert hint(connection).startswith("A worker has been starting for 12 s")
        # One that works is the better news.
        connection.execute(
            "INSERT INTO imgvec.worker (id, collection_id, host, pid, device, activity)"
            " VALUES (gen_random_uuid(), %s, 'h', 1, 'cpu', 'idle')",
            [relay.id],
        )
        assert hint(connection).startswith("A worker runs but is busy")
        connection.execute("DELETE FROM imgvec.worker WHERE activity = 'idle'")
        # Killed a while ago: its row is too old to count.
        connection.execute("UPDATE imgvec.worker SET seen_at = now() - interval '61 s'")
        assert hint(connection).startswith("Start one")
        starting.ready()
        assert count(connection, "imgvec.worker") == 0


def test_nobody_asks_a_worker_that_starts(connection: Connection, database: str, relay: Collection) -> None:
    with StartingWorker(database, [relay], "auto"), answering(database, relay):
        with pytest.raises(NoWorkerError):
            vector_of_words(connection, relay, "red", "worker")
        assert count(connection, "imgvec.embedding_request") == 0


def test_a_start_that_fails_leaves_no_row(connection: Connection, database: str, relay: Collection) -> None:
    def fail() -> None:
        with StartingWorker(database, [relay, relay], "auto"):
            assert count(connection, "imgvec.worker WHERE activity = 'starting'") == 2
            raise ModelError("no such device")

    with pytest.raises(ModelError):
        fail()
    assert count(connection, "imgvec.worker") == 0


def test_a_database_that_cannot_be_written_to_keeps_nobody_from_starting(
    connection: Connection, database: str, relay: Collection
) -> None:
    connection.execute("ALTER TABLE imgvec.worker RENAME TO worker_away")
    with StartingWorker(database, [relay], "auto") as starting:
        starting.ready()


@pytest.mark.parametrize(
    "command",
    [("worker", "product_color"), ("worker", "--collections", "product_color"), ("backfill", PHOTOS)],
)
def test_commands_say_that_they_start(
    connection: Connection,
    database: str,
    relay: Collection,
    plugin_environment: dict[str, str],
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    make_table(connection, tmp_path, rows=30)
    # Notes what workers said of themselves.
    connection.execute(
        "CREATE TABLE told (activity text, id uuid);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS"
        " $$ BEGIN INSERT INTO told VALUES (NEW.activity, NEW.id); RETURN NEW; END $$;"
        "CREATE TRIGGER note BEFORE INSERT OR UPDATE ON imgvec.worker FOR EACH ROW EXECUTE FUNCTION note()"
    )
    with running(database, plugin_environment, tmp_path, *command):
        wait_until(lambda: count(connection, "told WHERE activity <> 'starting'"), "the worker")
        wait_until(
            lambda: not count(connection, "imgvec.worker WHERE activity = 'starting'"), "its start to end"
        )
    first = connection.execute("SELECT activity FROM told LIMIT 1").fetchone()
    assert first == ("starting",)


class LateWords(ColorGrid):
    """Says that what embeds words is still to be loaded, and counts when it was."""

    def __init__(self) -> None:
        self.loaded = 0

    @property
    def loads_words_late(self) -> bool:
        return not self.loaded

    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.loaded += 1
        return super().embed_texts(["red" for _ in texts])


def golden_kinds(connection: Connection) -> dict[str, int]:
    return dict(
        connection.execute("SELECT kind, count(*) FROM imgvec.golden_vector GROUP BY kind").fetchall()
    )


def test_a_fill_loads_nothing_for_words_until_they_are_asked_for(
    connection: Connection, database: str
) -> None:
    shop = make_shop(connection)
    install_relay(connection)
    embedder = LateWords()
    worker = Worker(database, shop.name, embedder, PipelineOptions())
    worker.run()
    assert (embedder.loaded, golden_kinds(connection)) == (0, {"image": 3})
    check = partial(check_words, collection=shop, embedder=embedder)
    with QueryServer(database, shop.model_id, embedder, Silence(), check_words=check):
        assert embed_text(connection, "red").shape == (12,)
        assert golden_kinds(connection) == {"image": 3, "text": 3}
        # Checked once, then one text each.
        loaded = embedder.loaded
        embed_text(connection, "scarlet")
        assert embedder.loaded == loaded + 1


def test_words_of_other_numbers_are_refused_when_they_are_asked_for(
    connection: Connection, database: str
) -> None:
    shop = make_shop(connection)
    install_relay(connection)
    check_words(connection, shop, LateWords())
    connection.execute(
        "UPDATE imgvec.golden_vector SET embedding ="
        " (SELECT array_agg(-e) FROM unnest(embedding) AS e) WHERE kind = 'text'"
    )
    embedder = LateWords()
    check = partial(check_words, collection=shop, embedder=embedder)
    with (
        QueryServer(database, shop.model_id, embedder, Silence(), check_words=check, expects_words=True),
        pytest.raises(psycopg.Error, match="computes other vectors here than at its first use"),
    ):
        embed_text(connection, "red")


def test_a_worker_that_follows_makes_ready_for_words_unasked(connection: Connection, database: str) -> None:
    shop = make_shop(connection)
    embedder = LateWords()
    worker = Worker(database, shop.name, embedder, PipelineOptions(follow=True))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        wait_until(lambda: embedder.loaded > 0)
    finally:
        worker.request_stop()
        thread.join()
