"""The systems beyond the endpoints, as a case states them: what each attempt is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set
from typing import Any

import msgspec

from esb.broker.port import REPLY_TO, Delivery, resume_queue
from esb.cases.compare import partial
from esb.cases.models import Answers, CallAnswer, OneAnswer
from esb.config.definition import Definition
from esb.config.findings import nearest
from esb.config.mappings import plain
from esb.errors import EndpointError, EsbError, Interrupted, MessageError
from esb.message import JSON
from esb.ports import Adapter, Features, Reply, Request
from esb.saga import SagaDefinition

_QUEUE = "esb.endpoint."


class Outside:
    """What lies beyond all endpoints in one case. Made anew for each."""

    def __init__(self, answers: Answers) -> None:
        self._given = answers
        self._asked: Counter[str] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()  # by (endpoint.operation, message id)

    def silent(self, delivery: Delivery) -> bool:
        """Whether nobody ever gets to a delivery: it is stated as ``nothing``, or is a flow's call and not stated."""
        name = delivery.queue.removeprefix(_QUEUE)
        if name == delivery.queue:
            return False
        name = f"{name}.{delivery.properties.get('operation', '')}"
        given = self._next(name, delivery.message.body)
        if given is None:
            return delivery.properties.get(REPLY_TO, "").startswith(resume_queue("").removesuffix(".resume"))
        if given == "nothing":
            self._used(name, given)
            return True
        return False

    def answer(self, endpoint: str, request: Request) -> Reply:
        """What one attempt meets. Raises what is stated to fail."""
        name = f"{endpoint}.{request.operation}"
        self.attempts[(name, request.message_id)] += 1
        given = self._next(name, request.document)
        if given is None:
            return Reply(detail="taken")
        self._used(name, given)
        if given == "nothing":
            raise Interrupted(f"{name} did not answer")
        if given.failed:
            raise _failure(given.failed)(given.text or f"{name} answered {given.failed}")
        return Reply(detail="answered", body=msgspec.json.encode(plain(given.done)), content_type=JSON)

    def _next(self, name: str, document: Any) -> OneAnswer | None:
        """What is meant for just this document; else the next of the others, the last of which holds from then on."""
        given = self._given.get(name, self._given.get(name.partition(".")[0]))
        listed = given if isinstance(given, tuple) else () if given is None else (given,)
        meant = next((one for one in listed if _is_particular(one) and _fits(one, document)), None)
        if meant is not None:
            return meant
        others = [one for one in listed if not _is_particular(one)]
        return others[min(self._asked[name], len(others) - 1)] if others else None

    def _used(self, name: str, given: OneAnswer) -> None:
        if not _is_particular(given):
            self._asked[name] += 1


def _is_particular(one: OneAnswer) -> bool:
    return isinstance(one, CallAnswer) and "asked" in one.model_fields_set


def _fits(one: Any, document: Any) -> bool:
    found = msgspec.json.decode(document) if isinstance(document, bytes) else document
    return not partial(plain(one.asked), found)


class Stub(Adapter):
    """The adapter of every endpoint: what it sends goes to the outside of the case."""

    kind = "stub"
    features = Features(polls=True, serves=True, sends=True, keyed=True, replies=True)

    def __init__(self, name: str, answer: Callable[[str, Request], Reply]) -> None:
        super().__init__(name, None)
        self._answer = answer

    def send(self, request: Request) -> Reply:
        """See :meth:`esb.ports.Adapter.send`."""
        return self._answer(self.name, request)


def failures() -> dict[str, type[EsbError]]:
    """What an endpoint can answer instead of a document, by kind."""
    return {kind.kind: kind for kind in (*_family(MessageError), *_family(EndpointError)) if "kind" in vars(kind)}


def _family(kind: type[EsbError]) -> Iterator[type[EsbError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _family(below)


def _failure(word: str) -> type[EsbError]:
    return failures()[word]


def operations(definition: Definition) -> set[str]:
    """What can be answered: operations, and endpoints with all of theirs."""
    endpoints = definition.endpoints
    return {*endpoints, *(f"{e.name}.{word}" for e in endpoints.values() for word in e.operations)}


def calls(saga: SagaDefinition) -> set[str]:
    """What a saga may call, as :func:`operations`."""
    found = [call for step in saga.steps for call in (step.action, step.undo) if call]
    return {f"{call.endpoint}.{call.operation}" for call in found} | {call.endpoint for call in found}


def problems(answers: Answers, known: Set[str], unknown: str) -> list[str]:
    """What is wrong with the answers of a case: names that are none of those ``known`` (``unknown`` says so), and kinds
    that are no failure."""
    kinds = failures()
    found = [unknown.format(repr(name)) + _hint(name, known) for name in answers if name not in known]
    for one in (one for given in answers.values() for one in (given if isinstance(given, tuple) else (given,))):
        if isinstance(one, CallAnswer) and one.failed and one.failed not in kinds:
            found.append(f"there is no failure of kind {one.failed!r}" + _hint(one.failed, kinds))
    return found


def _hint(name: str, known: Any) -> str:
    near = nearest(name, known)
    return f": did you mean {near!r}?" if near else ""
