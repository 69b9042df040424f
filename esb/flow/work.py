"""The state of one run: the document in force, and what has come of the message so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from esb.config.components import Step
from esb.contract import Contract
from esb.errors import MessageError
from esb.expression import Bindings, Data
from esb.flow.result import Call, ChildFailure, Control, Event, Failure, Send, StepTrace, Ticket
from esb.flow.switches import NOTHING_SET, Switches
from esb.message import Message, child_of

if TYPE_CHECKING:
    from esb.flow.groups import Hold
    from esb.flow.legs import Continuation

Action = Callable[["Work"], bool]  # a compiled step; False: the message ends here

_encode = msgspec.json.Encoder().encode
Mark = tuple[int, int, int, int, int, int]
NOTHING_OUT: Mark = (0, 0, 0, 0, 0, 0)


class Round(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time through the body of a step that repeats. ``way``: which body, ``left``: those that come after it."""

    step: str
    number: int
    way: str = ""
    left: tuple[str, ...] = ()


class Document:
    """A document with the type it goes by; never changed, only replaced. Derived forms are made once, when needed."""

    __slots__ = ("_body", "_data", "_met", "type", "value", "version")

    def __init__(self, value: Any, type: str, version: int, body: bytes | None = None) -> None:
        """``version`` 0: no contract is known to hold. ``body``: its JSON, where that exists already."""
        self.value = value
        self.type = type
        self.version = version
        self._body = body
        self._data: Data | None = None
        self._met: tuple[str, ...] = ()

    @property
    def data(self) -> Data:
        """For expressions."""
        data = self._data
        if data is None:
            data = self._data = Data(self.value)
        return data

    @property
    def body(self) -> bytes:
        """As JSON. Raises ``MessageError`` for text that is no Unicode."""
        body = self._body
        if body is None:
            try:
                body = self._body = _encode(self.value)
            except (UnicodeEncodeError, TypeError) as error:
                raise MessageError(f"the document cannot be written as JSON: {error}") from error
        return body

    def meet(self, contract: Contract) -> None:
        """Check it, unless this very document has been checked already. Raises ``ContractError``."""
        if contract.ref not in self._met:
            contract.check(self.value)
            self._met = (*self._met, contract.ref)

    def child(self, parent: Message, id: str, contract: Contract | None) -> Message:
        """A message with this document, checked against the contract under which it goes out."""
        if contract is None:
            return child_of(parent, id, self.type, self.version, parent.subject, self.body)
        self.meet(contract)
        subject = contract.subject(self.data) or parent.subject
        return child_of(parent, id, contract.type, contract.version, subject, self.body)


class Work:
    """One message (or one part of it) on its way through the steps. Belongs to the thread that runs it."""

    __slots__ = (
        "at", "base", "bindings", "calls", "controls", "document", "error", "events", "failures", "holds", "message",
        "order", "part", "place", "rounds", "sends", "steps", "suspended", "switches", "through",
    )  # fmt: skip

    def __init__(
        self,
        message: Message,
        at: Step,
        steps: list[StepTrace],
        place: str,
        switches: Switches = NOTHING_SET,
        part: str = "",
    ) -> None:
        self.message = message
        self.place = place  # enters the ids of descendants: the flow, and the rounds under way
        self.rounds: tuple[Round, ...] = ()  # outer ones first
        self.switches = switches
        self.document: Document = NOTHING
        self.at = at  # the step under way, for errors
        self.steps = steps
        self.part = part
        self.bindings = Bindings(message)
        self.sends: list[Send] = []
        self.events: list[Event] = []
        self.failures: list[ChildFailure] = []
        self.calls: list[Call] = []
        self.holds: list[Hold] = []
        self.through: list[Ticket] = []
        self.controls: list[Control] = []
        self.order = ""  # the key by which the message keeps its order with others
        self.suspended = False  # the message itself waits, for an answer or for others
        self.error: Failure | None = None
        self.base: Continuation | None = None  # the leg before this one

    def mark(self) -> Mark:
        """Where things stand, for :meth:`rewind`."""
        return (
            len(self.sends),
            len(self.events),
            len(self.failures),
            len(self.calls),
            len(self.holds),
            len(self.controls),
        )

    def rewind(self, mark: Mark) -> None:
        """Nothing goes out of what came since."""
        sent: tuple[list[Any], ...] = (self.sends, self.events, self.failures, self.calls)
        found = (*sent, self.holds, self.controls)
        for results, length in zip(found, mark, strict=True):
            del results[length:]

    def turn(self, rounds: tuple[Round, ...]) -> None:
        """From here on these rounds are under way; what a step sends in one has another id than in the next."""
        self.rounds = rounds
        flow = self.place.partition("/")[0]
        self.place = "/".join((flow, *(f"{one.step}#{one.number}" for one in rounds)))

    def bind_error(self, failure: Failure | None) -> None:
        """From here on expressions can ask what failed."""
        self.error = failure
        if failure is not None:
            self.bindings = self.bindings.and_also(error=msgspec.to_builtins(failure))

    def become(self, message: Message) -> None:
        """From here on it is about this message, which has further headers."""
        self.message = message
        self.bindings = Bindings(message)
        self.bind_error(self.error)

    def identify(self, contract: Contract) -> None:
        """A message of a foreign publisher may come without the business key that its contract can tell."""
        if self.message.subject is None:
            subject = contract.subject(self.document.data)
            if subject is not None:
                self.message = msgspec.structs.replace(self.message, subject=subject)
                self.bindings = Bindings(self.message)

    def trace(self, outcome: str, children: tuple[str, ...] = ()) -> None:
        """Note what the step under way did."""
        at = self.at
        self.steps.append(StepTrace(at.name, at.kind, outcome, children, self.part))


NOTHING = Document(None, "", 0)
