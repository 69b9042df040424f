"""What the broker says of publishes: confirms and returns, found again by sequence number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from esb.broker.port import Outcome, Outgoing
from esb.broker.rabbitmq import topology
from esb.message import Message


class Pending:
    """One batch that was published: its outcomes, as far as they are known."""

    def __init__(self, before: int, wait: Callable[[Pending], None]) -> None:
        """Args: the sequence number before the batch's first; ``wait`` returns when all is known, or raises."""
        self.unknown = 0
        self.lost = False  # with its connection: nobody will ever tell
        self._wait = wait
        self._outcomes: list[Any] = []
        self._sent: list[Outgoing] = []
        self._first = before + 1
        self._low = 0  # everything below has an outcome
        self._returnable: dict[tuple[str, str, str], deque[int]] = {}
        self._placed = 0  # how many of the sent are in there: returns are rare
        self._returned: set[int] = set()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def answered(self) -> bool:
        """Whether every outcome is known."""
        return self.unknown == 0

    def outcomes(self) -> list[Outcome]:
        """One outcome per message, in order; waits until all are known. Raises ``BrokerDown`` when they cannot be."""
        self._wait(self)
        return self._outcomes

    def extend(self, sent: Sequence[Outgoing]) -> None:
        """These go out next."""
        self._sent.extend(sent)
        self._outcomes.extend([None] * len(sent))
        self.unknown += len(sent)

    def larger_than(self, limit: int) -> Message | None:
        """The first message of this batch whose body has more bytes."""
        return next((each.message for each in self._sent if len(each.message.body) > limit), None)

    def silent(self) -> list[str]:
        """The queues and events of which the broker has not said what became of what was sent there."""
        pairs = zip(self._sent, self._outcomes, strict=True)
        return sorted({_named(each) for each, outcome in pairs if outcome is None})

    def confirm(self, tag: int, multiple: bool, outcome: Outcome) -> None:
        """The broker answered for one publish, or for all up to ``tag``. Numbers of other batches are ignored."""
        index = tag - self._first
        if multiple:
            index = min(index, len(self._outcomes) - 1)
        elif index >= len(self._outcomes):
            return
        if index < 0:
            return
        for at in range(self._low, index + 1) if multiple else (index,):
            if self._outcomes[at] is None:
                self._outcomes[at] = Outcome.RETURNED if at in self._returned else outcome
                self.unknown -= 1
        if multiple:
            self._low = max(self._low, index + 1)

    def returned(self, id: str, exchange: str, key: str) -> bool:
        """A publish found no queue; its confirm follows. Returns come in the order of the publishes.

        Whether it was one of this batch that still waits.
        """
        for at in range(self._placed, len(self._sent)):
            each = self._sent[at]
            self._returnable.setdefault((each.message.id, *destination(each)), deque()).append(at)
        self._placed = len(self._sent)
        places = self._returnable.get((id, exchange, key))
        if not places:
            return False
        self._returned.add(places.popleft())
        return True


def destination(each: Outgoing) -> tuple[str, str]:
    """Exchange and routing key."""
    if each.event:
        return topology.EVENTS, each.to
    return (topology.delay_name(each.delay) if each.delay else ""), each.to


def _named(each: Outgoing) -> str:
    exchange, key = destination(each)
    return f"event {key}" if each.event else exchange or key
