"""Replays: parked messages sent on; at once when they are few, in portions when they are many, in steps with care.

A careful replay sends one message, waits until it is known what came of it, then five, twenty, a hundred … When more
fail than somebody is ready to accept it stops and waits for that person. All of it lies in the store: a portion leaves
with the commit that sends its messages on, so that a death in between repeats nothing and loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from esb.errors import EsbError
from esb.store import Plan, Replay, Transaction, Watched
from esb.store.parked import Key
from esb.worker.upkeep import Upkeep

AT_ONCE = 500  # messages that are sent on within the act itself
FULL = 2000  # messages in the outbox at which a replay rests: what is new must not queue up behind it
LOOK = 1.0  # seconds between two looks at what came of a step
CALM = 2  # looks in a row at which nothing moves: an event needs a moment to become the message of another flow
LARGEST = 10_000  # messages of a step
STEPS = (1, 5, 20, 100)

Act = Literal["pause", "resume", "cancel", "next"]


class SentOn(msgspec.Struct, frozen=True):
    """What an act came to: so many sent on now, or the replay that works them off."""

    sent: int
    replay: str = ""


class NotPossible(EsbError):  # noqa: N818 - says what is so
    """A replay is not in a state for this act; nothing has changed."""

    kind = "not possible"


def plan_of(steps: str, rate: float, tolerate: int) -> Plan:
    """A plan from what a person writes, such as ``1, 5, 20, 100``. Raises ``ValueError``, saying what is wrong."""
    numbers = [word for word in re.split(r"[\s,]+", steps.strip()) if word]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= LARGEST for word in numbers):
        raise ValueError(f"steps are numbers of messages from 1 to {LARGEST:,}, such as 1, 5, 20, 100")
    if len(numbers) > 20:
        raise ValueError("more than 20 steps: the last number goes for all further ones")
    if not 0 <= rate <= 100_000:
        raise ValueError("a rate is a number of messages a second, 0 for as many as possible")
    if tolerate >= 0 and not numbers:
        raise ValueError("without steps nobody looks for new failures in between: give steps")
    return Plan(tuple(map(int, numbers)), rate, tolerate if numbers else -1)


def send_on(t: Transaction, keys: Sequence[Key], who: str, why: str = "") -> SentOn:
    """Send parked messages on again, from where they failed. Audited, each message under ``who``."""
    if len(keys) <= AT_ONCE:
        return SentOn(len(t.parked.retry(keys, who, why)))
    return SentOn(0, t.replays.start(keys, who, why))


def act_on(t: Transaction, id: str, act: Act, at: float, who: str, why: str = "") -> Replay:
    """Pause a replay, resume one that is paused or has stopped, cancel it (what is left stays parked), or let the
    next step begin whatever has become of the last (``next``). Audited. Raises ``NotPossible``."""
    held = t.replays.hold(id)
    if held is None:
        raise NotPossible(f"there is no replay {id}")
    replay, watched = held
    if replay.ended_at or (act == "pause" and replay.state != "running"):
        raise NotPossible(f"the replay {id} is {replay.state}")
    if act == "cancel":
        t.replays.drop(id)
        replay = replace(replay, state="cancelled", ended_at=at, note="what was left stays parked")
    elif act == "pause":
        replay = replace(replay, state="paused", note=f"by {who}")
    else:
        replay, watched = _resumed(t, replay, watched, forget=act == "next")
    t.replays.save(replay, watched)
    t.replays.note(id, f"{act} replay", who, why)
    return replay


def _resumed(t: Transaction, replay: Replay, watched: Watched, forget: bool) -> tuple[Replay, Watched]:
    """What has failed so far is known, and does not stop it again."""
    if forget:
        watched = Watched()
    elif replay.state == "stopped":
        watched.failures = t.replays.look(watched.families).failures
    failed = 0 if replay.state == "stopped" else replay.failed
    return replace(replay, state="running", failed=failed, next_at=0.0, note=""), watched


def work_off(upkeep: Upkeep) -> int:
    """Go on with every replay that has something to do, as far as there is room; how many portions were sent on."""
    with upkeep.store.reading() as t:
        due = t.replays.due(upkeep.clock())
    return sum(_work_off(upkeep, id) for id in due)


def _work_off(upkeep: Upkeep, id: str) -> int:
    portions, going = 0, True
    while going:
        with upkeep.store.transaction() as t:
            going = t.outbox.count() < FULL and _advance(t, id, upkeep.clock())
            upkeep.point("jobs: piece sent on")
        if going:
            portions += 1
            upkeep.committed()
    return portions


def _advance(t: Transaction, id: str, now: float) -> bool:
    """One portion, or one look at what came of the last step. True: a portion was sent on."""
    held = t.replays.hold(id)
    if held is None or held[0].state != "running" or held[0].ended_at or held[0].next_at > now:
        return False
    replay, watched = held
    if replay.rest == 0 and replay.plan.steps and watched.families:
        replay, watched = _judged(t, replay, watched, now)
    rests = replay.state != "running" or replay.next_at > now
    if rests or replay.seen >= replay.total:
        t.replays.save(replay if rests else replace(replay, state="done", ended_at=now, note=""), watched)
        return False
    _send(t, replay, watched, now)
    return True


def _judged(t: Transaction, replay: Replay, watched: Watched, now: float) -> tuple[Replay, Watched]:
    """What came of the step: it stops, it waits, or the next one may begin."""
    look = t.replays.look(watched.families)
    failed = replay.failed + max(look.failures - watched.failures, 0)
    if 0 <= replay.tolerate < failed:
        note = f"{failed} failed again, {replay.tolerate} would have been accepted: look at them, then resume or cancel"
        return replace(replay, state="stopped", failed=failed, note=note), watched
    watched.calm = watched.calm + 1 if look.moving == 0 and look.in_flight <= watched.in_flight else 0
    if watched.calm < CALM:
        moving = look.moving + max(look.in_flight - watched.in_flight, 0)
        note = f"step {replay.step} is under way" + (f": {moving} on their way or waiting" if moving else "")
        return replace(replay, next_at=now + LOOK, note=note), watched
    return replace(replay, failed=failed, note=""), Watched()


def _send(t: Transaction, replay: Replay, watched: Watched, now: float) -> None:
    plan, unsent = replay.plan, replay.total - replay.seen
    step, rest = replay.step, replay.rest
    if rest == 0:
        step, rest = step + 1, plan.size(step + 1, unsent)
    most = min(rest, max(int(plan.rate * LOOK), 1)) if plan.rate else rest
    sent, seen = t.replays.send(replay, most)
    next_at = now + seen / plan.rate if plan.rate else 0.0
    seen = seen or unsent  # what is not there any more is worked off
    if plan.steps:
        _watch(t, watched, sent)
    replay = replace(
        replay, step=step, rest=max(rest - seen, 0), seen=replay.seen + seen, sent=replay.sent + len(sent),
        next_at=next_at, note="",
    )  # fmt: skip
    if replay.seen >= replay.total and not watched.families:
        replay = replace(replay, state="done", ended_at=now)
    t.replays.save(replay, watched)


def _watch(t: Transaction, watched: Watched, sent: Sequence[Key]) -> None:
    """From now on what fails in these families is new."""
    added = sorted(set(t.replays.families(sent)) - set(watched.families))
    look = t.replays.look(added)
    watched.families += added
    watched.failures += look.failures
    watched.in_flight += look.in_flight
    watched.calm = 0
