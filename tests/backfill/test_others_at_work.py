"""A worker's share of the server's time by itself: 1 % while others use the server, no bound while nobody does."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from worker_context import context_of

from imgvec_pg.backfill import others_at_work
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.others_at_work import LOOK_SECONDS, OthersAtWork
from imgvec_pg.backfill.throttle import KEYS_AT_A_SHARE, Throttle, ended_transactions
from imgvec_pg.database.connect import Connection, connect

WORKS = (
    "INSERT INTO imgvec.worker (id, collection_id, host, pid, device, activity)"
    " VALUES (gen_random_uuid(), 1, 'here', 1, 'cpu', %s)"
)


class Clock:
    """Stands for the module time: moves when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(others_at_work, "time", clock)
    return clock


@pytest.fixture
def worker(database: str) -> Iterator[Connection]:
    with connect_worker(database, "read") as connection:
        yield connection


@pytest.fixture
def application(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


def make_transactions(connection: Connection, count: int) -> None:
    """End so many transactions, which PostgreSQL has counted afterwards: otherwise a session adds to its counts once a second."""
    for _ in range(count - 1):
        connection.execute("SELECT FROM imgvec.model")
    connection.execute("SELECT pg_stat_force_next_flush() FROM pg_class LIMIT 1")
    connection.execute("SELECT FROM imgvec.model")


@pytest.fixture
def look(clock: Clock, worker: Connection) -> Callable[[OthersAtWork], bool]:
    def look(others: OthersAtWork) -> bool:
        clock.now += LOOK_SECONDS
        make_transactions(worker, 2)
        return others.may_be_there(worker)

    return look


def counted(worker: Connection) -> OthersAtWork:
    return OthersAtWork(lambda: ended_transactions([worker]))


def test_others_are_taken_to_be_there_until_two_looks_found_nobody(
    worker: Connection, application: Connection, look: Callable[[OthersAtWork], bool]
) -> None:
    others = counted(worker)
    assert [look(others) for _ in range(4)] == [True, True, False, False]
    # 30 a second of LOOK_SECONDS.
    make_transactions(application, int(30 * LOOK_SECONDS))
    assert look(others)
    assert [look(others) for _ in range(2)] == [True, False]
    # As many as monitoring makes.
    make_transactions(application, int(5 * LOOK_SECONDS))
    assert not look(others)


def test_a_workers_own_transactions_and_those_of_other_workers_are_nobodys(
    database: str, worker: Connection, look: Callable[[OthersAtWork], bool]
) -> None:
    others = counted(worker)
    for _ in range(3):
        look(others)
    make_transactions(worker, int(60 * LOOK_SECONDS))
    assert not look(others)
    with connect_worker(database, "read") as another:
        for _ in range(2):
            another.execute(WORKS, ["working"])
        for each in (worker, another):
            make_transactions(each, int(60 * LOOK_SECONDS))
        assert not look(others)


def test_it_looks_seldom(worker: Connection, clock: Clock) -> None:
    others = counted(worker)
    others.may_be_there(worker)
    before = ended_transactions([worker])
    clock.now += LOOK_SECONDS - 0.1
    for _ in range(3):
        assert others.may_be_there(worker)
    assert ended_transactions([worker]) == before


def test_the_share_and_small_claims_hold_only_beside_others(
    worker: Connection, application: Connection, look: Callable[[OthersAtWork], bool]
) -> None:
    others, asked = counted(worker), [0.0]
    allowance = Allowance(server_share=0.01, only_beside_others=True)
    throttle = Throttle(
        context_of(None, PipelineOptions(allowance=allowance, follow=True)), lambda: asked[0], others
    )
    assert throttle.allow(worker)
    asked[0] += 100.0
    assert throttle.keys_at_once() == KEYS_AT_A_SHARE
    assert throttle._left_seconds() > 1000
    for _ in range(2):
        look(others)
    assert throttle.allow(worker)
    assert (throttle.keys_at_once(), throttle._left_seconds() <= 0) == (None, True)
    make_transactions(application, int(30 * LOOK_SECONDS))
    look(others)
    # What was asked while nobody was there is not owed afterwards.
    assert throttle.allow(worker)
    assert throttle.keys_at_once() == KEYS_AT_A_SHARE
    assert throttle._left_seconds() <= 0


def test_workers_that_have_nothing_to_do_hide_no_application(
    database: str, worker: Connection, application: Connection, look: Callable[[OthersAtWork], bool]
) -> None:
    others = counted(worker)
    with ExitStack() as sessions:
        for _ in range(8):
            idle = sessions.enter_context(connect_worker(database, "read"))
            idle.execute(WORKS, ["idle"])
        for _ in range(4):
            make_transactions(application, int(300 * LOOK_SECONDS))
            make_transactions(worker, int(30 * LOOK_SECONDS))
            assert look(others)
