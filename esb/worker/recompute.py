"""The documents between the steps of a flow, computed again.

They are stored nowhere. A flow is pure: the same message and the same definition give the same documents, on any
machine and at any time, so a journey shows what was, also when the definition has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esb.config import Components, Definition
from esb.config.load import restored
from esb.errors import EsbError
from esb.flow import Parts, StepTrace, build_parts
from esb.flow.recording import Recorder, Seen
from esb.masking import Masks
from esb.message import JSON, Message
from esb.store import Hop, Store
from esb.worker.differences import Change, changes
from esb.worker.journey import headers_of, steps_of

LARGEST = 1024**2  # bytes of a document that is computed again for a page
KEPT = 4  # definitions kept compiled


class StepView(msgspec.Struct, frozen=True):
    """One step that ran, as a journey shows it. ``known`` False: the documents could not be computed."""

    trace: StepTrace
    known: bool = False
    before: Any = None
    after: Any = None
    changes: Sequence[Change] = ()

    @property
    def failed(self) -> bool:
        """It is the step at which the message failed."""
        return self.trace.outcome.startswith("failed")


class Recomputed(msgspec.Struct, frozen=True):
    """The steps of one message in one flow. ``why`` says what is missing, and why; "" when nothing is."""

    steps: Sequence[StepView]
    why: str = ""


class Recomputer:
    """Computes steps again with the definition that was in force; keeps the last few compiled."""

    def __init__(self, definition: Definition, parts: Parts, components: Components, store: Store) -> None:
        """Args: the definition in force now with what it compiles to, the kinds there are, and the store that keeps
        earlier ones."""
        self._components = components
        self._store = store
        self._known: dict[str, tuple[Definition, Parts]] = {definition.hash: (definition, parts)}

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
        covered = Masks({ref: contract.mask for ref, contract in parts.contracts.items()}).of(hop.type) is not None
        result, seen = Recorder(name, definition, parts, covered).run(_message(hop), split)
        by_step = {(one.part, one.step): one for one in seen}
        views = [_view(trace, by_step.get((trace.part, trace.step))) for trace in traces or result.steps]
        return Recomputed(views, _caveat(covered, views))

    def _definition(self, hash: str) -> tuple[Definition, Parts]:
        if hash not in self._known:
            with self._store.reading() as t:
                stored = t.definitions.get(hash)
            if stored is None:
                raise EsbError("the definition that was in force is not stored any more")
            definition = restored(stored.files, self._components)
            if len(self._known) > KEPT:
                self._known.pop(list(self._known)[1])
            self._known[hash] = (definition, build_parts(definition))
        return self._known[hash]


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


def _view(trace: StepTrace, seen: Seen | None) -> StepView:
    if seen is None:
        return StepView(trace)
    return StepView(trace, True, seen.before, seen.after, changes(seen.before, seen.after))


def _message(hop: Hop) -> Message:
    """The message that the hop was of, as far as a flow can see it."""
    return Message(
        id=hop.message_id, type=hop.type, version=hop.version, source=hop.source or "", time=hop.time,
        correlation_id=hop.correlation_id, causation_id=hop.causation_id, subject=hop.subject, body=hop.body or b"",
        content_type=hop.content_type or JSON, headers=headers_of(hop),
    )  # fmt: skip
