"""What of a definition people can set while the bus runs, and what of it makes sense: the same for all who do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from esb.config.components import Step
from esb.config.definition import Definition, LoadedFlow
from esb.config.findings import nearest
from esb.flow.detour import Detour
from esb.flow.legs import nested
from esb.flow.recipients import Route
from esb.flow.switches import Rate
from esb.flow.timing import Throttle
from esb.flow.words import words_of

ON, OFF = "on", "off"  # of a detour
PAUSED = "paused"


class Table(msgspec.Struct, frozen=True):
    """A routing table: who uses it, the words that all of them know, and what the configuration puts into it."""

    name: str
    flows: tuple[str, ...]
    words: tuple[str, ...]
    rows: Mapping[str, str]


class Switchable(msgspec.Struct, frozen=True):
    """By flow and step: whether a detour is on at first, and the rate of a throttle; by name: tables. And the flows."""

    flows: frozenset[str]
    detours: Mapping[str, Mapping[str, bool]]
    throttles: Mapping[str, Mapping[str, Rate]]
    tables: Mapping[str, Table]

    def problem(self, kind: str, name: str, key: str, value: str | None) -> str:
        """Why something cannot be set so, in a sentence, or "". ``value`` None: it is taken back.

        Args:
            kind: table, detour, throttle or flow, as in :class:`esb.store.Switch`.
            name: of the table or the flow.
            key: the row, or the step.
            value: words; ``on`` or ``off``; a rate; anything.
        """
        if kind == "table":
            return _absent("table", name, self.tables) or ("" if value is None else _words(self.tables[name], value))
        if kind == "flow":
            return _absent("flow", name, self.flows)
        steps = self.detours if kind == "detour" else self.throttles
        found = _absent("flow", name, self.flows) or _absent(kind, key, steps.get(name, {}))
        if found or value is None:
            return found
        return _state(value) if kind == "detour" else _rate(value)


def switchable(definition: Definition) -> Switchable:
    """All of it."""
    flows = definition.flows.values()
    routes: dict[str, list[tuple[str, Step]]] = {}
    for flow in flows:
        for step in _steps(flow, Route.kind):
            routes.setdefault(step.settings.table, []).append((flow.name, step))
    return Switchable(
        flows=frozenset(definition.flows),
        detours={f.name: {s.name: s.settings.active for s in _steps(f, Detour.kind)} for f in flows},
        throttles={
            f.name: {s.name: Rate(s.settings.messages, s.settings.per) for s in _steps(f, Throttle.kind)} for f in flows
        },
        tables={name: _table(name, routes[name]) for name in sorted(routes)},
    )


def _steps(flow: LoadedFlow, kind: str) -> Iterator[Step]:
    seen: set[str] = set()  # what stands in an on_error is reached twice
    for step in nested((flow.steps, flow.on_error)):
        if step.kind == kind and step.name not in seen:
            seen.add(step.name)
            yield step


def _table(name: str, steps: list[tuple[str, Step]]) -> Table:
    first = steps[0][1].settings
    words = tuple(word for word in first.among if all(word in step.settings.among for _, step in steps))
    rows = {key: row for _, step in reversed(steps) for key, row in step.settings.rows.items()}
    return Table(name, tuple(dict.fromkeys(flow for flow, _ in steps)), words, rows)


def _absent(what: str, name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    if name in known:
        return ""
    near = nearest(name, known)
    return f"there is no {what} {name!r}" + (f": did you mean {near!r}?" if near else "")


def _words(table: Table, value: str) -> str:
    words = words_of(value, table.name)
    strange = next((word for word in words if word not in table.words), None)
    if not words:
        return f"say one of {', '.join(table.words)}, or several with commas"
    return f"{strange!r} means nobody: it is one of {', '.join(table.words)}" if strange is not None else ""


def _state(value: str) -> str:
    return "" if value in (ON, OFF) else f"a detour is {ON} or {OFF}, not {value!r}"


def _rate(value: str) -> str:
    return "" if Rate.read(value) else f"a rate is such as 10/1s, not {value!r}"
