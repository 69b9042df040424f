"""What has to happen from time to time: relay the outbox, fire due timers, keep the owner's lease, forget the old."""

from __future__ import annotations

import os
from collections.abc import Sequence
from socket import gethostname
from typing import Any

import msgspec

from esb.broker.port import Outcome, Outgoing, Publisher
from esb.store import ROLE, Dispatch, Timer, Transaction
from esb.worker.context import Context
from esb.worker.thread import Worker, log

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
    """Relays what was committed with state (the transactional outbox) and what waited for its time.

    A crash between publish and delete repeats a publish with the same message id, which the inboxes recognise.
    """

    def __init__(self, context: Context) -> None:
        super().__init__("sweeper")
        self._context = context
        self._publisher: Publisher | None = None
        self._pruned_at = 0.0
        self._fences: dict[str, int] = {}  # of the tasks that are ours now

    def cycle(self) -> None:
        relayed, fired = self._relay(), self._fire()
        self._prune()
        if not (relayed or fired):
            self.stopping.wait(EVERY)

    def recover(self) -> None:
        if self._publisher:
            self._publisher.close()
            self._publisher = None

    def finish(self) -> None:
        """Let the tasks go at once: as long as we hold one, we count as alive."""
        self._quietly(self.recover)
        with self._context.store.transaction() as t:
            for task, fence in self._fences.items():
                t.leases.release(task, self._context.owner, fence)

    def _relay(self) -> bool:
        with self._context.store.transaction() as t:
            rows = t.outbox.take(BATCH, self._context.owner, STUCK)
        sent = self._publish(rows)
        if sent:
            with self._context.store.transaction() as t:
                t.outbox.sent(sent)
        return len(sent) == BATCH

    def _fire(self) -> bool:
        """One process at a time; should it lose its lease meanwhile, a message goes out twice under the same id."""
        now = self._context.clock()
        with self._context.store.transaction() as t:
            rows = t.timers.due(now, BATCH) if self._leads(t, "timers") else []
        sent = set(self._publish(rows))
        if rows:
            stuck = [msgspec.structs.replace(row, due_at=now + STUCK) for row in rows if row.id not in sent]
            with self._context.store.transaction() as t:
                t.timers.remove(sorted(sent))
                t.timers.add(stuck)
        return len(sent) == BATCH

    def _publish(self, rows: Sequence[Dispatch | Timer]) -> list[Any]:
        """Ids of the rows that the broker has now. A row that no queue takes stays and is tried again."""
        if not rows:
            return []
        self._publisher = self._publisher or self._context.broker.publisher(self.name)
        outcomes = self._publisher.publish([_outgoing(row) for row in rows])
        pairs = list(zip(rows, outcomes, strict=True))
        stuck = [row.to for row, outcome in pairs if outcome is not Outcome.CONFIRMED]
        if stuck:
            log.warning("nobody takes what is due", queues=sorted(set(stuck)), messages=len(stuck))
        return [row.id for row, outcome in pairs if outcome is Outcome.CONFIRMED]

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


def _outgoing(row: Dispatch | Timer) -> Outgoing:
    return Outgoing(row.message, row.to, event=getattr(row, "event", False), properties=row.properties)
