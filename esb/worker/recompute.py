"""The documents between the steps of a flow, computed again.

They are stored nowhere. A flow is pure: the same message and the same definition give the same documents, on any
machine and at any time, so a journey shows what was, also when the definition has changed since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from esb.config import Definition
from esb.errors import EsbError
from esb.flow import Call, Failure, Parts, StepTrace, build_parts
from esb.flow.explaining import Explained, explain
from esb.flow.groups import Hold, goes_on
from esb.flow.legs import Continuation
from esb.flow.recording import Recorder, Visit
from esb.flow.switches import Switches
from esb.message import JSON, Message
from esb.store import Hop
from esb.worker.answers import Answers
from esb.worker.context import Context
from esb.worker.differences import Change, changes
from esb.worker.journey import headers_of, steps_of
from esb.worker.rows import kind_of, text_of

LARGEST = 1024**2  # bytes of a document that is computed again for a page
LEGS = 100  # calls of one message that are gone through


class StepView(msgspec.Struct, frozen=True):
    """One step that ran, as a journey shows it. ``known`` False: it could not be computed again."""

    trace: StepTrace
    known: bool = False
    before: Any = None
    after: Any = None
    changes: Sequence[Change] = ()
    why: Explained | None = None

    @property
    def failed(self) -> bool:
        """It is the step at which the message failed."""
        return self.trace.outcome.startswith("failed")


class Recomputed(msgspec.Struct, frozen=True):
    """The steps of one message in one flow. ``why`` says what is missing, and why; "" when nothing is.

    ``explained`` are the same steps, nested ones inside theirs.
    """

    steps: Sequence[StepView]
    why: str = ""
    explained: Sequence[Explained] = ()


class _Answer(msgspec.Struct, frozen=True):
    document: Any
    failure: Failure | None = None


class Recomputer:
    """Computes steps again with the definition that was in force. May be shared by threads."""

    def __init__(self, context: Context, parts: Parts) -> None:
        """Args: the bus of this process, and what its definition compiles to."""
        self._context = context
        self._parts = parts

    def steps(self, hop: Hop, split: str = "") -> Recomputed:
        """The steps of a message at a flow.

        Args:
            hop: with everything that is stored of it.
            split: the name of the split step whose part the message is, if it is one.
        """
        traces = steps_of(hop)
        why = _not_possible(hop)
        if why:
            return Recomputed([StepView(trace) for trace in traces], why)
        try:
            return self._again(hop, split, traces)
        except EsbError as error:
            return Recomputed([StepView(trace) for trace in traces], f"The steps cannot be computed again: {error}")

    def _again(self, hop: Hop, split: str, traces: Sequence[StepTrace]) -> Recomputed:
        definition, parts = self._definition(hop.definition or "")
        name = hop.place.partition(":")[2]
        if name not in definition.flows:
            raise EsbError(f"flow {name} is not in the definition that was in force")
        covered = parts.masks.of(hop.type) is not None
        recorder = Recorder(name, definition, parts, covered)
        past = _decided(traces)
        merged = self._merged(hop)
        result = recorder.resume(merged, switches=past) if merged else recorder.run(_message(hop), split, past)
        for _ in range(LEGS):
            call = next((call for call in result.calls if call.owner.id == hop.message_id), None)
            answer = call and self._answer(call, traces, definition, parts)
            left = next((hold for hold in result.holds if hold.member.message.id == hop.message_id), None)
            if call and answer:
                result = recorder.resume(call.continuation, answer.document, answer.failure, past)
            elif left and (said := _let_go(left, traces)):
                result = recorder.resume(goes_on(left.member, said.outcome, said.kind), switches=past)
            else:
                break
        seen = _Seen(recorder.visits)
        views = [_view(trace, seen.at(trace)) for trace in traces or result.steps]
        return Recomputed(views, _caveat(covered, views), [explain(visit) for visit in recorder.visits])

    def _merged(self, hop: Hop) -> Continuation | None:
        """Where a message set out that a step made of several; None for any other."""
        with self._context.store.reading() as t:
            member = t.tracking.get(hop.causation_id, hop.place) if hop.causation_id else None
        traces = steps_of(member) if member else []
        made = next((trace for trace in traces if not trace.kind and hop.message_id in trace.children), None)
        if made is None:
            return None
        return Continuation(
            flow=hop.place.partition(":")[2], definition=hop.definition or "", step=made.step, message=_message(hop),
            type=hop.type, version=hop.version, document=msgspec.Raw(hop.body or b"null"), go="on",
        )  # fmt: skip

    def _answer(self, call: Call, traces: Sequence[StepTrace], definition: Definition, parts: Parts) -> _Answer | None:
        """What came back, covered, from where it is kept to answer a repeated call; None: nothing (any more)."""
        ids = (id for trace in traces if trace.step == call.step for id in trace.children)
        id = next(ids, call.message.id)
        with self._context.store.reading() as t:
            told = Answers(definition, parts, self._context.formats).of(t, call.endpoint, call.operation, id)
        if told is None:
            return None
        if told.error is None:
            return _Answer(told.document)
        return _Answer(None, Failure(kind=kind_of(told.error), text=text_of(told.error), endpoint=call.endpoint))

    def _definition(self, hash: str) -> tuple[Definition, Parts]:
        if hash == self._context.definition.hash:
            return self._context.definition, self._parts
        definition = self._context.older(hash)
        if definition is None:
            raise EsbError("the definition that was in force is not stored any more")
        # Compiled anew each time: expressions must be dropped on the thread that made them, which is this one.
        return definition, build_parts(definition)


def _let_go(hold: Hold, traces: Sequence[StepTrace]) -> StepTrace | None:
    """What the step said when it let the message go on as it came; None while it waits, and where it ended there."""
    said = [trace for trace in traces if trace.step == hold.step]
    return said[1] if len(said) > 1 and said[1].kind == hold.kind and said[1].outcome != "answered" else None


def _decided(traces: Sequence[StepTrace]) -> Switches:
    """What steps decided that go by what people set: it may be set otherwise by now."""
    past: dict[str, tuple[str, ...]] = {}
    for trace in traces:
        past[trace.step] = (*past.get(trace.step, ()), trace.outcome)
    return Switches(past=past)


def _not_possible(hop: Hop) -> str:
    if hop.body is None:
        return (
            "The document was not stored, so the steps cannot be computed again: `journey: full` in esb.yaml stores it."
        )
    if len(hop.body) > LARGEST:
        return f"The document is larger than {LARGEST // 1024**2} MB, so the steps are not computed again."
    return ""


def _caveat(covered: bool, views: Sequence[StepView]) -> str:
    if not covered:
        return ""
    missing = not all(view.known for view in views)
    return "Hidden fields read ***, and so does what was made of them" + (
        "; steps that need their values cannot be computed again." if missing else "."
    )


class _Seen:
    """Visits by what their traces say; a step that is come by again and again has several, in their order."""

    def __init__(self, visits: Iterable[Visit]) -> None:
        self._visits: dict[tuple[str, str, bool], deque[Visit]] = {}
        for visit in (one for top in visits for one in top.walk()):
            key = (visit.part, visit.step.name, visit.answered)
            self._visits.setdefault(key, deque()).extend([visit] * max(len(visit.traces), 1))

    def at(self, trace: StepTrace) -> Visit | None:
        """The visit that a trace is about. A part that is looked at by itself is no part of anything."""
        answered = trace.outcome == "answered"
        found = self._visits.get((trace.part, trace.step, answered)) or self._visits.get(("", trace.step, answered))
        if not found:
            return None
        return found.popleft() if len(found) > 1 else found[0]


def _view(trace: StepTrace, visit: Visit | None) -> StepView:
    if visit is None:
        return StepView(trace)
    before, after = visit.before, visit.after
    return StepView(trace, True, before, after, changes(before, after), explain(visit))


def _message(hop: Hop) -> Message:
    """The message that the hop was of, as far as a flow can see it."""
    return Message(
        id=hop.message_id, type=hop.type, version=hop.version, source=hop.source or "", time=hop.time,
        correlation_id=hop.correlation_id, causation_id=hop.causation_id, subject=hop.subject, body=hop.body or b"",
        content_type=hop.content_type or JSON, headers=headers_of(hop),
    )  # fmt: skip
