"""What has to happen from time to time: relay the outbox, keep the owner's lease."""

from __future__ import annotations

import os
import threading
from socket import gethostname

from esb.errors import BrokerDown
from esb.store import ROLE
from esb.worker.home import Home
from esb.worker.relay import Relay
from esb.worker.thread import Worker

STUCK = 30.0  # seconds to let rest what nobody takes, so that it neither spins nor stands before others
EVERY = 1.0  # seconds between looks at the outbox
BATCH = 200
# How long a lease may still run by the look of it; what runs for longer was taken before the clock was set back. A
# living owner must renew within that time, which it does three times a lease. Processes may have other leases than this
# one (while a changed setting is rolled out): up to six minutes, or twelve times this one's, they are in time.
LONGEST = 120.0  # seconds, and at least
LEASES = 4.0  # times this process's own


class Heartbeat(Worker):
    """Keeps the lease that says: this process lives. A thread of its own, so that nothing slow delays it.

    It also ends the leases of those of this machine who died, lets others publish what was in their hands, and sees to
    it that those of all others who died run out when the clock is set back.
    """

    def __init__(self, home: Home, role: str = "bus") -> None:
        """Args: what this process works with; its role, which people see beside its machine."""
        super().__init__("heartbeat")
        self._home = home
        self._ttl = home.definition.config.worker.lease
        # By the second name people find the process; what it holds goes by the first.
        self._names = (f"owner:{home.owner}", f"{ROLE}{role}@{gethostname()}:{os.getpid()}")
        self._fences: dict[str, int] = {}

    def cycle(self) -> None:
        self.beat()
        self.stopping.wait(self._ttl / 3)

    def beat(self) -> None:
        """Renew once; called before anything is taken, too."""
        with self._home.store.transaction() as t:
            for name in self._names:
                self._fences[name] = t.leases.acquire(name, self._home.owner, self._ttl) or 0
            # Behind our own: holding rows of others we must not wait for anybody.
            for gone in t.leases.bury():
                t.outbox.inherit(gone)
            t.leases.shorten(max(LONGEST, LEASES * self._ttl))

    def finish(self) -> None:
        with self._home.store.transaction() as t:
            for name, fence in self._fences.items():
                t.leases.release(name, self._home.owner, fence)


class Sweeper(Worker):
    """Relays what was committed with state and not published by whoever wrote it."""

    def __init__(self, home: Home, every: float = EVERY) -> None:
        """Args: the process it is in, and seconds between two looks."""
        super().__init__("sweeper")
        self._home = home
        self._every = every
        self._outbox = Relay(home, self.name)
        self._kicked = threading.Event()

    def kick(self) -> None:
        """Look now: something was committed. From any thread."""
        self._kicked.set()

    def interrupt(self) -> None:
        self.kick()

    def cycle(self) -> None:
        self._kicked.clear()
        if not self._relay() and not self.stopping.is_set():
            self._kicked.wait(self._every)

    def recover(self) -> None:
        self._outbox.close()

    def finish(self) -> None:
        self.recover()

    def _relay(self) -> bool:
        with self._home.store.reading() as t:
            if not t.outbox.due():
                return False
        with self._home.store.transaction() as t:
            rows = t.outbox.take(BATCH, self._home.owner, STUCK)
        try:
            sent, unsubscribed = self._outbox.publish(rows)
        except BrokerDown:
            with self._home.store.transaction() as t:
                t.outbox.give_back([row.id for row in rows], self._home.owner)
            raise
        if sent:
            with self._home.store.transaction() as t:
                t.outbox.sent([row.id for row in sent])
                t.tracking.record(unsubscribed)
        return len(sent) == BATCH
