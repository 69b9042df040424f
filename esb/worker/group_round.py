"""What a batch of messages makes of its groups, written down in one transaction: members, states, outbox, journey.

The groups are locked by their keys, in order; each message counts once. So of two processes that have the last two
members of a group one ends it, and a message that is delivered again changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from esb.broker.port import CONTEXT, ERROR, ERROR_KIND, ERROR_STEP, REPLY, resume_queue
from esb.errors import MessageError
from esb.flow import StepTrace
from esb.flow.expiry import expired
from esb.flow.groups import Hold, Left, Member, Move, Next, goes_back
from esb.flow.holding import stay
from esb.flow.legs import Continuation
from esb.flow.result import Ticket
from esb.message import JSON, Message, child_of, derive_id
from esb.store import Dispatch, Hop, Parked, Status, Timer, Transaction
from esb.store.text import cut
from esb.worker.group_memory import Group, begun
from esb.worker.home import Home
from esb.worker.legs import carried, parked
from esb.worker.rows import Journal, fit, kind_of, packed, text_of

HOLD = 2.0  # seconds that the committer has for publishing before the sweeper does it
LONGEST_ERROR = 2000  # characters: it travels in a header
ANSWER = "esb.answer"  # type of a message that carries what a step answers
_NOTHING = msgspec.Raw(b"null")

Place = tuple[str, str]  # flow, step


class Round:
    """All that one transaction does to groups."""

    def __init__(self, home: Home, journal: Journal, t: Transaction) -> None:
        self._home = home
        self._journal = journal
        self._t = t
        self._now = home.clock()
        self._groups: dict[tuple[str, str, str], Group] = {}  # those open now, by flow, step and key
        self._over: list[Group] = []
        self._ended: dict[tuple[str, str, str], str] = {}  # keys that had a group before -> its id
        self._known: dict[Place, set[str]] = defaultdict(set)
        self._dropped: Counter[str] = Counter()  # by id of the ended group
        self._hops: list[Hop] = []
        self._parked: list[Parked] = []
        self._dispatches: list[Dispatch] = []
        self._timers: list[Timer] = []
        self._deposits: list[tuple[str, float, bytes]] = []

    # --- what happens -------------------------------------------------------------------------------------------

    def take(self, holds: Sequence[Hold], tickets: Iterable[tuple[str, Ticket]] = ()) -> None:
        """Messages that came to stateful steps, in their order, and (flow, ticket) of those that are through."""
        tickets = list(tickets)
        self._lock(holds, tickets)
        for hold in holds:
            self._arrive(hold)
        for flow, ticket in tickets:
            group = self._groups.get((flow, ticket.step, fit(ticket.key)))
            if group is not None and group.machine is not None:
                self._apply(group, group.machine.through(ticket.number, group, self._now))

    def strike(self, id: str) -> None:
        """The time of a group may have come; it is looked at again now that it is locked."""
        group = self._one(id)
        if group is not None and group.row.due_at is not None and group.row.due_at <= self._now:
            assert group.machine is not None
            self._apply(group, group.machine.strike(group, self._now))

    def release(self, id: str) -> bool:
        """A person wants what is there to go on now; False when there is no such open group."""
        group = self._one(id)
        if group is None or group.machine is None:
            return False
        self._apply(group, group.machine.release(group, self._now))
        return True

    # --- locking ------------------------------------------------------------------------------------------------

    def _lock(self, holds: Sequence[Hold], tickets: Sequence[tuple[str, Ticket]]) -> None:
        firsts: dict[Place, dict[str, Hold]] = defaultdict(dict)
        keys: dict[Place, set[str]] = defaultdict(set)
        ids: dict[Place, set[str]] = defaultdict(set)
        for hold in holds:
            place = hold.member.at.flow, hold.step
            if hold.machine.remembers:
                firsts[place].setdefault(fit(hold.key), hold)
                keys[place].add(fit(hold.key))
            if hold.machine.gathers:
                ids[place].add(fit(hold.member.id))
        for flow, ticket in tickets:
            keys[flow, ticket.step].add(fit(ticket.key))
        for place in sorted(keys):
            self._lock_at(place, keys[place], firsts[place])
        for place in sorted(ids):
            self._known[place] = self._t.groups.known(*place, ids[place])

    def _lock_at(self, place: Place, keys: set[str], firsts: dict[str, Hold]) -> None:
        """Lock the open groups; of those to begin, whoever comes first writes the row that the others wait for."""
        groups = self._t.groups
        rows = groups.lock(*place, keys)
        missing = firsts.keys() - rows.keys()
        if missing:
            groups.open([begun(firsts[key], key, self._now) for key in missing])
            rows |= groups.lock(*place, missing)
            ended = groups.ended(*place, missing)
            self._ended |= {(*place, key): id for key, id in ended.items()}
        for key, row in rows.items():
            self._groups[*place, key] = Group(self._t, row, self._now)

    def _one(self, id: str) -> Group | None:
        row = self._t.groups.lock_one(id)
        if row is None:
            return None
        group = self._groups[row.flow, row.step, row.key] = Group(self._t, row, self._now)
        return group

    # --- one message --------------------------------------------------------------------------------------------

    def _arrive(self, hold: Hold) -> None:
        member, place = hold.member, (hold.member.at.flow, hold.step)
        if hold.part:
            self._hops.append(self._hop(member.at, Status.WAITING, keep_body=True, detail=hold.step))
        if hold.machine.gathers:
            if fit(member.id) in self._known[place]:
                return
            self._known[place].add(fit(member.id))
        too_late = expired(member.message, self._now)
        if too_late is not None and not member.name:
            self._expire(member, too_late)
        else:
            self._decide(hold, self._group(hold))

    def _expire(self, member: Member, error: MessageError) -> None:
        if getattr(error, "dropped", False):
            self._leave(Left(member=member, fate="dropped", words=f"dropped: {error}"))
        else:
            self._park(goes_back(member), error)

    def _group(self, hold: Hold) -> Group:
        """The group that a message belongs to; one of its own where the step remembers nothing."""
        key = fit(hold.key)
        group = self._groups.get((hold.member.at.flow, hold.step, key)) if hold.machine.remembers else None
        if group is None:
            group = Group(self._t, begun(hold, key, self._now), self._now, fresh=True)
            if hold.machine.remembers:
                self._groups[group.row.flow, group.row.step, key] = group
        return group

    def _decide(self, hold: Hold, group: Group) -> None:
        machine = group.machine.meet(hold.machine) if group.machine else hold.machine
        member = hold.member
        late = group.machine is None and (group.row.flow, group.row.step, group.row.key) in self._ended
        try:
            move = machine.arrive(member, group, self._now, late)
        except MessageError as error:
            move = Move(nexts=(Next(at=goes_back(member), error=error),))
        stays_away = any(each.error is not None and each.at.go == "again" for each in move.nexts)
        if machine.gathers and not stays_away:
            group.join(member, move.keeps)
        if late and any(left.fate == "dropped" for left in move.left):
            self._dropped[self._ended[group.row.flow, group.row.step, group.row.key]] += 1
        self._apply(group, move)

    # --- what follows -------------------------------------------------------------------------------------------

    def _apply(self, group: Group, move: Move) -> None:
        if move.machine is not None:
            group.move(move.machine, move.over)
        for left in move.left:
            group.leave(left.member.id)
            self._leave(left)
        for each in move.nexts:
            self._go_on(each, is_new=any(left.child == each.at.message.id for left in move.left))
        if move.deposit is not None:
            self._deposits.append((move.deposit.token, move.deposit.until, move.deposit.content))
        if move.over:
            key = group.row.flow, group.row.step, group.row.key
            self._over.append(self._groups.pop(key))
            self._ended[key] = group.row.id

    def _leave(self, left: Left) -> None:
        if left.fate not in ("merged", "dropped"):
            return  # the message itself goes on
        at, step = left.member.at, left.member.at.step
        trace = StepTrace(step, "", left.words, (left.child,) if left.child else ())
        status = Status.COMPLETED if left.fate == "merged" else Status.FILTERED
        at = replace(at, steps=[*at.steps, trace])
        self._hops.append(self._hop(at, status, detail=left.words, ended_at=self._now))

    def _go_on(self, each: Next, is_new: bool) -> None:
        at = each.at
        if each.error is not None:
            self._park(at, each.error, is_new)
            return
        if is_new:
            self._hops.append(self._hop(at, Status.WAITING, keep_body=True, detail=at.step))
        message, properties = self._resuming(each)
        to = resume_queue(at.flow)
        if each.due > self._now:
            id = f"{stay(at)} {at.flow} {at.step}"
            self._timers.append(Timer(id=id, due_at=each.due, to=to, message=message, properties=properties))
        else:
            self._dispatches.append(Dispatch(message=message, to=to, properties=properties))

    def _resuming(self, each: Next) -> tuple[Message, dict[str, str]]:
        """What brings the message on its way again: itself, or what the step answers."""
        at, now = each.at, self._now
        if at.go == "on":
            document, at = bytes(at.document), replace(at, document=_NOTHING)
            message = replace(at.message, type=at.type, version=at.version, body=document, content_type=JSON)
            return message, {REPLY: "done", CONTEXT: carried(self._t, at, now)}
        parent = at.message
        id = derive_id(parent.id, parent.epoch, f"flow:{at.flow}", f"{at.step}#{stay(at)}", 0)
        message = child_of(parent, id, ANSWER, 0, parent.subject, each.answer or b"null")
        properties = {REPLY: "done", CONTEXT: carried(self._t, at, now)}
        if each.failure is not None:
            text = cut(each.failure.text, LONGEST_ERROR)
            properties |= {
                REPLY: "failed",
                ERROR_KIND: each.failure.kind,
                ERROR: text,
                ERROR_STEP: each.failure.endpoint,
            }
        return message, properties

    def _park(self, at: Continuation, error: MessageError, is_new: bool = False) -> None:
        message, properties = parked(self._t.connection.seal, at)
        place, now = f"flow:{at.flow}", self._now
        steps = replace(at, steps=[*at.steps, StepTrace(at.step, "", f"failed: {error.kind}")])
        self._hops.append(
            self._hop(
                steps, Status.PARKED, keep_body=is_new, ended_at=now, error_kind=kind_of(error), error=text_of(error),
                detail=at.step,
            )
        )  # fmt: skip
        queue = resume_queue(at.flow)
        self._parked.append(
            self._journal.parked(message, place, queue, error, now, step=at.step, properties=properties)
        )

    def _hop(self, at: Continuation, status: Status, keep_body: bool = False, **more: object) -> Hop:
        message = replace(at.message, body=bytes(at.document))
        hop = self._journal.hop(
            message, f"flow:{at.flow}", status, received_at=self._now, attempts=1, sent=at.sent,
            published=at.published, steps=packed(at.steps) if at.steps else None, **more,
        )  # fmt: skip
        return (hop if keep_body else replace(hop, body=None)).sanitised()

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, hold: bool = True) -> list[Dispatch]:
        """Everything. ``hold``: this process publishes what is returned once it is committed, else the sweeper does."""
        t = self._t
        groups = [*self._over, *self._groups.values()]
        t.groups.save([group.row for group in groups if group.changed and not group.fresh])
        t.groups.open([group.row for group in groups if group.changed and group.fresh])
        t.groups.drop([group.row.id for group in groups if group.machine is None and not group.fresh])
        t.groups.join([row for group in groups for row in group.members_to_write()])
        t.groups.left_all([group.row.id for group in self._over if not group.fresh], self._now)
        for group in self._groups.values():
            t.groups.left(group.row.id, sorted(map(fit, group.gone)), self._now)
        t.groups.count_dropped(list(self._dropped.items()))
        t.claim_checks.keep(self._deposits)
        t.tracking.record(self._hops)
        t.parked.add(self._parked)
        t.timers.add(self._timers)
        if hold:
            return t.outbox.hold(self._dispatches, self._home.owner, HOLD)
        t.outbox.add(self._dispatches)
        return []
