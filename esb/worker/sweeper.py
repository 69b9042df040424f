"""What has to happen from time to time: relay the outbox, fire due timers, keep the owner's lease, forget the old."""

from __future__ import annotations

import os
from socket import gethostname

import msgspec

from esb.store import ROLE, Transaction
from esb.worker.context import Context
from esb.worker.relay import Relay
from esb.worker.thread import Worker

STUCK = 30.0  # seconds to let rest what nobody takes, so that it neither spins nor stands before others
EVERY = 1.0  # seconds between looks at outbox and timers
BATCH = 200
PRUNE_EVERY = 600.0  # seconds


class Heartbeat(Worker):
    """Keeps the lease that says: this process lives. A thread of its own, so that nothing slow delays it."""

    def __init__(self, context: Context, role: str = "bus") -> None:
        """Args: what this process works with; its role, which people see beside its machine."""
        super().__init__("heartbeat")
        self._context = context
        self._ttl = context.definition.config.worker.lease
        # By the second name people find the process; what it holds goes by the first.
        self._names = (f"owner:{context.owner}", f"{ROLE}{role}@{gethostname()}:{os.getpid()}")
        self._fences: dict[str, int] = {}

    def cycle(self) -> None:
        self.beat()
        self.stopping.wait(self._ttl / 3)

    def beat(self) -> None:
        """Renew once; called before anything is taken, too."""
        with self._context.store.transaction() as t:
            for name in self._names:
                self._fences[name] = t.leases.acquire(name, self._context.owner, self._ttl) or 0

    def finish(self) -> None:
        with self._context.store.transaction() as t:
            for name, fence in self._fences.items():
                t.leases.release(name, self._context.owner, fence)


class Sweeper(Worker):
    """Relays what was committed with state and not published by whoever wrote it, and what waited for its time."""

    def __init__(self, context: Context) -> None:
        super().__init__("sweeper")
        self._context = context
        self._outbox = Relay(context, self.name)
        self._pruned_at = 0.0
        self._fences: dict[str, int] = {}  # of the tasks that are ours now

    def cycle(self) -> None:
        relayed, fired = self._relay(), self._fire()
        self._prune()
        if not (relayed or fired):
            self.stopping.wait(EVERY)

    def recover(self) -> None:
        self._outbox.close()

    def finish(self) -> None:
        """Let the tasks go at once: as long as we hold one, we count as alive."""
        self._quietly(self.recover)
        with self._context.store.transaction() as t:
            for task, fence in self._fences.items():
                t.leases.release(task, self._context.owner, fence)

    def _relay(self) -> bool:
        with self._context.store.transaction() as t:
            rows = t.outbox.take(BATCH, self._context.owner, STUCK)
        sent, unsubscribed = self._outbox.publish(rows)
        if sent:
            with self._context.store.transaction() as t:
                t.outbox.sent([row.id for row in sent])
                t.tracking.record(unsubscribed)
        return len(sent) == BATCH

    def _fire(self) -> bool:
        """One process at a time; should it lose its lease meanwhile, a message goes out twice under the same id."""
        now = self._context.clock()
        with self._context.store.transaction() as t:
            rows = t.timers.due(now, BATCH) if self._leads(t, "timers") else []
        sent = {row.id for row in self._outbox.publish(rows)[0]}
        if rows:
            stuck = [msgspec.structs.replace(row, due_at=now + STUCK) for row in rows if row.id not in sent]
            with self._context.store.transaction() as t:
                t.timers.remove(sorted(sent))
                t.timers.add(stuck)
        return len(sent) == BATCH

    def _prune(self) -> None:
        now = self._context.clock()
        if now - self._pruned_at < PRUNE_EVERY:
            return
        self._pruned_at = now
        with self._context.store.transaction() as t:
            leads = self._leads(t, "prune")
        if leads:
            self._context.store.prune(now, self._context.definition.config.retention)

    def _leads(self, t: Transaction, task: str) -> bool:
        """Is this the one process that does it now? No longer than a heartbeat: it would keep a dead owner alive."""
        ttl = self._context.definition.config.worker.lease
        fence = t.leases.acquire(task, self._context.owner, ttl)
        self._fences[task] = fence or 0
        return fence is not None
