"""Hours in which a worker rests, and how a rate spreads its claims."""

import time
from datetime import datetime

import pytest
from worker_context import context_of

from imgvec_pg.backfill.context import Allowance, PipelineOptions
from imgvec_pg.backfill.quiet_hours import parse_hours, pause_ends_at, require_time_to_work
from imgvec_pg.backfill.throttle import Throttle
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


def test_a_low_rate_takes_few_keys_at_once_and_makes_up_for_no_pause() -> None:
    slow, fast = (
        Throttle(context_of(None, PipelineOptions(allowance=Allowance(rate=rate)))) for rate in (0.5, 40.0)
    )
    assert (slow.keys_at_once(), fast.keys_at_once()) == (1, 40)
    fast._next_claim_at = time.monotonic() - 3600
    fast.took(40)
    fast.took(40)
    assert 0.5 < fast._next_claim_at - time.monotonic() < 1.5
