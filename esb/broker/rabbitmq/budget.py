"""How much a consumer keeps of what RabbitMQ sends it, in bytes: its quorum queues count messages only.

Who has enough listens no more: the rest waits in the network, and at last at the server (TCP's flow control). RabbitMQ
closes a connection that takes nothing for 30 s, though, and what is in hand would be somebody else's then. So who is
still busy after a while listens again, but keeps of what comes nothing but the tag; and since what is behind a message
that was left out must not be handed out before it, no more of this connection. Once nothing of it is in hand, its end
puts all that was left out back, and another begins.

The other one asks for as many messages as before. Fewer would fit, but a quorum queue has one line for all that was put
back: who puts back a part of it puts it behind the others. Order holds as long as the next consumer gets all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from esb.broker import port

PATIENCE = 10.0  # seconds with enough in hand


class Budget:
    """Of one consumer.

    Args:
        octets: bytes of bodies that are enough. The message that goes beyond is kept, so a larger one passes too.
        clock: seconds, of any beginning.
    """

    def __init__(self, octets: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = 0  # bytes of the bodies that are kept and not settled
        self.spent = False  # nothing more is kept of this connection
        self.left_out: list[int] = []  # tags
        self._octets = port.MOST_OCTETS if octets is None else octets
        self._clock = clock
        self._full_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether it is enough."""
        return self.held >= self._octets

    def listens(self) -> bool:
        """Whether to take in what comes, to be kept or not."""
        if self.spent or not self.full:
            self._full_since = None
            return True
        if self._full_since is None:
            self._full_since = self._clock()
        self.spent = self._clock() - self._full_since >= PATIENCE
        return self.spent

    def admits(self) -> bool:
        """Whether the delivery that begins now is kept. From the first that is not, none is.

        While it is waited for the server's answer to something else, what is in front of that comes in as well.
        """
        self.spent = self.spent or self.held >= 2 * self._octets
        return not self.spent

    def renew(self, held: int = 0) -> None:
        """All was put back but ``held`` bytes, which are handed out."""
        self.held = held
        self.spent = False
        self.left_out.clear()
