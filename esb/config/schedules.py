"""What is checked of a flow that starts by itself, and what its messages carry."""

from __future__ import annotations

from esb.config.findings import Report, nearest
from esb.config.models import Schedule
from esb.config.tree import Spot
from esb.schedule import timezone, timezones

SCHEDULED = {
    "type": "object",
    "properties": {"scheduled": {"type": "string"}, "previous": {"type": ["string", "null"]}},
    "required": ["scheduled", "previous"],
}


def check_schedule(spot: Spot, schedule: Schedule | None, report: Report) -> None:
    """A schedule must say when, in a zone that exists, and come to pass. ``None``: its keys have findings already."""
    if schedule is None:
        return
    if (schedule.schedule is None) == (schedule.every is None):
        text = 'Say when, by one of two: schedule: "0 18 * * mon-fri", or every: 5m.'
        report.add(spot.place, "bad-value", text, pointer=spot.pointer)
    elif schedule.every is not None and "tz" in spot.value:
        report.at(spot.at("tz"), "bad-value", "An interval is the same by every clock: remove tz, or say schedule.")
    elif _is_zone(schedule.tz, spot, report):
        _check_moments(schedule, spot.at("every" if schedule.schedule is None else "schedule"), report)


def _is_zone(name: str, spot: Spot, report: Report) -> bool:
    try:
        timezone(name)
    except ValueError:
        text = f"There is no time zone {name!r}."
        report.at(spot.at("tz"), "bad-value", text, hint=nearest(name, timezones()))
        return False
    return True


def _check_moments(schedule: Schedule, spot: Spot, report: Report) -> None:
    try:
        schedule.timetable()
    except ValueError as error:
        report.at(spot, "bad-value", f"{str(spot.value)!r} cannot stand here: {error}.")
