"""What is hidden in which messages of a bus: what contracts say, and where the values go from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Any

from esb.config.components import StepKind, nested
from esb.config.definition import Definition, LoadedEndpoint, LoadedFlow, LoadedSaga
from esb.config.expressions import Context
from esb.config.fields import blank, view_of
from esb.config.mappings import plain
from esb.config.masks import carried, kept_of
from esb.config.models import Operation
from esb.errors import MappingError
from esb.mapping import parse
from esb.masking import Mask, Masks, mask_of, paths_in

DEEPEST = 3  # documents within documents that steps put together


def masks_of(definition: Definition, kinds: Mapping[str, type[StepKind]]) -> Masks:
    """The masks of a definition, with ``kinds`` of steps by name.

    What an answer hides is hidden wherever a document keeps it: in the field that a call or a saga's step puts it into,
    in fields that are taken from it, and in what undoes the step of a saga; so is what lies in the envelope or the list
    that a step makes of documents, and what it takes out of one.
    """
    hidden = Hidden(definition.contracts, definition.endpoints)
    flows, sagas = definition.flows.values(), definition.sagas.values()
    return Masks({**hidden.own, **hidden.undone(sagas)}, hidden.everywhere(flows, sagas, kinds))


class Hidden:
    """What contracts hide, for whoever asks where it goes. What refers to nothing that there is hides nothing."""

    def __init__(self, contracts: Mapping[str, Any], endpoints: Mapping[str, LoadedEndpoint]) -> None:
        self.own = dict(_readable(contracts))
        self._contracts = contracts
        self._endpoints = endpoints
        self._kept = Mask()

    # --- for steps ------------------------------------------------------------------------------------------------

    def reply(self, ref: str) -> Mask:
        """Of the document that ``endpoint.operation`` answers."""
        return self._fields(self._operation(ref).reply)

    def taken(self, ref: str, fields: Mapping[str, Any]) -> Mask:
        """Of the fields (a tree of leaves) that are taken from ``$answer``, what ``endpoint.operation`` answers."""
        answer = view_of(self._operation(ref).reply, self._contracts)
        try:
            return Mask([*paths_in(kept_of(answer, parse(plain(fields))))])
        except MappingError:
            return Mask()

    def any(self) -> Mask:
        """Of a document that may be of any contract, and keep what steps have put into it."""
        return reduce(or_, map(self._fields, self.own), self._kept)

    def inside(self, text: str) -> Mask:
        """Of what an expression takes out of a document that may be of any contract. All of it cannot be hidden."""
        whole = blank(self._contracts, hidden=self.any().tree)
        trees = (found.tree for found in carried(text, Context(whole, {})))
        return Mask([path for tree in trees for path in paths_in(tree) if path])

    # --- of all ---------------------------------------------------------------------------------------------------

    def everywhere(
        self, flows: Iterable[LoadedFlow], sagas: Iterable[LoadedSaga], kinds: Mapping[str, type[StepKind]]
    ) -> Mask:
        """What is hidden in every message, whatever its contract says."""
        steps = [step for flow in flows for step in nested((flow.steps, flow.on_error))]
        found = reduce(or_, [mask for saga in sagas for mask in self._of_saga(saga)], Mask())
        for _ in range(DEEPEST):
            kept = [kinds[step.kind].kept(step.settings, self) for step in steps]
            found = reduce(or_, kept, found)
            if set(found.fields) == set(self._kept.fields):
                break
            self._kept = found
        return found

    def undone(self, sagas: Iterable[LoadedSaga]) -> dict[str, Mask]:
        """What is hidden in compensations besides, by their contracts."""
        found: dict[str, Mask] = {}
        for ref, mask in (pair for saga in sagas for pair in self._undone(saga)):
            if ref:
                found[ref] = found.get(ref, self.own.get(ref, Mask())) | mask
        return found

    def _of_saga(self, saga: LoadedSaga) -> Iterator[Mask]:
        """Of the answers in a saga's document, and of compensations that have no contract."""
        yield from (self.reply(step.call).below(step.answer) for step in saga.steps if step.answer)
        yield from (mask for ref, mask in self._undone(saga) if not ref)

    def _undone(self, saga: LoadedSaga) -> Iterator[tuple[str, Mask]]:
        """Without a mapping a compensation is sent what its step was, with the step's answer laid on top."""
        for step in saga.steps:
            undo = step.compensate
            if undo is not None and undo.mapping is None:
                start = self._started_by(saga)
                sent = self._operation(step.call).contract or start
                yield self._operation(undo.call).contract or start, self._fields(sent) | self.reply(step.call)

    def _started_by(self, saga: LoadedSaga) -> str:
        if saga.is_event:
            return saga.source
        endpoint = self._endpoints.get(saga.source)
        receive = endpoint.receive if endpoint else None
        return (receive.common.contract if receive else None) or ""

    def _fields(self, ref: str | None) -> Mask:
        found = self.own.get(ref or "")
        return Mask(found.fields) if found else Mask()

    def _operation(self, ref: str) -> Operation:
        name, _, word = ref.partition(".")
        endpoint = self._endpoints.get(name)
        operations = endpoint.operations if endpoint else {}
        found = operations.get(word or next(iter(operations), ""))
        return found.common if found else Operation()


def _readable(contracts: Mapping[str, Any]) -> Iterator[tuple[str, Mask]]:
    """What is wrong with a mask has its finding where contracts are read."""
    for ref, schema in contracts.items():
        try:
            yield ref, mask_of(ref, schema, contracts)
        except ValueError:
            continue
