"""Sagas as files: reading them, and what ``check`` says about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from esb.config.definition import LoadedSaga
from esb.config.expressions import Context
from esb.config.fields import View
from esb.config.findings import Report
from esb.config.masks import check_key
from esb.config.models import Saga, SagaEvent, SagaStep
from esb.config.rules import source_view
from esb.config.scope import FlowScope, World
from esb.config.steps import ParsedFlow
from esb.config.tree import Map, Seq, Spot, root
from esb.config.validate import build


def load_saga(document: Map, report: Report) -> LoadedSaga | None:
    """One saga, or None when it has findings.

    Args:
        document: as read from YAML.
        report: takes the findings.
    """
    before = len(report.findings)
    spot = root(document, document.place.file)
    model = build(Saga, document, spot, report)
    _check_steps(spot.at("steps"), report)
    if model is None or any(f.level == "error" for f in report.findings[before:]):
        return None
    return LoadedSaga(
        name=model.saga,
        title=model.title or model.saga,
        source=model.source,
        key=model.key,
        steps=model.steps,
        timeout=model.timeout,
        recovery=model.recovery,
        completed=model.completed,
        compensated=model.compensated,
        file=document.place.file,
        line=document.place.line,
        lines=tuple(spot.at("steps", number).place.line for number in range(len(model.steps))),
    )


def _check_steps(spot: Spot, report: Report) -> None:
    """What the steps are together: names and answers are unique, and there is one pivot at most."""
    steps = [spot.at(number) for number in range(len(spot.value))] if isinstance(spot.value, Seq) else []
    steps = [step for step in steps if isinstance(step.value, Map)]
    for key, what in (("name", "step is called"), ("as", "answer is kept as")):
        _unique(steps, key, what, report)
    pivots = [number for number, step in enumerate(steps) if step.value.get("pivot") is True]
    for number in pivots[1:]:
        text = f"There is a pivot already (line {steps[pivots[0]].place.line}): a saga has one point of no return."
        report.at(steps[number].at("pivot"), "bad-value", text)
    for step in steps[pivots[0] :] if pivots else ():
        if "compensate" in step.value:
            text = "From the pivot on nothing is undone, so this compensation is never used: remove it."
            report.at_key(step.at("compensate"), "unused", text, level="warning")


def _unique(steps: Iterable[Spot], key: str, what: str, report: Report) -> None:
    taken: dict[str, Spot] = {}
    for step in steps:
        value = step.value.get(key)
        if isinstance(value, str) and value in taken:
            text = f"Another {what} {value!r} (line {taken[value].place.line}): names are unique within a saga."
            report.at(step.at(key), "duplicate-name", text)
        elif isinstance(value, str):
            taken[value] = step.at(key)


def check_sagas(documents: Iterable[Map], loaded: Iterable[LoadedSaga], world: World) -> list[ParsedFlow]:
    """Every saga: where it starts, its key, its calls and mappings; what they are for the rules of the whole bus."""
    known = {saga.name: saga for saga in loaded}
    parsed = [ParsedFlow(root(document, document.place.file)) for document in documents]
    for one in parsed:
        view = source_view(one, world)
        if "key" in one.spot.value:
            key, spot, context = one.spot.value["key"], one.spot.at("key"), Context(view, {"message": None})
            world.expressions.check(key, spot, context)
            check_key(key, spot, context, world.report)
        saga = known.get(str(one.spot.value.get("saga")))
        if saga is not None:
            _Checker(world, one).check(saga, view)
    return parsed


class _Checker:
    """Walks one saga that could be read."""

    def __init__(self, world: World, parsed: ParsedFlow) -> None:
        self._world = world
        self._parsed = parsed

    def check(self, saga: LoadedSaga, view: View | None) -> None:
        for number, step in enumerate(saga.steps):
            self._call(self._scope(view, "steps", number), step)
            view = self._answered(view, step)
            if step.compensate is not None:
                spot = self._parsed.spot.at("steps", number, "compensate")
                # Without a mapping it is sent what its action was, of which the step above knows all that is to know.
                known = view if step.compensate.mapping is not None else None
                self._call(self._scope(known, "steps", number, "compensate"), step.compensate, spot)
        for key, event in (("completed", saga.completed), ("compensated", saga.compensated)):
            if event is not None:
                self._event(self._scope(view, key), event)

    def _scope(self, view: View | None, *at: str | int) -> FlowScope:
        return FlowScope(self._world, self._parsed, self._parsed.spot.at(*at), view)

    def _call(self, scope: FlowScope, call: Any, short: Spot | None = None) -> None:
        """``short``: where a compensation stands that may be written as its call alone."""
        going = scope if call.mapping is None else scope.mapping(call.mapping, ("with",))
        is_short = short is not None and not isinstance(short.value, Map)
        going.operation(call.call, () if is_short else ("call",))

    def _event(self, scope: FlowScope, event: SagaEvent) -> None:
        going = scope if event.mapping is None else scope.mapping(event.mapping, ("with",))
        going.contract(event.publish, ("publish",))

    def _answered(self, view: View | None, step: SagaStep) -> View | None:
        """The saga's document once a step is answered."""
        if view is None or step.answer is None:
            return view
        return self._scope(view).answered(step.call, step.answer).view
