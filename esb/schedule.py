"""When a schedule is due: five-field cron in a time zone, or every so often. Pure: no clock, no state.

Written by hand because what Celery brings is for Celery's own process, does not say which field is wrong, and knows
nothing of the hours that a changed clock skips or repeats.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from math import floor
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

_FURTHEST = 366 * 9  # days to look ahead: a 29 February is at most eight years away
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\w+))?")


class _Field(msgspec.Struct, frozen=True):
    """One of the five: its name in sentences, its least and greatest number, and the names it knows."""

    name: str
    least: int
    greatest: int
    names: Mapping[str, int] = {}


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("weekday", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)


class Timetable(Protocol):
    """The moments at which something is due, in seconds since the epoch."""

    @property
    def text(self) -> str:
        """How a person wrote it; what changes it changes the timetable."""
        ...

    def after(self, moment: float) -> float | None:
        """The first one later than a moment; None when there is none."""
        ...

    def latest(self, moment: float) -> float | None:
        """The last one not later than a moment; None when there is none."""
        ...


class Every(msgspec.Struct, frozen=True):
    """Every so many seconds, counted from the epoch, so that every process means the same moments."""

    seconds: float
    text: str

    def after(self, moment: float) -> float:
        """See :class:`Timetable`."""
        return self.latest(moment) + self.seconds

    def latest(self, moment: float) -> float:
        """See :class:`Timetable`."""
        return floor(moment / self.seconds) * self.seconds


class Cron(msgspec.Struct, frozen=True):
    """Minutes of a zone's clock. Of day and weekday one is enough when both are given (Vixie's cron).

    A time that the clock skips in spring comes as much later as the clock jumped; one that it repeats in autumn comes
    once, the first time, unless the hour is ``*``: then both.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # day and weekday are both given
    zone: ZoneInfo
    text: str

    def after(self, moment: float) -> float | None:
        """See :class:`Timetable`."""
        first = self._date(moment) - timedelta(days=1)
        for number in range(_FURTHEST):
            moments = self._on(first + timedelta(days=number))
            place = bisect_right(moments, moment)
            if place < len(moments):
                return moments[place]
        return None

    def latest(self, moment: float) -> float | None:
        """See :class:`Timetable`."""
        last = self._date(moment) + timedelta(days=1)
        for number in range(_FURTHEST):
            moments = self._on(last - timedelta(days=number))
            place = bisect_right(moments, moment)
            if place:
                return moments[place - 1]
        return None

    def _date(self, moment: float) -> date:
        return datetime.fromtimestamp(moment, self.zone).date()

    def _on(self, day: date) -> Sequence[float]:
        if day.month not in self.months or not self._is_day(day):
            return ()
        return _moments(self.hours, self.minutes, self.zone, day)

    def _is_day(self, day: date) -> bool:
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either else by_date and by_weekday


@lru_cache(maxsize=64)
def _moments(hours: tuple[int, ...], minutes: tuple[int, ...], zone: ZoneInfo, day: date) -> Sequence[float]:
    """The moments of one day. Where the clock jumps two may fall together; they are one."""
    folds = (0, 1) if len(hours) == 24 else (0,)
    found = {
        datetime.combine(day, time(hour, minute, fold=fold), zone).timestamp()
        for hour in hours
        for minute in minutes
        for fold in folds
        if not (fold and _skipped(datetime.combine(day, time(hour, minute), zone)))
    }
    return sorted(found)


def _skipped(local: datetime) -> bool:
    """Whether the clock never shows this time: there and back again it is another."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None)


def cron(text: str, zone: str = "UTC") -> Cron:
    """A timetable from five fields, such as ``0 18 * * mon-fri``: minute, hour, day, month, weekday.

    Raises ``ValueError``, saying which field is wrong and how, or that it never comes to pass.
    """
    words = text.split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"it has {len(words)} fields, not five (minute, hour, day, month, weekday)")
    minutes, hours, days, months, weekdays = (_numbers(word, f) for word, f in zip(words, _FIELDS, strict=True))
    found = Cron(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=frozenset(number % 7 for number in weekdays),
        either=not (words[2].startswith("*") or words[4].startswith("*")),
        zone=timezone(zone),
        text=f"{' '.join(words)} {zone}",
    )
    if found.after(0.0) is None:
        raise ValueError("it never comes to pass: no month it names has such a day")
    return found


def every(seconds: float, text: str) -> Every:
    """A timetable of equal steps. Raises ``ValueError`` below one second."""
    if seconds < 1:
        raise ValueError("every: less than a second is no schedule")
    return Every(seconds, f"every {text}")


def timezone(name: str) -> ZoneInfo:
    """A zone of the IANA database. Raises ``ValueError``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def timezones() -> Iterator[str]:
    """The names there are."""
    return iter(sorted(available_timezones()))


def _numbers(word: str, field: _Field) -> frozenset[int]:
    return frozenset(number for part in word.split(",") for number in _range(part, field))


def _range(part: str, field: _Field) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"the {field.name} {part!r} is neither *, a number, a range (1-5) nor a step (*/15)")
    first, last, step = found["first"], found["last"], found["step"]
    if first == "*":
        if last:
            raise ValueError(f"the {field.name} {part!r} ranges from *: write {field.least}-{last}")
        begin, end = field.least, min(field.greatest, 6) if field.names and field.least == 0 else field.greatest
    else:
        begin = _number(first, field)
        end = _end(begin, last, field) if last else begin
        if step and not last:
            raise ValueError(f"the {field.name} {part!r} steps from a number: write {first}-{field.greatest}/{step}")
    return range(begin, end + 1, _step(step, field))


def _end(begin: int, word: str, field: _Field) -> int:
    end = _number(word, field)
    if end == 0 and field.greatest == 7 and begin:
        return 7  # sat-sun: Sunday ends the week as well as it begins it
    if end < begin:
        raise ValueError(f"the {field.name} range ends at {word} before it begins: write two, with a comma")
    return end


def _number(word: str, field: _Field) -> int:
    number = field.names.get(word.lower())
    if number is None and word.isascii() and word.isdigit():
        number = int(word)
    if number is None:
        known = f" or {', '.join(field.names)}" if field.names else ""
        raise ValueError(f"the {field.name} {word!r} is not {field.least} to {field.greatest}{known}")
    if not field.least <= number <= field.greatest:
        raise ValueError(f"the {field.name} {word!r} is not {field.least} to {field.greatest}")
    return number


def _step(word: str | None, field: _Field) -> int:
    if word is None:
        return 1
    if not (word.isascii() and word.isdigit() and int(word) > 0):
        raise ValueError(f"the {field.name} steps by {word!r}, which is no number from 1 on")
    return int(word)
