"""Flows and their steps: one kind key a step, nested ones inside their settings."""

from __future__ import annotations

from typing import Any

import msgspec

from esb.config.components import Components, Step
from esb.config.definition import LoadedFlow
from esb.config.findings import Report, nearest
from esb.config.models import Flow
from esb.config.shorthand import Shorthand
from esb.config.tree import Map, Seq, Spot, root
from esb.config.validate import build, keys_of

OWN_KEYS = ("name", "on_error")  # of a step, beside its kind


def schedule_source(flow: str) -> str:
    """The source of a flow that starts by itself; no endpoint and no event is called so."""
    return f"schedule:{flow}"


class ParsedFlow(msgspec.Struct):
    """A flow as read, with the places of its steps for the checker. A step that could not be read is None."""

    spot: Spot
    flow: LoadedFlow | None = None
    sequence: list[Step | None] = []
    on_error: list[Step | None] = []
    nested: dict[int, list[Step | None]] = {}  # id of a nested tuple -> all its steps
    steps: list[Step] = []  # all of them, wherever they stand
    spots: dict[int, Spot] = {}  # id of a step -> where its settings stand

    @property
    def kind(self) -> str:
        """A saga has no steps of a flow, but starts and publishes as one."""
        return "saga" if "saga" in self.spot.value else "flow"

    @property
    def title(self) -> str:
        """What it goes by among all that starts at events."""
        name = str(self.spot.value.get(self.kind))
        return f"saga {name}" if self.kind == "saga" else name


def parse_flow(document: Map, components: Components, report: Report) -> ParsedFlow:
    """Read one flow document; ``flow`` stays None when it has findings.

    Args:
        document: as read from YAML.
        components: knows the steps.
        report: takes the findings.
    """
    before = len(report.findings)
    spot = root(document, document.place.file)
    parsed = ParsedFlow(spot)
    parser = _Parser(components, report, parsed)
    model = build(Flow, document, spot, report)
    if "steps" in document:
        parsed.sequence = parser.sequence(spot.at("steps"))
    if "on_error" in document:
        parsed.on_error = parser.sequence(spot.at("on_error"))
    parser.give_names()
    if model is not None and all(f.level != "error" for f in report.findings[before:]):
        schedule = None if isinstance(model.source, str) else model.source
        parsed.flow = LoadedFlow(
            name=model.flow,
            title=model.title or model.flow,
            source=model.source if isinstance(model.source, str) else schedule_source(model.flow),
            schedule=schedule,
            steps=tuple(step for step in parsed.sequence if step),
            file=document.place.file,
            line=document.place.line,
            on_error=tuple(step for step in parsed.on_error if step),
            test_message=model.test_message,
            backlog=model.backlog,
            ordering=model.ordering.by if model.ordering else "",
        )
    return parsed


class _Parser:
    def __init__(self, components: Components, report: Report, parsed: ParsedFlow) -> None:
        self.kinds = components.steps
        self.report = report
        self.parsed = parsed
        self.in_order: list[tuple[Step | None, Spot]] = []  # as they stand in the file, outer before inner

    def sequence(self, spot: Spot) -> list[Step | None]:
        """The steps that a value holds: a list of them, or one."""
        if isinstance(spot.value, Map):
            return [self.step(spot)]
        if isinstance(spot.value, Seq) and spot.value:
            return [self.step(spot.at(number)) for number in range(len(spot.value))]
        if not isinstance(spot.value, Seq):
            text = "Steps are needed here, each a mapping such as {send: endpoint.operation}."
            self.report.at(spot, "wrong-type", text)
        return []

    def step(self, spot: Spot) -> Step | None:
        """One step, or None and a finding."""
        kind = self._kind(spot)
        if kind is None:
            return None
        number = len(self.in_order)
        self.in_order.append((None, spot))
        here = self._whole(spot, kind)
        context = {"steps": lambda value: self._nested(value, here)}
        settings = build(self.kinds[kind].Settings, here.value, here, self.report, context=context)
        if settings is None:
            return None
        place = spot.place
        step = Step(kind, settings, "", place.file, place.line, place.column, self._on_error(spot, settings))
        self.in_order[number] = (step, spot)
        self.parsed.spots[id(step)] = here
        return step

    def _on_error(self, spot: Spot, settings: Any) -> tuple[Step, ...]:
        """Beside the kind, or for a call among its settings."""
        inside = tuple(getattr(settings, "on_error", None) or ())
        if "on_error" not in spot.value:
            return inside
        if inside:
            text = "This step has an 'on_error' inside, too: keep one."
            self.report.at_key(spot.at("on_error"), "duplicate-key", text, value="on_error")
        return self._nested(spot.value["on_error"], spot)

    def _whole(self, spot: Spot, kind: str) -> Spot:
        """The settings of a step, with those that stand beside the kind."""
        here = spot.at(kind)
        beside = [key for key in self.kinds[kind].beside if key in spot.value]
        if not beside:
            return here
        model = self.kinds[kind].Settings
        if not (issubclass(model, Shorthand) and model.is_short(here.value)):
            text = f"Write {beside[0]!r} inside {kind!r}, beside the other settings."
            self.report.at_key(spot.at(beside[0]), "unknown-key", text, value=beside[0])
            return here
        value = spot.value.only(beside)
        value.put(model.short, here.value, here.key_at, here.place)
        return Spot(value, here.place, here.key_at, here.path)

    def _nested(self, value: Any, above: Spot) -> tuple[Step, ...]:
        spot = above.locate(value) or above
        steps = self.sequence(spot if spot.value is value else Spot(value, above.place, above.key_at, above.path))
        kept = tuple(step for step in steps if step)
        self.parsed.nested[id(kept)] = steps
        return kept

    def _kind(self, spot: Spot) -> str | None:
        value = spot.value
        if not isinstance(value, Map):
            text = f"A step is a mapping with its kind as key, one of {', '.join(sorted(self.kinds))}."
            self.report.at(spot, "wrong-type", text, hint=nearest(str(value), self.kinds))
            return None
        keys = [key for key in value if key not in OWN_KEYS]
        known = [key for key in keys if key in self.kinds]
        owner = next((key for key in known if self.kinds[key].beside), None)
        if owner is not None:  # `map` beside `call` is a setting of it, not a step
            keys = [key for key in keys if key not in self.kinds[owner].beside]
            known = [key for key in known if key in keys]
        if len(keys) == 1 and known:
            return known[0]
        self._explain(spot, keys, known)
        return None

    def _explain(self, spot: Spot, keys: list[str], known: list[str]) -> None:
        """The one finding for a step without exactly one kind."""
        if not keys:
            text = f"This step does nothing: add one of {', '.join(sorted(self.kinds))}."
            self.report.add(spot.place, "missing-key", text, pointer=spot.pointer)
        elif not known:
            text = f"There is no step {keys[0]!r}; known are {', '.join(sorted(self.kinds))}."
            hint = nearest(keys[0], self.kinds)
            self.report.at_key(spot.at(keys[0]), "unknown-step", text, value=keys[0], hint=hint)
        elif len(known) > 1:
            text = f"A step does one thing: write {known[1]!r} as a step of its own, with its own dash."
            self.report.at_key(spot.at(known[1]), "unknown-key", text, value=known[1])
        else:
            other = next(key for key in keys if key not in known)
            within = [*OWN_KEYS, *keys_of(self.kinds[known[0]].Settings)]
            text = f"There is no key {other!r} beside {known[0]!r}; its settings stand inside it, indented."
            self.report.at_key(spot.at(other), "unknown-key", text, value=other, hint=nearest(other, within))

    def give_names(self) -> None:
        """Name every step: as given, else ``kind:target``, numbered from the second on."""
        taken: dict[str, Spot] = {}
        for _, spot in self.in_order:
            name = spot.value.get("name")
            if name is not None and self._is_free(name, spot.at("name"), taken):
                taken[name] = spot.at("name")
        for step, spot in self.in_order:
            if step is not None:
                name = spot.value.get("name") or self._default(step, taken)
                taken.setdefault(name, spot)
                # Steps are frozen; a name depends on all others, so it comes last, before anyone sees the step.
                msgspec.structs.force_setattr(step, "name", name)
                self.parsed.steps.append(step)

    def _is_free(self, name: Any, spot: Spot, taken: dict[str, Spot]) -> bool:
        if not isinstance(name, str) or not name:
            self.report.at(spot, "wrong-type", "A step's name is text.")
        elif name in taken:
            text = f"Another step is called {name!r} (line {taken[name].place.line}): names are unique within a flow."
            self.report.at(spot, "duplicate-name", text)
        else:
            return True
        return False

    def _default(self, step: Step, taken: dict[str, Spot]) -> str:
        target = self.kinds[step.kind].target(step.settings)
        base = f"{step.kind}:{target}" if target else step.kind
        name, number = base, 2
        while name in taken:
            name, number = f"{base}:{number}", number + 1
        return name
