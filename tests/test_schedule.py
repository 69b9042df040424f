"""When schedules are due, against an oracle that looks at every minute; and what is said of a wrong one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esb.schedule import cron, every

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
CHANGES = (  # around which clocks change, and days like any other
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 3, 28, tzinfo=UTC),
    datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC),
    datetime(2026, 10, 24, tzinfo=UTC),
    datetime(2026, 10, 31, tzinfo=UTC),
    datetime(2026, 7, 1, tzinfo=UTC),
    datetime(2028, 2, 28, tzinfo=UTC),
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def said(moment: float | None, zone: str = "UTC") -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).isoformat()


def oracle(minute: set[int], hour: set[int], weekday: set[int], start: datetime, zone: ZoneInfo) -> list[float]:
    """Every minute of two days: what does the clock on the wall show, and what would it show had it not jumped?"""
    found = []
    for number in range(2 * 24 * 60):
        moment = start + timedelta(minutes=number)
        local = moment.astimezone(zone)
        shown = [local.replace(tzinfo=None)] if not local.fold or len(hour) == 24 else []
        jump = local.utcoffset() - (moment - timedelta(hours=1)).astimezone(zone).utcoffset()
        if jump > timedelta(0) and (moment - jump).astimezone(zone).utcoffset() != local.utcoffset():
            shown.append(local.replace(tzinfo=None) - jump)
        if any(s.minute in minute and s.hour in hour and s.isoweekday() % 7 in weekday for s in shown):
            found.append(moment.timestamp())
    return found


numbers = st.sets(st.integers(0, 59), min_size=1, max_size=4)
hours = st.one_of(st.just(set(range(24))), st.sets(st.integers(0, 23), min_size=1, max_size=4))
weekdays = st.one_of(st.just(set(range(7))), st.sets(st.integers(0, 6), min_size=1, max_size=5))


def word(chosen: set[int], whole: int) -> str:
    return "*" if len(chosen) == whole else ",".join(map(str, sorted(chosen)))


@given(numbers, hours, weekdays, st.sampled_from(CHANGES), st.sampled_from(ZONES))
def test_it_is_due_when_the_clock_says_so(
    minute: set[int], hour: set[int], weekday: set[int], start: datetime, zone: str
) -> None:
    """Forwards and backwards, on days when clocks change too."""
    table = cron(f"{word(minute, 60)} {word(hour, 24)} * * {word(weekday, 7)}", zone)
    expected = oracle(minute, hour, weekday, start, ZoneInfo(zone))
    found, moment = [], start.timestamp() - 1
    while (following := table.after(moment)) is not None and following < start.timestamp() + 2 * 86400:
        found.append(following)
        moment = following
    assert found == expected
    assert [table.latest(one + 59) for one in found] == expected


@given(st.integers(1, 10_000), st.floats(0, 2e9))
def test_every_so_often_is_the_same_for_everybody(seconds: int, moment: float) -> None:
    """Moments do not depend on who asks when."""
    table = every(seconds, f"{seconds}s")
    assert table.latest(moment) <= moment < table.after(moment)
    assert table.after(moment) - table.latest(moment) == seconds
    assert table.latest(moment) % seconds == 0


@pytest.mark.parametrize(
    ("text", "zone", "after", "due"),
    [
        ("0 18 * * mon-fri", "Europe/London", "2026-11-20T18:00:00+00:00", "2026-11-23T18:00:00+00:00"),
        ("*/15 9-17 * * *", "UTC", "2026-11-20T17:45:00+00:00", "2026-11-21T09:00:00+00:00"),
        ("0 0 1 jan *", "UTC", "2026-11-20T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00+00:00", "2104-02-29T00:00:00+00:00"),
        ("0 12 13 * fri", "UTC", "2026-11-20T12:00:00+00:00", "2026-11-27T12:00:00+00:00"),
        ("0 12 * * sat-sun", "UTC", "2026-11-21T12:00:00+00:00", "2026-11-22T12:00:00+00:00"),
        ("0 12 * * 7", "UTC", "2026-11-20T12:00:00+00:00", "2026-11-22T12:00:00+00:00"),
        ("30 1 * * *", "Europe/London", "2026-03-28T12:00:00+00:00", "2026-03-29T02:30:00+01:00"),
        ("30 1 * * *", "Europe/London", "2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00+00:00"),
        ("30 * * * *", "Europe/London", "2026-10-25T01:30:00+01:00", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_the_next_time(text: str, zone: str, after: str, due: str) -> None:
    """Weekends, steps, names, leap years, day or weekday, and clocks that jump or repeat an hour."""
    assert said(cron(text, zone).after(at(after)), zone) == due


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 18 * *", "it has 4 fields, not five"),
        ("60 * * * *", "the minute '60' is not 0 to 59"),
        ("0 25 * * *", "the hour '25' is not 0 to 23"),
        ("0 0 0 * *", "the day of the month '0' is not 1 to 31"),
        ("0 0 * foo *", "the month 'foo' is not 1 to 12 or jan, feb"),
        ("0 0 * * mon-wen", "the weekday 'wen' is not 0 to 7 or sun, mon"),
        ("0 0 * * fri-mon", "range ends at mon before it begins"),
        ("*/0 * * * *", "the minute steps by '0'"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*-5 * * * *", "write 0-5"),
        ("a,b! * * * *", "the minute 'a' is not 0 to 59"),
        ("0 0 31 2 *", "it never comes to pass"),
        ("0 0 30-31 feb *", "it never comes to pass"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    """Field and value, and what to write instead."""
    with pytest.raises(ValueError, match=sentence.replace("*", r"\*")):
        cron(text)


def test_an_unknown_zone_is_named() -> None:
    """Whatever it looks like: no path outside the zone database is looked into."""
    for name in ("Europe/Lodon", "", "../../etc/passwd", "/etc/localtime", "a\0b"):
        with pytest.raises(ValueError, match="there is no time zone"):
            cron("0 0 * * *", name)
