"""One input of a flow on its way through a batch: what the engine said, and what the broker said of the results."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from esb.broker.port import REPLY, Delivery, Outcome, Outgoing, endpoint_queue, event_key
from esb.errors import RoutingError
from esb.flow import Call, Continuation, Flow, Result, Send
from esb.message import Message
from esb.store import RETRY
from esb.worker import suspects
from esb.worker.legs import Legs


class Run(msgspec.Struct):
    """One input. ``at`` is set where the flow goes on behind a call: then it is about the message that waited."""

    delivery: Delivery
    flow: Flow
    result: Result
    started: float
    at: Continuation | None = None
    outcomes: Sequence[Outcome] = ()
    smooth: bool = False  # one leg, nothing failed and everything is confirmed, as nearly always

    def told(self, outcomes: Sequence[Outcome]) -> None:
        """What the broker said of the results, in their order."""
        self.outcomes = outcomes
        result = self.result
        plain = result.error is None and self.at is None and not (result.children or result.calls)
        self.smooth = plain and outcomes.count(Outcome.CONFIRMED) == len(outcomes)

    @property
    def message(self) -> Message:
        """As it came, with the business key where its contract had to tell it."""
        if self.at is not None:
            return self.at.message
        message, subject = self.delivery.message, self.result.subject
        return message if subject is None else msgspec.structs.replace(message, subject=subject)

    @property
    def place(self) -> str:
        return f"flow:{self.flow.name}"

    def outgoing(self, legs: Legs) -> list[Outgoing]:
        """What is to be published: commands first (sends, then calls), then events."""
        sends = [
            Outgoing(s.message, endpoint_queue(s.endpoint), properties={"operation": s.operation})
            for s in self.result.sends
        ]
        if self.result.calls:
            sends += [legs.request(call) for call in self.result.calls]
        return sends + [
            Outgoing(e.message, event_key(e.message.type, e.message.version), event=True) for e in self.result.events
        ]

    @property
    def size(self) -> int:
        """How many are to be published."""
        return self._commands + len(self.result.events)

    @property
    def _commands(self) -> int:
        return len(self.result.sends) + len(self.result.calls)

    @property
    def key(self) -> suspects.Key:
        """What its marks and its parked row go by."""
        return suspects.key_at(self.delivery, self.place)

    @property
    def answer_was_parked(self) -> bool:
        """Not the message that waited, but an answer to it was set aside, and is sent on by a person."""
        properties = self.delivery.properties
        return RETRY in properties and REPLY in properties and self.delivery.message.id != self.message.id

    @property
    def sent(self) -> int:
        """Commands of this message that are in their queue now or were before, whatever became of the others."""
        sends = sum(outcome is Outcome.CONFIRMED for outcome in self.outcomes[: len(self.result.sends)])
        before, again = (self.at.sent, self.at.go == "again") if self.at else (0, False)
        mine = [call for call in self._confirmed_calls() if call.owner.id == self.message.id]
        return before + sends + (0 if again else len(mine))

    @property
    def published(self) -> int:
        """Events that were told, to whoever wanted them."""
        before = self.at.published if self.at else 0
        return before + sum(outcome is not Outcome.REFUSED for outcome in self.outcomes[self._commands :])

    @property
    def refused(self) -> bool:
        """Some result met a full queue, or was not taken: the input has to wait and run again."""
        return Outcome.REFUSED in self.outcomes

    @property
    def lost(self) -> list[str]:
        """Endpoints of commands that no queue wanted."""
        commands: list[Send | Call] = [*self.result.sends, *self.result.calls]
        pairs = zip(commands, self.outcomes, strict=False)
        return [command.endpoint for command, outcome in pairs if outcome is Outcome.RETURNED]

    @property
    def error(self) -> Exception | None:
        """Why it is set aside, if it is."""
        if self.result.error is not None:
            return self.result.error
        if self.lost:
            return RoutingError(f"no queue for endpoint {', '.join(self.lost)}: is it still in the configuration?")
        return None

    def parts_waiting(self) -> list[Call]:
        """Calls of parts, which are messages of their own."""
        return [call for call in self._confirmed_calls() if call.owner.id != self.message.id]

    def unsubscribed(self) -> list[Message]:
        """Events that nobody wanted."""
        outcomes = self.outcomes[self._commands :]
        return [e.message for e, o in zip(self.result.events, outcomes, strict=False) if o is Outcome.RETURNED]

    def _confirmed_calls(self) -> list[Call]:
        outcomes = self.outcomes[len(self.result.sends) : self._commands]
        return [c for c, o in zip(self.result.calls, outcomes, strict=False) if o is Outcome.CONFIRMED]
