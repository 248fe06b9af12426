"""What a worker costs the database it works in: rate, replicas, hours, poolers, old snapshots, length of transactions."""

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from imgvec_faulty_embedder import FaultyGrid
from own import MakeServer
from pgbouncer import find_pgbouncer, pooled
from standby import connect_soon, run_primary_and_standby
from workers import NAME, change_picture, check, count, imgvec, make_table, queued_keys, wait_until

from imgvec_pg.backfill import claiming, throttle
from imgvec_pg.backfill.claiming import Place
from imgvec_pg.backfill.hours import parse_hours
from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.throttle import Allowance, replica_lag_seconds
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.jobs import BEGINNING, QueuePlace, claim_jobs, release_jobs

DRAW = random.Random(11)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@contextmanager
def following(dsn: str, root: Path, allowance: Allowance) -> Iterator[Worker]:
    """Run a worker in a thread."""
    worker = Worker(dsn, NAME, FaultyGrid(), PipelineOptions(root=root, follow=True, allowance=allowance))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.request_stop()
        thread.join(60)
        assert not thread.is_alive()


def test_a_rate_is_kept_and_spread(database: str, connection: Connection, root: Path) -> None:
    make_table(connection, root, 60)
    began = time.monotonic()
    with following(database, root, Allowance(rate=10)):
        wait_until(lambda: count(connection, "written") >= 10, "a first second's")
        time.sleep(max(3.0 - (time.monotonic() - began), 0))
        done = count(connection, "written")
    print(f"{done} images in 3 s at 10 images/s")
    assert 10 <= done <= 40
    assert count(connection, "imgvec.job WHERE token IS NOT NULL OR attempts > 0") == 0


def test_nothing_is_taken_in_hours_of_rest(
    database: str, connection: Connection, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_table(connection, root, 10)
    row = connection.execute("SELECT localtimestamp").fetchone()
    assert row is not None
    day = row[0].strftime("%a").lower()
    rests = Allowance(pause_when=(parse_hours(f"{day} 00:00-24:00"),))
    with following(database, root, rests) as worker:
        wait_until(lambda: "paused until" in caplog.text, "it to say so")
        wait_until(lambda: count(connection, "imgvec.worker WHERE activity = 'paused'") == 1, "it to be seen")
        assert count(connection, "written") == 0 and queued_keys(connection) == 10
        assert worker.tally.activity == "paused"
    assert isinstance(row[0], datetime) and "going on" not in caplog.text
    assert count(connection, "imgvec.job WHERE token IS NOT NULL OR attempts > 0") == 0


def test_a_standby_that_lags_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(throttle, "LOOK_AGAIN_SECONDS", 0.2)
    with ExitStack() as stack:
        primary, standby_dsn = stack.enter_context(run_primary_and_standby())
        connection = stack.enter_context(connect(primary.dsn()))
        upgrade(connection)
        make_table(connection, root, 64)
        standby = stack.enter_context(connect_soon(standby_dsn))
        wait_until(lambda: replica_lag_seconds(connection) is not None, "the standby to be seen")
        with following(primary.dsn(), root, Allowance(max_replica_lag_seconds=1)):
            wait_until(lambda: count(connection, "written") == 64, "the first fill")
            standby.execute("SELECT pg_wal_replay_pause()")
            change_picture(connection, root, 1, DRAW)

            def lags() -> bool:
                # The standby tells its place when WAL arrives.
                connection.execute("SELECT pg_logical_emit_message(false, 'imgvec', 'x')")
                return "a standby is" in caplog.text

            wait_until(lags, "the worker to wait", 30)
            before = count(connection, "written")
            change_picture(connection, root, 3, DRAW)
            time.sleep(1.5)
            assert count(connection, "written") == before
            wait_until(
                lambda: count(connection, "imgvec.worker WHERE activity = 'waiting for replicas'"), "its word"
            )
            standby.execute("SELECT pg_wal_replay_resume()")
            wait_until(lambda: queued_keys(connection) == 0, "work to go on")
        assert "going on" in caplog.text
        connection.execute("CREATE ROLE blind LOGIN IN ROLE imgvec_worker")
        with (
            connect(primary.dsn(user="blind")) as blind,
            pytest.raises(DatabaseError, match="GRANT pg_monitor"),
        ):
            replica_lag_seconds(blind)


@pytest.mark.skipif(
    find_pgbouncer() is None, reason="not run: pgbouncer is not installed (Debian: pgbouncer)"
)
def test_a_worker_works_through_pgbouncer_and_leaves_its_sessions_as_they_were(
    make_server: MakeServer, plugin_environment: dict[str, str], root: Path
) -> None:
    own = make_server()
    with pooled(own, size=2) as dsn, connect(own.dsn) as connection:
        make_table(connection, root, 200, listed=False)
        done = imgvec(dsn, plugin_environment, "backfill", NAME, "--batch-size", "16")
        assert done.returncode == 0, done.stderr
        with following(dsn, root, Allowance()):
            change_picture(connection, root, 1, DRAW)
            wait_until(lambda: queued_keys(connection) == 0, "the change")
        assert not check(connection, root).problems
        names = (
            "search_path",
            "statement_timeout",
            "lock_timeout",
            "synchronous_commit",
            "row_security",
            "TimeZone",
        )
        wanted = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        with connect(dsn) as first, connect(dsn) as second, first.transaction(), second.transaction():
            seen = {session.execute("SELECT pg_backend_pid()").fetchone() for session in (first, second)}
            assert len(seen) == 2
            for session in (first, second):
                assert [session.execute(f"SHOW {name}").fetchone() for name in names] == wanted
                assert session.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)


def test_no_transaction_of_a_worker_lasts_a_second(database: str, connection: Connection, root: Path) -> None:
    make_table(connection, root, 512)
    connection.execute(
        "CREATE INDEX ON imgvec.photo_grid_embedding USING hnsw (embedding halfvec_cosine_ops)"
    )
    longest, samples, stop = 0.0, 0, threading.Event()

    def sample() -> None:
        nonlocal longest, samples
        with connect(database) as watching:
            while not stop.is_set():
                row = watching.execute(
                    "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float FROM pg_stat_activity"
                    " WHERE application_name LIKE 'imgvec worker%' AND datname = current_database()"
                ).fetchone()
                assert row is not None
                longest, samples = max(longest, row[0]), samples + 1
                time.sleep(0.01)

    watcher = threading.Thread(target=sample)
    watcher.start()
    Worker(database, NAME, FaultyGrid(), PipelineOptions(root=root, batch_size=256)).run()
    stop.set()
    watcher.join()
    print(f"the longest transaction lasted {longest * 1000:.0f} ms ({samples} samples)")
    assert samples > 20
    assert longest < 1


def claim_milliseconds(connection: Connection, collection_id: int, place: Place) -> float:
    times = []
    for _ in range(5):
        token, began, where = uuid.uuid4(), time.monotonic(), place.next()
        claim = claim_jobs(connection, collection_id, token, 64, lease_seconds=60, place=where)
        times.append((time.monotonic() - began) * 1000)
        assert claim.jobs
        place.note(where, claim.jobs, 0)
        release_jobs(connection, collection_id, [token])
    return sorted(times)[2]


def test_claims_stay_cheap_while_an_old_transaction_keeps_what_is_done(
    database: str, connection: Connection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "LOOK_FROM_THE_BEGINNING_SECONDS", 3600.0)
    make_table(connection, root, 0)
    connection.execute("DROP TRIGGER note ON imgvec.job")
    file = (
        "INSERT INTO imgvec.job (collection_id, version, keys)"
        " SELECT 1, nextval('imgvec.version_seq'), '[{\"id\": 1}]' FROM generate_series(1, %s)"
    )
    with connect(database) as old, old.transaction():
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM imgvec.job")
        connection.execute(file, [40_000])
        connection.execute("DELETE FROM imgvec.job")
        connection.execute(file, [200])
        connection.execute("VACUUM imgvec.job")
        place = Place()
        from_the_beginning = claim_milliseconds(connection, 1, Beginning())
        claim_milliseconds(connection, 1, place)
        from_its_place = claim_milliseconds(connection, 1, place)
    print(
        f"a claim past 40,000 jobs done: {from_the_beginning:.1f} ms, from its place {from_its_place:.1f} ms"
    )
    assert from_its_place < from_the_beginning / 2


class Beginning(Place):
    """A worker that remembers no place."""

    def next(self) -> QueuePlace:
        return BEGINNING

    def note(self, *_: object) -> None:
        return None


def test_the_queue_s_tables_are_vacuumed_by_count(connection: Connection) -> None:
    rows = dict(
        connection.execute(
            "SELECT c.relname, c.reloptions || coalesce(t.reloptions, '{}') FROM pg_class AS c"
            " LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid"
            " WHERE c.oid IN ('imgvec.job'::regclass, 'imgvec.worker'::regclass)"
        ).fetchall()
    )
    assert rows["job"].count("autovacuum_vacuum_scale_factor=0") == 2
    assert "fillfactor=50" in rows["worker"]
