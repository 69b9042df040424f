"""What people set while the bus runs: acts on a flow (pause, detour, throttle), and what holds now.

The same functions and checks as of the command line: see :mod:`esb.flow.switchable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import BadRequest, NotFound

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services
from esb.flow.switchable import OFF, ON, PAUSED, Switchable, switchable
from esb.store import Switch, SwitchKind

RESET = "reset"  # instead of a value: what the configuration says holds again
SOON = "all processes see it within a second"


class Setting(msgspec.Struct, frozen=True):
    """A step that can be set: what holds, what the configuration says ("": it no longer has this), and who set it."""

    kind: str
    key: str
    holds: str
    configured: str
    switch: Switch | None = None


class Control(msgspec.Struct, frozen=True):
    """What can be set of a flow, and is: ``pause`` where somebody stopped it, ``tables`` that it goes by."""

    pause: Switch | None
    settings: list[Setting]
    tables: list[str]


def install(area: flask.Blueprint, services: Services) -> None:
    """Add the acts to the pages of flows."""
    known = switchable(services.definition)

    @area.post("/<name>/pause")
    @requires("operator")
    def pause(name: str) -> Any:
        return _act(services, known, "flow", name, "", PAUSED, f"{name} is paused", f"{name} was paused already.")

    @area.post("/<name>/resume")
    @requires("operator")
    def resume(name: str) -> Any:
        return _act(services, known, "flow", name, "", None, f"{name} goes on", f"{name} was not paused.")

    @area.post("/<name>/detour")
    @requires("operator")
    def detour(name: str) -> Any:
        return _step(services, known, "detour", name, pages.field("state"))

    @area.post("/<name>/throttle")
    @requires("operator")
    def throttle(name: str) -> Any:
        return _step(services, known, "throttle", name, pages.field("rate"))


def control_of(services: Services, flow: str) -> Control:
    """What holds of one flow now."""
    known = switchable(services.definition)
    with services.store.reading() as t:
        set_ = [one for one in t.switches.all() if one.name == flow and one.kind != "table"]
    found: dict[tuple[str, str], Switch] = {(one.kind, one.key): one for one in set_}
    detours = {step: ON if on else OFF for step, on in known.detours.get(flow, {}).items()}
    rates = {step: str(rate) for step, rate in known.throttles.get(flow, {}).items()}
    return Control(
        found.get(("flow", "")),
        [*_settings("detour", detours, found), *_settings("throttle", rates, found)],
        [table.name for table in known.tables.values() if flow in table.flows],
    )


def change(
    services: Services, known: Switchable, kind: SwitchKind, name: str, key: str, value: str | None
) -> bool | None:  # fmt: skip
    """Set something, or take it back (None); False: it was so already. None: it makes no sense, and the page says so.

    What is no longer in the configuration can be taken back, too.
    """
    why = pages.reason()
    problem = known.problem(kind, name, key, value) if value is not None else ""
    if problem:
        pages.notice(f"Not set: {problem}.", "bad")
        return None
    with services.store.transaction() as t:
        if value is None:
            return bool(t.switches.unset(kind, name, [key], pages.who(), why))
        return bool(t.switches.set(kind, name, {key: value}, pages.who(), why))


def tell(changed: bool | None, done: str, nothing: str) -> None:
    """What came of :func:`change`, on the next page."""
    if changed is not None:
        pages.notice(f"{done}; {SOON}." if changed else nothing)


def _act(
    services: Services, known: Switchable, kind: SwitchKind, name: str, key: str, value: str | None, *said: str
) -> Any:  # fmt: skip
    if name not in known.flows:
        raise NotFound(f"There is no flow {name}.")
    tell(change(services, known, kind, name, key, value), *said)
    return pages.back(flask.url_for("flows.show", name=name))


def _step(services: Services, known: Switchable, kind: SwitchKind, name: str, value: str) -> Any:
    """Another value for a step of a flow."""
    step = pages.field("step")
    if not step or not value:
        raise BadRequest("Say which step, and what it is to be set to.")
    taken_back = value == RESET
    done = f"{step} is as the configuration says" if taken_back else f"{step} is set to {value}"
    nothing = f"Nobody had set {step}." if taken_back else f"{step} was set to {value} already."
    return _act(services, known, kind, name, step, None if taken_back else value, done, nothing)


def _settings(
    kind: str, configured: Mapping[str, str], found: Mapping[tuple[str, str], Switch]
) -> Iterator[Setting]:  # fmt: skip
    """Those of the configuration, and behind them those that it no longer has."""
    for step, first in configured.items():
        switch = found.get((kind, step))
        yield Setting(kind, step, switch.value if switch else first, first, switch)
    for (sort, step), switch in found.items():
        if sort == kind and step not in configured:
            yield Setting(kind, step, switch.value, "", switch)
