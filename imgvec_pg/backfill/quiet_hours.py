"""Quiet hours: times of the week in which a worker claims nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from imgvec_pg.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK = timedelta(days=7)
PATTERN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? +)?(?P<start>\d{1,2}:\d\d)-(?P<end>\d{1,2}:\d\d)"
)


@dataclass(frozen=True)
class Hours:
    """From `start` to `end` on some days (0 is Monday); past midnight where `end` is not after `start`."""

    days: frozenset[int]
    start: time
    end: time
    text: str

    def ends_at(self, now: datetime) -> datetime | None:
        """Return when the pause that `now` lies in ends, None where it lies in none. All by the same clock."""
        for back in (0, 1):
            day = now.date() - timedelta(days=back)
            if day.weekday() not in self.days:
                continue
            begin = datetime.combine(day, self.start, tzinfo=now.tzinfo)
            end = datetime.combine(day, self.end, tzinfo=now.tzinfo)
            if self.end <= self.start:
                end += timedelta(days=1)
            if begin <= now < end:
                return end
        return None


def parse_hours(text: str) -> Hours:
    """Return the hours that "09:00-17:30", "mon-fri 09:00-17:30" or "sat 22:00-06:00" names; 24:00 is midnight.

    Raises:
        UsageError: It names none.
    """
    wanted = f'"{text}" names no hours; expected 09:00-17:30, or with days: mon-fri 09:00-17:30'
    found = PATTERN.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(wanted)
    first, last = found["first"] or "mon", found["last"] or found["first"] or "sun"
    if first not in DAYS or last not in DAYS:
        raise UsageError(f"{wanted}; days are {', '.join(DAYS)}")
    begin, length = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7 + 1
    try:
        start, end = time.fromisoformat(padded(found["start"])), time.fromisoformat(padded(found["end"]))
    except ValueError as error:
        raise UsageError(wanted) from error
    if start == end and (found["start"], found["end"]) != ("00:00", "24:00"):
        raise UsageError(f"{wanted}; the whole day is 00:00-24:00")
    return Hours(frozenset((begin + day) % 7 for day in range(length)), start, end, text.strip())


def padded(clock: str) -> str:
    """Return "9:00" as "09:00", and the end of a day as its beginning."""
    return "00:00" if clock == "24:00" else clock.zfill(5)


def pause_ends_at(hours: Sequence[Hours], now: datetime) -> datetime | None:
    """Return when the pause that `now` lies in ends, None where it lies in none; pauses that touch are one.

    Those that fill the week have no end: then it is a time more than a week ahead.
    """
    until = now
    while until - now <= WEEK and (
        ends := [end for each in hours if (end := each.ends_at(until)) is not None]
    ):
        until = max(ends)
    return None if until == now else until


def require_time_to_work(hours: Sequence[Hours]) -> None:
    """Refuse pauses that fill the week.

    Raises:
        UsageError: No minute is left.
    """
    monday = datetime(2024, 1, 1)  # any day: without a time zone all weeks are alike
    until = pause_ends_at(hours, monday)
    if until is not None and until - monday > WEEK:
        raise UsageError("these hours leave no time of the week to work in; leave some out")
