"""Plays the calls of a flow's case: each is answered as the case says, until nothing is asked any more."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

import msgspec

from esb.cases.files import CallAnswer, FlowCase
from esb.config import Definition
from esb.config.findings import nearest
from esb.config.mappings import plain
from esb.contract import Contract
from esb.errors import MessageError
from esb.flow import Call, ChildFailure, Failure, Flow, Result

LONGEST = 1000  # answers: a case that goes on and on is cut off there


class Answers:
    """What the calls of one case are answered."""

    def __init__(self, case: FlowCase, definition: Definition, contracts: Mapping[str, Contract]) -> None:
        self._given = case.answers
        self._definition = definition
        self._contracts = contracts
        self._asked: Counter[str] = Counter()

    def play(self, flow: Flow, id: str, result: Result) -> Result:
        """All that follows from the message ``id``, of which ``result`` is the first leg."""
        legs, open_ = [result], deque(result.calls)
        last, parts = result, list(result.children)
        for _ in range(LONGEST):
            if not open_:
                break
            call = open_.popleft()
            leg = self._answered(flow, call)
            if leg is None:
                continue
            legs.append(leg)
            open_.extend(leg.calls)
            parts += leg.children
            if call.owner.id == id:
                last = leg
            else:
                parts += _failed_part(call, leg)
        return _whole(legs, last, parts)

    def _answered(self, flow: Flow, call: Call) -> Result | None:
        """The leg behind an answer; None where the case says that none comes."""
        name = f"{call.endpoint}.{call.operation}"
        given = self._given.get(name, self._given.get(call.endpoint, "nothing"))
        if isinstance(given, tuple):
            given = given[min(self._asked[name], len(given) - 1)] if given else "nothing"
        self._asked[name] += 1
        if not isinstance(given, CallAnswer):
            return None
        if given.failed:
            failure = Failure(kind=given.failed, text=f"{name} answered {given.failed}", endpoint=name)
            return flow.resume(call.continuation, failure=failure)
        return self._done(flow, call, plain(given.done))

    def _done(self, flow: Flow, call: Call, document: object) -> Result:
        """As the endpoint would: what breaks the reply contract is a failure."""
        ref = self._definition.endpoints[call.endpoint].operations[call.operation].common.reply
        try:
            if ref:
                self._contracts[ref].check(document)
        except MessageError as error:
            name = f"{call.endpoint}.{call.operation}"
            failure = Failure(kind=error.kind, text=str(error), endpoint=name)
            return flow.resume(call.continuation, failure=failure)
        return flow.resume(call.continuation, document)


def unknown_answers(case: FlowCase, definition: Definition) -> list[str]:
    """Names of answers that are no operation."""
    endpoints = definition.endpoints
    known = {*endpoints, *(f"{e.name}.{word}" for e in endpoints.values() for word in e.operations)}
    problems = []
    for name in case.answers:
        if name not in known:
            near = nearest(name, known)
            problems.append(f"there is no operation {name!r} to answer" + (f": did you mean {near!r}?" if near else ""))
    return problems


def _failed_part(call: Call, leg: Result) -> list[ChildFailure]:
    """A part that fails behind an answer is parked by itself."""
    if leg.error is None:
        return []
    return [ChildFailure(message=call.owner, split="", step=leg.step, error=leg.error)]


def _whole(legs: Sequence[Result], last: Result, parts: Sequence[ChildFailure]) -> Result:
    """What went out in all legs, and how the message itself ended."""
    return msgspec.structs.replace(
        last,
        sends=tuple(send for leg in legs for send in leg.sends),
        calls=tuple(call for leg in legs for call in leg.calls),
        events=tuple(event for leg in legs for event in leg.events),
        children=tuple(parts),
    )
