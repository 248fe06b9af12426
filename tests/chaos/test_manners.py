"""What a worker costs the database it works in: rate, replicas, hours, poolers, old snapshots, length of transactions."""

import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from imgvec_faulty_embedder import FaultyGrid
from own import MakeServer
from pgbouncer import needs_pgbouncer, pooled
from standby import connect_soon, run_primary_and_standby
from workers import NAME, change_picture, check, count, imgvec, make_table, queued_keys, wait_until

from imgvec_pg.backfill import throttle
from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.leases import HeldLeases
from imgvec_pg.backfill.quiet_hours import parse_hours
from imgvec_pg.backfill.throttle import replica_lag_seconds
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.queue.jobs import (
    END,
    claim_jobs,
    extend_leases,
    find_waiting_job,
    finish_jobs,
    place_of,
    queue_depth,
    release_jobs,
)
from imgvec_pg.store.registry import get_collection

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
        thread.join(600)
        assert not thread.is_alive()


def test_a_rate_is_kept_and_spread(database: str, connection: Connection, root: Path) -> None:
    make_table(connection, root, 60)
    began = time.monotonic()
    with following(database, root, Allowance(rate=10)):
        wait_until(lambda: count(connection, "written") >= 10, "a first second's")
        time.sleep(max(3.0 - (time.monotonic() - began), 0))
        done, seconds = count(connection, "written"), time.monotonic() - began
    print(f"{done} images in {seconds:.1f} s at 10 images/s")
    assert 10 <= done <= 10 * seconds + 10
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
        assert worker.stats.activity == "paused"
    assert isinstance(row[0], datetime) and "claiming again" not in caplog.text
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

            wait_until(lags, "the worker to wait")
            wait_until(
                lambda: count(connection, "imgvec.job WHERE token IS NOT NULL") == 0, "what it has in hand"
            )
            before = count(connection, "written")
            change_picture(connection, root, 3, DRAW)
            time.sleep(1.5)
            assert count(connection, "written") == before
            wait_until(
                lambda: count(connection, "imgvec.worker WHERE activity = 'waiting for replicas'"), "its word"
            )
            standby.execute("SELECT pg_wal_replay_resume()")
            wait_until(lambda: queued_keys(connection) == 0, "work to go on")
        assert "claiming again" in caplog.text
        connection.execute("CREATE ROLE blind LOGIN IN ROLE imgvec_worker")
        with (
            connect(primary.dsn(user="blind")) as blind,
            pytest.raises(DatabaseError, match="GRANT pg_monitor"),
        ):
            replica_lag_seconds(blind)


@needs_pgbouncer()
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
    longest, pause, samples, stop = 0.0, 0.0, 0, threading.Event()

    def sample() -> None:
        nonlocal longest, pause, samples
        seen_at = math.inf
        with connect(database) as watching:
            while not stop.is_set():
                # How long this process, and the worker in it, was kept from running.
                pause, seen_at = max(pause, time.monotonic() - seen_at), time.monotonic()
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
    print(
        f"the longest transaction lasted {longest * 1000:.0f} ms ({samples} samples, {pause * 1000:.0f} ms apart at most)"
    )
    assert samples > 20
    assert longest < 1 + pause


def pages_touched(connection: Connection, call: Callable[[], object]) -> int:
    """Return how many pages of the queue, of its table and its indexes, a call looks at, some of them more than once."""

    def read() -> int:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read"
            " FROM pg_statio_user_tables WHERE relid = 'imgvec.job'::regclass"
        ).fetchone()
        assert row is not None
        return int(row[0])

    before = read()
    call()
    return read() - before


def test_a_worker_s_statements_stay_cheap_while_an_old_transaction_keeps_what_is_done(
    database: str, connection: Connection, root: Path
) -> None:
    make_table(connection, root, 0)
    collection = get_collection(connection, NAME).id
    connection.execute("DROP TRIGGER note ON imgvec.job")
    # Its pages would be counted too.
    connection.execute("ALTER TABLE imgvec.job SET (autovacuum_enabled = off)")
    file = (
        "INSERT INTO imgvec.job (collection_id, version, keys)"
        " SELECT %s, %s * nextval('imgvec.version_seq'), '[{\"id\": 1}]' FROM generate_series(1, %s)"
    )
    with connect(database) as old, old.transaction():
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT pg_current_xact_id(), count(*) FROM imgvec.job")
        for kind in (0, 1):
            connection.execute(file, [collection, kind, 20_000])
            connection.execute("UPDATE imgvec.job SET token = gen_random_uuid(), lease_until = now()")
            connection.execute("DELETE FROM imgvec.job")
        for kind in (0, 1):
            connection.execute(file, [collection, kind, 6])
        connection.execute("VACUUM (ANALYZE) imgvec.job")
        row = connection.execute(
            "SELECT relpages FROM pg_class WHERE oid = 'imgvec.job'::regclass"
        ).fetchone()
        assert row is not None
        # Of both kinds.
        claims = [claim_jobs(connection, collection, uuid.uuid4(), 9, lease_seconds=60)]
        book, begin = HeldLeases(), place_of(claims[0].jobs)
        book.add(claims[0].token, begin)
        place, seen = book.place(), find_waiting_job(connection, collection, None)

        def claim() -> None:
            claims.append(claim_jobs(connection, collection, uuid.uuid4(), 3, lease_seconds=60, place=begin))
            book.add(claims[1].token, place_of(claims[1].jobs))

        touched = {
            "claim": pages_touched(connection, claim),
            "extend": pages_touched(
                connection, lambda: extend_leases(connection, collection, book.held(), 600, place)
            ),
            "look whether any wait": pages_touched(
                connection, lambda: find_waiting_job(connection, collection, seen)
            ),
            "finish": pages_touched(
                connection,
                lambda: finish_jobs(connection, [(job.id, claims[1].token) for job in claims[1].jobs]),
            ),
            "release": pages_touched(
                connection, lambda: release_jobs(connection, collection, [claims[0].token], place)
            ),
            "count, which is done at a pace": pages_touched(
                connection, lambda: queue_depth(connection, collection)
            ),
        }
    print(f"pages touched past 40,000 jobs done, of {row[0]} that the table has: {touched}")
    assert [len(claim.jobs) for claim in claims] == [9, 3]
    assert row[0] > 500
    assert touched.pop("count, which is done at a pace") > row[0] / 2
    assert max(touched.values()) < row[0] / 4


def test_leases_are_found_again_from_where_they_begin(connection: Connection, root: Path) -> None:
    """Of both kinds, those that a claim on its way may hold among them."""
    make_table(connection, root, 0)
    collection = get_collection(connection, NAME).id
    for version in (0, 0, 1, 2, 0, 3):
        connection.execute(
            "INSERT INTO imgvec.job (collection_id, version, keys) VALUES (%s, %s, '[{\"id\": 1}]')",
            [collection, version],
        )
    book = HeldLeases()
    assert book.place() == END
    first = claim_jobs(connection, collection, uuid.uuid4(), 4, lease_seconds=60)
    assert [job.version for job in first.jobs] == [1, 2, 3, 0]
    book.add(first.token, place_of(first.jobs))
    changes, fill = place_of(first.jobs[:3]), place_of(first.jobs[3:])
    assert (changes.first_fill, fill.first_change) == (END.first_fill, END.first_change)
    second = claim_jobs(connection, collection, uuid.uuid4(), 9, lease_seconds=60, place=book.place())
    assert [job.version for job in second.jobs] == [0, 0]
    book.add(second.token, book.place())  # its answer is on its way
    leased = "imgvec.job WHERE lease_until > now() + interval '5 minutes'"
    extend_leases(connection, collection, book.held(), 600, book.place())
    assert count(connection, leased) == 6
    book.discard(first.token)
    book.add(second.token, place_of(second.jobs))
    assert book.place().first_change == END.first_change
    release_jobs(connection, collection, book.held(), book.place())
    assert count(connection, leased) == 4
    assert count(connection, "imgvec.job WHERE token IS NULL AND attempts = 0") == 2


def test_what_is_slow_to_look_at_is_looked_at_seldom() -> None:
    pace = PollingLimit()
    assert pace.is_due()
    pace.took(60)
    assert not pace.is_due()
    pace.took(0)
    assert pace.is_due()


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
