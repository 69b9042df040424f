"""A compiled flow: one message in, a :class:`Result` out. Pure, shared by threads, and it never raises for a message.

No I/O and no clock: ``$now`` is the message's time, ids of descendants are derived. So a repeat, on any machine, gives
the same result.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec

from esb.config.components import Step
from esb.contract import Contract
from esb.errors import ContractError, DecodeError, InternalError, MessageError, without_frames
from esb.flow.legs import Continuation, Leg, Pending, go_on, resumable
from esb.flow.result import Failure, Result, Ticket
from esb.flow.switches import NOTHING_SET, Switches
from esb.flow.work import Action, Document, Work
from esb.formats.numbers import decode_json
from esb.message import JSON, LONGEST_KEY, Message
from esb.quoting import quote

_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Flow:
    """Runs messages through the steps of one flow. Made by :func:`esb.flow.compile_flow`."""

    def __init__(
        self,
        entry: Step,
        name: str,
        source: str,
        action: Action,
        parts: Mapping[str, Action],
        pending: Mapping[str, Pending],
        contract: Contract | None,
        contracts: Mapping[str, Contract],
        order: Callable[[Work], Any] | None = None,
    ) -> None:
        """Args: the place errors before the first step are told at, the flow's name and source, its steps, the bodies
        of its splits and its calls by step name, the contract of what comes in (None: the one that the message
        names), all contracts, and the key by which messages keep their order."""
        self.name = name
        self.source = source
        self._entry = entry
        self._place = f"flow:{name}"
        self._action = action
        self._parts = parts
        self._pending = pending
        self._contract = contract
        self._contracts = contracts
        self._order = order

    def run(self, message: Message, part: str = "", switches: Switches = NOTHING_SET, order: str = "") -> Result:
        """All that follows from a message.

        Args:
            message: with a JSON body.
            part: the name of a split step when the message is a part of it (a retried ``ChildFailure``): it goes
                through the body of that step only.
            switches: what people have set.
            order: the key by which it keeps its order with others; it goes along with its calls.
        """
        work = Work(message, self._entry, [], self._place, switches)
        work.order = order
        try:
            goes_on = self._enter(work, part)(work)
        except BaseException as error:  # the engines' panics are BaseExceptions, and must not end the worker either
            if isinstance(error, _ENDS):
                raise
            return self._failed(work, error, message)
        return _result(work, goes_on, message)

    def key(self, message: Message) -> str:
        """The key by which a message keeps its order with others.

        Raises ``MessageError`` when it has none, or one that would be kept cut, and so be the key of others too.
        """
        assert self._order is not None
        work = Work(message, self._entry, [], self._place, NOTHING_SET)
        try:
            work.document = Document(read(message), message.type, message.version, message.body)
            value = self._order(work)
        except Exception as error:
            raise located(error, self.name, self._entry) from error
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or value == "":
            given = "nothing" if value is None else quote(value)
            raise MessageError(f"flow {self.name}: messages are ordered by text or a number, and this one has {given}")
        text, most = str(value), LONGEST_KEY - len(f"{self.name}/")  # the flow's name stands before it
        if len(text) > most:
            raise MessageError(
                f"flow {self.name}: the key that messages are ordered by has {len(text)} characters here, "
                f"and {most} are the most: order them by a shorter field, or mend the document"
            )
        return text

    @property
    def waits(self) -> bool:
        """Whether it has calls, whose answers come back to it."""
        return bool(self._pending)

    def knows(self, step: str) -> bool:
        """Whether a call of that name can be gone on from."""
        return step in self._pending

    def resume(
        self,
        at: Continuation,
        answer: Any = None,
        failure: Failure | None = None,
        switches: Switches = NOTHING_SET,
    ) -> Result:
        """All that follows from an answer, or (where ``at.go`` says so) from trying again. Never raises for a message.

        Args:
            at: what the call left behind.
            answer: the document that came back.
            failure: the call failed instead.
            switches: what people have set.
        """
        work = self._leg(at, switches)
        leg = Leg(at, failure if failure is not None else at.error if at.go == "failed" else None)
        try:
            pending = resumable(self._pending, at.step, self.name)
            work.at = pending.step
            work.document = Document(decode_json(bytes(at.document)), at.type, at.version, bytes(at.document))
            goes_on = go_on(leg.first(pending, answer), work, pending.rest)
        except BaseException as error:
            if isinstance(error, _ENDS):
                raise
            return msgspec.structs.replace(self._failed(work, error, at.message), again=leg.again(work))
        return _result(work, goes_on, at.message)

    def _leg(self, at: Continuation, switches: Switches) -> Work:
        work = Work(at.message, self._entry, list(at.steps), self._place, switches)
        work.base = at
        work.turn(at.rounds)
        if at.go != "failed":
            work.bind_error(at.error)
        return work

    def _enter(self, work: Work, part: str) -> Action:
        """Read and check what came in; the steps it has to go through."""
        message = work.message
        work.document = Document(read(message), message.type, message.version, message.body)
        if part:
            return self._body(part)
        contract = self._contract or self._contracts.get(message.contract)
        if contract is not None:
            _check(work, contract)
        return self._action

    def _body(self, part: str) -> Action:
        try:
            return self._parts[part]
        except KeyError:
            raise MessageError(
                f"the message is a part of the split {part!r}, which is no longer in the flow: put a step of that name "
                "back, or discard the message"
            ) from None

    def _failed(self, work: Work, cause: BaseException, message: Message) -> Result:
        error = located(cause, self.name, work.at)
        work.trace(f"failed: {error.kind}")
        through = tuple(work.base.behind) if work.base else ()
        return Result(
            status="failed", steps=work.steps, error=error, step=work.at.name, subject=_told(work, message),
            through=through,
        )  # fmt: skip


def _check(work: Work, contract: Contract) -> None:
    """Also what breaks its contract gets its business key, if it can be read: a person looks for it by that."""
    try:
        work.document.meet(contract)
    except ContractError:
        with suppress(MessageError):
            work.identify(contract)
        raise
    work.identify(contract)


def _told(work: Work, message: Message) -> str | None:
    return work.message.subject if work.message is not message else None


def _result(work: Work, goes_on: bool, message: Message) -> Result:
    return Result(
        status="waiting" if work.suspended else "completed" if goes_on else "filtered",
        sends=tuple(work.sends),
        calls=tuple(work.calls),
        events=tuple(work.events),
        holds=tuple(work.holds),
        through=_through(work),
        controls=tuple(work.controls),
        steps=work.steps,
        children=tuple(work.failures),
        subject=_told(work, message),
    )


def _through(work: Work) -> tuple[Ticket, ...]:
    if work.base is None or work.suspended:
        return tuple(work.through)
    return (*work.through, *work.base.behind)


def read(message: Message) -> object:
    """The document of a message. Raises ``DecodeError``."""
    kind = message.content_type
    if kind != JSON and not _is_json(kind):
        raise DecodeError(f"a flow works on JSON documents, and this message is {kind or 'of no content type'}")
    return decode_json(message.body)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON or kind.endswith("+json")


def located(cause: BaseException, flow: str, step: Step) -> MessageError:
    """The error with its place in front; anything unexpected as an ``InternalError``."""
    error = cause if isinstance(cause, MessageError) else _internal(cause)
    place = f"flow {flow}, step {step.name}" + (f" ({step.file}:{step.line})" if step.file else "")
    if not str(error).startswith(place):
        error.args = (f"{place}: {error}", *error.args[1:])
    return without_frames(error)


def _internal(cause: BaseException) -> InternalError:
    frames = traceback.extract_tb(cause.__traceback__)
    last = frames[-1] if frames else None
    place = f" at {'/'.join(last.filename.split('/')[-2:])}:{last.lineno}" if last else ""
    return InternalError(f"unexpected {type(cause).__name__}{place}: {cause}; please report it with the message")
