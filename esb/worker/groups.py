"""Groups as workers and people move them on: by messages, by time, by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from esb.errors import EsbError
from esb.flow import Continuation
from esb.store import Dispatch, GroupRow, MemberRow, Transaction
from esb.worker.context import Context
from esb.worker.group_memory import member_of
from esb.worker.group_round import Round
from esb.worker.home import Home
from esb.worker.relay import Relay
from esb.worker.run import Run
from esb.worker.thread import commit
from esb.worker.upkeep import Upkeep

BATCH = 50  # groups whose time has come, each looked at in a transaction of its own


class NoGroup(EsbError):  # noqa: N818 - says what is so
    """The group is not there, or has ended."""

    kind = "no group"


class Groups:
    """What a flow worker does for the stateful steps of its flows. Belongs to its thread."""

    def __init__(self, context: Context, name: str, stopping: threading.Event) -> None:
        self._context = context
        self._stopping = stopping
        self._journal = context.journal()
        self._relay = Relay(context, name)
        self._written: list[Dispatch] = []  # with the transaction under way
        self._committed: list[Dispatch] = []

    def write(self, t: Transaction, runs: Sequence[Run]) -> None:
        """Part of the commit that tracks these runs: what they hold, and what follows. Then :meth:`committed`."""
        self._written = []
        holds = [hold for run in runs if run.result.holds and not run.error for hold in run.result.holds]
        tickets = [(run.flow.name, ticket) for run in runs for ticket in run.result.through]
        if holds or tickets:
            round = Round(self._context, self._journal, t)
            round.take(holds, tickets)
            self._written = round.write()
            self._context.point("group: before commit")

    def pass_by(self, t: Transaction, at: Continuation) -> None:
        """A message is set aside without having run: those that wait for it to be through go on."""
        round = Round(self._context, self._journal, t)
        round.take((), [(at.flow, ticket) for ticket in at.behind])
        round.write(hold=False)

    def committed(self) -> None:
        """The transaction of the last :meth:`write` stands."""
        self._committed += self._written
        self._written = []

    def publish(self) -> None:
        """Let out at once what was committed, though the sweeper would do it a little later."""
        if not self._committed:
            return
        rows, self._committed = self._committed, []
        self._context.point("group: after commit")
        sent, unsubscribed = self._relay.publish(rows)
        self._context.point("group: published")

        def forget(t: Transaction) -> None:
            t.outbox.sent([row.id for row in sent])
            t.tracking.record(unsubscribed)

        commit(self._context.store, forget, self._stopping)

    def let_go(self) -> None:
        """What is not published is the sweeper's; the next publish makes another connection."""
        self._written, self._committed = [], []
        self._relay.close()


class Stay(msgspec.Struct, frozen=True):
    """One message that a group holds, as people see it: no documents. ``position`` is its place or number."""

    message: str
    position: int
    since: float
    name: str = ""  # who answered
    failed: str = ""


def stays(t: Transaction, group: str, limit: int) -> list[Stay]:
    """The messages that a group holds, by position."""
    return [_stay(row) for row in t.groups.members(group, limit)]


def _stay(row: MemberRow) -> Stay:
    member = member_of(row)
    failed = member.failure.kind if member.failure else ""
    return Stay(member.message.id, row.position, row.at, member.name, failed)


def strike_due(upkeep: Upkeep) -> int:
    """Move on the groups whose time has come; how many they were."""
    struck, found = 0, True
    while found:
        with upkeep.store.reading() as t:
            ids = t.groups.due(upkeep.clock(), BATCH)
        for id in ids:
            with upkeep.store.transaction() as t:
                round = Round(upkeep, upkeep.journal(), t)
                round.strike(id)
                round.write(hold=False)
                upkeep.point("jobs: group struck")
            upkeep.committed()
        struck, found = struck + len(ids), len(ids) == BATCH
    return struck


def release(home: Home, id: str, who: str, reason: str) -> GroupRow:
    """A person lets go what a group holds; it goes on within seconds, by a running bus. Audited.

    Returns the group as it was. Raises ``NoGroup`` when it has ended, or never was.
    """
    with home.store.transaction() as t:
        row = t.groups.lock_one(id)
        round = Round(home, home.journal(), t)
        if row is None or not round.release(id):
            raise NoGroup(f"there is no open group {id}: `esb groups list` shows what there is")
        round.write(hold=False)
        detail = f"{row.flow}, step {row.step}, {row.key}: {row.waits}"
        t.audit.append(who, "release group", id, reason, detail)
    return row
