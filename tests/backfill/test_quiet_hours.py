"""Hours in which a worker rests, and how a rate or a share of the server's time spreads its claims."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import pytest
from worker_context import context_of

from imgvec_pg.backfill import throttle
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import parse_hours, pause_ends_at, require_time_to_work
from imgvec_pg.backfill.throttle import KEYS_AT_A_SHARE, ServerShare, Throttle, asked_seconds
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import UsageError


# 2026-11-23 is a Monday.
@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("09:00-17:30", "2026-11-23 09:00", "2026-11-23 17:30"),
        ("09:00-17:30", "2026-11-28 12:00", "2026-11-28 17:30"),
        ("09:00-17:30", "2026-11-23 17:30", None),
        ("09:00-17:30", "2026-11-23 08:59", None),
        ("mon-fri 9:00-17:30", "2026-11-27 12:00", "2026-11-27 17:30"),
        ("Mon-Fri 9:00-17:30", "2026-11-28 12:00", None),
        ("sat 22:00-06:00", "2026-11-28 23:00", "2026-11-29 06:00"),
        ("sat 22:00-06:00", "2026-11-29 05:00", "2026-11-29 06:00"),
        ("sat 22:00-06:00", "2026-11-29 23:00", None),
        ("sun-tue 22:00-24:00", "2026-11-24 23:59", "2026-11-25 00:00"),
        ("sun-tue 22:00-24:00", "2026-11-25 23:59", None),
        ("wed 00:00-24:00", "2026-11-25 00:00", "2026-11-26 00:00"),
    ],
)
def test_hours(hours: str, now: str, until: str | None) -> None:
    expected = None if until is None else datetime.fromisoformat(until)
    assert pause_ends_at([parse_hours(hours)], datetime.fromisoformat(now)) == expected


def test_of_two_pauses_the_later_end_counts() -> None:
    both = [parse_hours("09:00-12:00"), parse_hours("mon 10:00-13:00")]
    assert pause_ends_at(both, datetime(2026, 11, 23, 11)) == datetime(2026, 11, 23, 13)


def test_pauses_that_touch_are_one() -> None:
    both = [parse_hours("mon-fri 18:00-24:00"), parse_hours("tue-sat 00:00-06:00")]
    assert pause_ends_at(both, datetime(2026, 11, 23, 19)) == datetime(2026, 11, 24, 6)
    days = [parse_hours("mon-thu 00:00-24:00")]
    assert pause_ends_at(days, datetime(2026, 11, 23, 11)) == datetime(2026, 11, 27)
    require_time_to_work(both + days)


@pytest.mark.parametrize(
    "texts",
    [
        ["mon-sun 00:00-24:00"],
        ["00:00-24:00"],
        ["08:00-20:00", "20:00-08:00"],
        ["mon-fri 00:00-24:00", "sat-sun 00:00-24:00"],
    ],
)
def test_hours_that_fill_the_week_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="no time of the week"):
        require_time_to_work([parse_hours(text) for text in texts])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9-17",
        "09:00",
        "25:00-26:00",
        "09:00-09:00",
        "mo 09:00-10:00",
        "mon-xyz 09:00-10:00",
        "09:61-10:00",
    ],
)
def test_what_names_no_hours_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="names no hours; expected 09:00-17:30") as caught:
        parse_hours(text)
    assert "\n" not in str(caught.value)


def test_a_low_rate_takes_few_keys_at_once_and_makes_up_for_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    slow, fast = (
        Throttle(context_of(None, PipelineOptions(allowance=Allowance(rate=rate)))) for rate in (0.5, 40.0)
    )
    assert (slow.keys_at_once(), fast.keys_at_once()) == (1, 40)
    fast._next_claim_at = clock.now - 3600
    fast.took(40)
    fast.took(40)
    # Two claims' time from one look ago.
    assert fast._next_claim_at - clock.now == pytest.approx(2 - throttle.CLAIM_SECONDS)


class Clock:
    """Stands for the module time: moves when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_statements_are_paid_for_by_pauses_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), [0.0]
    monkeypatch.setattr(throttle, "time", clock)
    share = ServerShare(0.05, lambda: asked[0])
    assert share.left_seconds() <= 0
    asked[0] += 0.1  # a tenth of a second in statements is two seconds at 5 %
    assert share.left_seconds() == pytest.approx(2)
    clock.now += 1.5
    assert share.left_seconds() == pytest.approx(0.5)
    asked[0] += 0.01  # the writer's, meanwhile
    assert share.left_seconds() == pytest.approx(0.7)


def test_rest_saves_up_a_second_of_the_server_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), [0.0]
    monkeypatch.setattr(throttle, "time", clock)
    share = ServerShare(0.05, lambda: asked[0])

    def rest(seconds: int) -> None:
        for _ in range(2 * seconds):
            clock.now += 0.5
            share.left_seconds()

    rest(10)
    asked[0] += 0.5
    assert share.left_seconds() == pytest.approx(0, abs=1e-6)
    asked[0] += 0.1
    assert share.left_seconds() == pytest.approx(2)
    rest(3600)
    asked[0] += throttle.SAVED_SECONDS + 0.1
    assert share.left_seconds() == pytest.approx(2)
    # Stopped for an hour, it owes nothing any more, and begins with what two seconds pay.
    clock.now += 3600
    assert share.left_seconds() <= 0
    asked[0] += 0.1 + throttle.RESTED_SECONDS * 0.05
    assert share.left_seconds() == pytest.approx(2)


def test_a_share_claims_few_keys_at_once_and_waits_for_the_later_of_share_and_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, asked = Clock(), [0.0]
    monkeypatch.setattr(throttle, "time", clock)
    allowance = Allowance(rate=100, server_share=0.01)
    claims = Throttle(context_of(None, PipelineOptions(allowance=allowance)), lambda: asked[0])
    assert claims.keys_at_once() == KEYS_AT_A_SHARE
    claims.took(8)
    asked[0] += 0.02
    assert claims._left_seconds() == pytest.approx(2)
    alone = Throttle(context_of(None, PipelineOptions(allowance=Allowance(server_share=0.01))))
    assert (alone.keys_at_once(), alone._left_seconds()) == (KEYS_AT_A_SHARE, 0)
    slower = Throttle(context_of(None, PipelineOptions(allowance=Allowance(rate=2, server_share=0.01))))
    assert slower.keys_at_once() == 2


def test_a_worker_says_once_that_its_share_is_why_rows_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    options = PipelineOptions(allowance=Allowance(server_share=0.01), follow=True)
    share = Throttle(context_of(None, options))
    fill = Throttle(context_of(None, replace(options, follow=False)))

    def claims(limited: Throttle, sizes: Iterable[int]) -> list[str]:
        caplog.clear()
        for size in sizes:
            clock.now += 1
            limited.took(size)
        return caplog.messages

    # As many as it may, but now and then there was nothing: it keeps up.
    assert claims(share, [*[KEYS_AT_A_SHARE] * 30, 0] * 3) == []
    assert claims(share, [*[KEYS_AT_A_SHARE] * 29, 3] * 3) == []
    (said,) = claims(share, [KEYS_AT_A_SHARE] * 200)
    assert said.startswith(
        "more rows wait than 1 % of the time in the server (--server-share) lets through, 8."
    )
    assert "imgvec backfill" in said
    assert claims(share, [KEYS_AT_A_SHARE] * 600) == []
    assert len(claims(share, [KEYS_AT_A_SHARE] * 3600)) == 1
    # Who fills the queue once and gave a share knows.
    assert claims(fill, [KEYS_AT_A_SHARE] * 200) == []


def test_what_a_worker_asks_is_counted_from_each_statement_to_its_answer(database: str) -> None:
    with connect_worker(database, "read") as reading, connect(database) as other:
        before = asked_seconds([reading])
        time.sleep(0.2)
        assert asked_seconds([reading]) == before
        reading.execute("SELECT pg_sleep(0.1)")
        other.execute("SELECT pg_sleep(0.1)")
        assert asked_seconds([reading, other]) >= before + 0.1
