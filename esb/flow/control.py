"""The step ``control``: a message pauses, resumes, switches and throttles, as a person could (Control Bus)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from esb import ports
from esb.config.components import Scope, Step
from esb.errors import RoutingError
from esb.flow.result import Control as Act
from esb.flow.result import ControlKind
from esb.flow.step import Kind, Sketch
from esb.flow.switchable import OFF, ON, PAUSED, switchable
from esb.flow.switches import Rate
from esb.flow.work import Action, Work
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

_Value = Callable[[Work], str | None]


class Halted(ports.Settings):
    """``{endpoint: name}`` or ``{flow: name}``."""

    endpoint: str | None = Field(None, description="An endpoint.")
    flow: str | None = Field(None, description="A flow.")

    @model_validator(mode="after")
    def _one(self) -> Halted:
        if (self.endpoint is None) == (self.flow is None):
            raise ValueError("say which: {endpoint: name} or {flow: name}")
        return self


class SwitchedDetour(ports.Settings):
    """``{flow: name, step: name, active: true}``."""

    flow: str = Field(description="The flow that it is in.")
    step: str = Field(description="The name of the step.")
    active: bool | None = Field(None, description="On or off; without it, as the configuration says.")


class SwitchedThrottle(ports.Settings):
    """``{flow: name, step: name, rate: 10/1s}``."""

    flow: str = Field(description="The flow that it is in.")
    step: str = Field(description="The name of the step.")
    rate: str | None = Field(None, description="So many in a time; without it, as the configuration says.")

    @model_validator(mode="after")
    def _readable(self) -> SwitchedThrottle:
        if self.rate is not None and Rate.read(self.rate) is None:
            raise ValueError(f"{self.rate!r} is no rate: write it as 10/1s")
        return self


class SwitchedRow(ports.Settings):
    """``{table: name, key: expression, to: expression}``."""

    table: str = Field(description="A table that a step `route` goes by.")
    key: str = Field(description="A JSONata expression giving the key.")
    to: str | None = Field(
        None, description="A JSONata expression giving a word, or several with commas; without it, as configured."
    )


class ControlSettings(ports.Settings):
    """One of ``pause``, ``resume``, ``detour``, ``throttle`` and ``route``, and ``why``."""

    pause: Halted | None = Field(None, description="Stop it; what comes to it waits in its queue.")
    resume: Halted | None = Field(None, description="Let it go on.")
    detour: SwitchedDetour | None = Field(None, description="Switch a detour.")
    throttle: SwitchedThrottle | None = Field(None, description="Set another rate.")
    route: SwitchedRow | None = Field(None, description="Set a row of a routing table.")
    why: str | None = Field(None, description="A JSONata expression giving the reason, for the audit.")

    @model_validator(mode="after")
    def _one(self) -> ControlSettings:
        acts = self.model_fields_set - {"why"}
        if len(acts) != 1:
            raise ValueError("a step does one thing: write one of pause, resume, detour, throttle and route")
        return self

    def act(self) -> tuple[str, ControlKind, str, str, str | None]:
        """In words, and as the store has it: kind, name, key, value (None: as configured)."""
        if self.pause or self.resume:
            one, value = (self.pause, PAUSED) if self.pause else (self.resume, None)
            assert one is not None
            word, kind = ("pause" if self.pause else "resume"), "endpoint" if one.endpoint else "flow"
            name = one.endpoint or one.flow or ""
            return f"{word} {kind} {name}", "endpoint" if one.endpoint else "flow", name, "", value
        if self.detour:
            state = None if self.detour.active is None else ON if self.detour.active else OFF
            text = f"{self.detour.flow}/{self.detour.step} {state or 'as configured'}"
            return f"detour {text}", "detour", self.detour.flow, self.detour.step, state
        if self.throttle:
            text = f"{self.throttle.flow}/{self.throttle.step} {self.throttle.rate or 'as configured'}"
            return f"throttle {text}", "throttle", self.throttle.flow, self.throttle.step, self.throttle.rate
        assert self.route is not None
        return f"table {self.route.table}", "table", self.route.table, "", None


class Control(Kind):
    """Does what a person could do at the command line: it is done in the commit that tracks the message, and audited.

    Whatever is meant is named here, so that ``esb check`` knows it; only the row of a table comes from the message.
    """

    kind: ClassVar[str] = "control"
    summary = "Pause, resume, switch or throttle a part of the bus."
    Settings = ControlSettings

    @classmethod
    def sketch(cls, settings: ControlSettings) -> Sketch:
        return Sketch(settings.act()[0])

    @classmethod
    def check(cls, settings: ControlSettings, scope: Scope) -> Scope:
        _, kind, name, key, _ = settings.act()
        word = next(iter(settings.model_fields_set - {"why"}))
        scope.control(kind, name, key, (word,))
        for text, at in _expressions(settings):
            scope.expression(text, at)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: ControlSettings = step.settings
        outcome, kind, name, place, value = settings.act()
        row = settings.route
        key = _text(row.key, step, context) if row else None
        to = _words(row, step, context) if row and row.to is not None else None
        why = _text(settings.why, step, context) if settings.why else None

        def run(work: Work) -> bool:
            work.at = step
            act = Act(
                kind=kind,
                name=name,
                key=key(work) or "" if key else place,
                value=to(work) if to else value,
                why=(why(work) if why else None) or f"message {work.message.id}",
            )
            work.controls.append(act)
            work.trace(f"{outcome}, {act.key}: {act.value or 'as configured'}" if row else outcome)
            return True

        return run


def _expressions(settings: ControlSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    if settings.route:
        yield settings.route.key, ("route", "key")
        if settings.route.to is not None:
            yield settings.route.to, ("route", "to")
    if settings.why is not None:
        yield settings.why, ("why",)


def _text(text: str, step: Step, context: Context) -> _Value:
    evaluate = context.expression(text, step)

    def value(work: Work) -> str | None:
        found = evaluate(work)
        return found if isinstance(found, str) or found is None else quote(found)

    return value


def _words(row: SwitchedRow, step: Step, context: Context) -> _Value:
    """What the message wants to put into the table; a word that means nobody fails the message."""
    given, known = _text(row.to or "", step, context), switchable(context.definition)

    def value(work: Work) -> str | None:
        words = given(work)
        wrong = known.problem("table", row.table, "", words)
        if wrong:
            raise RoutingError(f"table {row.table}: {wrong}")
        return words

    return value
