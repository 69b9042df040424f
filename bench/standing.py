"""Fills a store with what stands beside the traffic of :mod:`bench.seed`: sagas, groups, replays, acts, switches."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from bench.seed import BATCH, sale_of
from esb.flow.aggregating import Aggregation
from esb.flow.groups import Member
from esb.flow.legs import Continuation
from esb.message import Message
from esb.saga import Entry, Leg, Saga, StepState
from esb.store import Chosen, GroupRow, MemberRow, Plan, SagaRow, Store
from esb.store.tables import audit
from esb.worker.rows import packed
from esb.worker.saga_round import row_of

MEMBERS = 2  # messages that an open group holds
REPLAYED = 40  # replays of so many parked messages each
WHO = ("ada", "grace", "linus")


def seed_standing(store: Store, messages: int, *, now: float, definition: str, span: float) -> None:
    """One saga for every tenth message, a group for every twentieth (every tenth of them open), acts as many.

    Args: as of :func:`bench.seed.seed`; all are required.
    """
    chance = random.Random(11)
    times = [now - span + span * number / (messages // 10) for number in range(messages // 10)]
    sagas = [_saga(number, at, definition, chance) for number, at in enumerate(times)]
    groups = [_group(number, at, definition, chance) for number, at in enumerate(times[::2])]
    for first in range(0, len(sagas), BATCH):
        with store.transaction() as t:
            for row in sagas[first : first + BATCH]:
                t.sagas.start(row)
            chosen = groups[first : first + BATCH]
            t.groups.open([row for row, _ in chosen])
            t.groups.join([member for _, members in chosen for member in members])
    _acts(store, times, chance)
    _set(store, now)


def _acts(store: Store, times: list[float], chance: random.Random) -> None:
    ids = [sale_of(number, at, "finance", chance).id for number, at in enumerate(times)]
    rows = [
        {
            "at": at, "who": chance.choice(WHO), "act": chance.choice(("retry", "discard", "edit")),
            "target": f"{id} flow:sales", "reason": "mended", "detail": "contract",
        }
        for id, at in zip(ids, times, strict=True)
    ]  # fmt: skip
    with store.engine.begin() as connection:
        connection.execute(audit.insert(), rows)


def _set(store: Store, now: float) -> None:
    """What people have set, and replays: one of each half hour has ended, two go on."""
    with store.transaction() as t:
        t.switches.set("flow", "bundles", {"": "paused"}, "ada", "the warehouse counts its stock")
        t.switches.set("detour", "bundles", {"watch-closely": "on"}, "ada", "who orders twice?")
        t.switches.set("table", "roads", {f"C{n}": "sea" for n in range(100)}, "grace", "no planes today")
        t.pauses.pause("courier", "linus", "a holiday there")
        parked = [row.key for row in t.parked.find(Chosen(), limit=REPLAYED * 4)]
        for number in range(40):
            id = t.replays.start(parked[:REPLAYED], "ada", "mended", Plan((1, 5, 20), 2.5, 1))
            found = t.replays.hold(id)
            assert found is not None
            replay, watched = found
            if number < 38:
                at = now - 1800 * number
                changes = {"state": "done", "seen": REPLAYED, "sent": REPLAYED, "ended_at": at}
                replay = msgspec.structs.replace(replay, **changes)
                t.replays.drop(id)
            t.replays.save(replay, watched)


def _saga(number: int, at: float, definition: str, chance: random.Random) -> SagaRow:
    """Of a hundred, one is stuck, four are undone, three are under way."""
    trigger = sale_of(number, at, "warehouse", chance)
    kind = {0: "stuck", 1: "compensated", 2: "compensated", 3: "compensated", 4: "compensated"}.get(number % 100)
    status = kind or ("running" if number % 100 in (5, 6, 7) else "completed")
    names = ("reserve", "charge", "ship")
    reached = 3 if status == "completed" else 2
    done = Leg(state="done", attempt=1, tries=1, at=at)
    steps = [StepState(name=name, action=done, answer=b'{"ok": true}') for name in names[: reached - 1]]
    last = Leg(state="failed" if kind else "started" if status == "running" else "done", attempt=2, at=at)
    steps += [StepState(name=names[reached - 1], action=last), *(StepState(name=n) for n in names[reached:])]
    history = tuple(Entry(at + n, names[n % 3], "asked" if n % 2 else "done", "201") for n in range(12))
    return row_of(
        Saga(
            id=f"saga-{number:06}", name="checkout", key=f"SO-{4000 + number}", definition=definition, trigger=trigger,
            steps=tuple(steps), status=status, at=reached - 1, pivot=2, started_at=at, updated_at=at + 1,
            ended_at=None if status in ("stuck", "running") else at + 2, history=history,
            reason="refused: 422: no money" if kind else "",
        )
    )  # fmt: skip


def _group(number: int, at: float, definition: str, chance: random.Random) -> tuple[GroupRow, list[MemberRow]]:
    is_open, key = number % 10 == 0, f"C{number}"
    machine = Aggregation(key=key, expected=3, limit=10, count=MEMBERS, since=at)
    row = GroupRow(
        id=f"group-{number:06}", flow="bundles", step="aggregate", key=key, kind="aggregate", definition=definition,
        size=MEMBERS if is_open else 0, waits=machine.waits, opened_at=at, changed_at=at, due_at=at + 600,
        closed_at=None if is_open else at + 60, reason="" if is_open else "complete", data=packed(machine),
    )  # fmt: skip
    return row, list(_members(row, at, chance)) if is_open else []


def _members(row: GroupRow, at: float, chance: random.Random) -> Iterator[MemberRow]:
    for position in range(MEMBERS):
        message: Message = sale_of(int(row.key[1:]) * MEMBERS + position, at, "finance", chance)
        waiting = Continuation(
            flow=row.flow, definition=row.definition, step=row.step, message=message, document=msgspec.Raw(b"{}")
        )
        yield MemberRow(
            flow=row.flow, step=row.step, member_id=f"{row.id}-{position}", group_id=row.id, position=position, at=at,
            content=msgspec.json.encode(Member(id=message.id, at=waiting)),
        )  # fmt: skip
