"""Stateful steps at work: time-outs, late comers, people, replays, limits; on one process with a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.broker.port import resume_queue
from esb.config.keeping import Retention
from esb.message import Message
from esb.store import Status
from esb.worker import endpoint, flow
from esb.worker.groups import NoGroup, release, strike_due
from tests.worker.groups import Running, ask
from tests.worker.rig import Dies, Point, Rig, feed, order, upkeep

HEAD = "flow: main\nfrom: source\nsteps:\n"
SEND = "  - send: target.put\n"


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    for module in (endpoint, flow):
        monkeypatch.setattr(module, "TAKE", 0.001)
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def steps(*lines: str) -> str:
    return HEAD + "".join(f"  - {line}\n" for line in lines) + SEND


def pair(*numbers: int) -> list[Message]:
    return [order(number, batch="x") for number in numbers]


SUM = "set: {number: '$sum(members.number)'}"


def test_a_copy_counts_once(rig: Rig) -> None:
    """Delivered again while the group is open, with its own end, and behind it."""
    running = Running(rig, steps("aggregate: {by: batch, size: 2}", SUM))
    for message in pair(1, 1, 2, 2, 1, 2):
        feed(running.bus, message)
        running.rests()
    running.sends(3)


def test_one_that_comes_too_late_is_dropped_and_counted(rig: Rig) -> None:
    """Its journey says so, and the group that had ended."""
    running = Running(rig, steps("aggregate: {by: batch, size: 2, late: drop}", SUM))
    feed(running.bus, *pair(1, 2))
    running.sends(3)
    feed(running.bus, *pair(5, 6))
    running.sends(3)
    assert [running.hop(f"order-{n}").status for n in (5, 6)] == [Status.FILTERED] * 2
    assert [group.dropped for group in running.groups(waiting=False)] == [2]


def test_one_that_comes_too_late_waits_for_a_person(rig: Rig) -> None:
    """Who sends it on as the settings are then."""
    running = Running(rig, steps("aggregate: {by: batch, size: 1, late: park}", SUM))
    feed(running.bus, *pair(1))
    running.sends(1)
    feed(running.bus, *pair(5))
    running.rests()
    assert [(row.kind, row.step) for row in rig.parked()] == [("late", "aggregate")]
    running = Running(rig, steps("aggregate: {by: batch, size: 1, late: new}", SUM))
    rig.retry()
    running.sends(1, 5)
    assert rig.parked() == []


def test_a_group_ends_when_its_time_is_up(rig: Rig) -> None:
    """With what is there, by the jobs; not before."""
    running = Running(rig, steps("aggregate: {by: batch, size: 3, timeout: 10m}", SUM))
    feed(running.bus, *pair(1, 2))
    running.rests()
    (group,) = running.groups()
    assert (group.waits, group.size) == ("2 of 3 are there", 2)
    assert group.due_at == pytest.approx(group.opened_at + 600)
    running.later(599)
    running.rests()
    assert rig.outside("target").numbers() == []
    running.later(2)
    running.sends(3)
    assert running.groups(waiting=False)[0].reason == "time is up"


def test_what_is_incomplete_is_set_aside_as_one_message(rig: Rig) -> None:
    """A retry lets it go on as it is."""
    running = Running(rig, steps("aggregate: {by: batch, size: 3, timeout: 10m, incomplete: park}", SUM))
    feed(running.bus, *pair(1, 2))
    running.rests()
    running.later(601)
    running.rests()
    (row,) = rig.parked()
    assert (row.kind, json.loads(row.message.body)["size"]) == ("incomplete", 2)
    rig.retry()
    running.sends(3)


def test_a_person_lets_go_what_is_there(rig: Rig) -> None:
    """Once, audited with the reason."""
    running = Running(rig, steps("aggregate: {by: batch, size: 3}", SUM))
    feed(running.bus, *pair(1, 2))
    running.rests()
    (group,) = running.groups()
    release(running.bus.context, group.id, "ada", "the third will not come")
    running.sends(3)
    with running.bus.store.reading() as t:
        (entry,) = t.audit.list()
    assert (entry.who, entry.act, entry.target, entry.reason) == (
        "ada", "release group", group.id, "the third will not come",
    )  # fmt: skip
    with pytest.raises(NoGroup, match="no open group"):
        release(running.bus.context, group.id, "bob", "again")


def test_a_group_goes_on_by_the_settings_it_began_with(rig: Rig) -> None:
    """A changed flow is for the groups that begin then."""
    running = Running(rig, steps("aggregate: {by: batch, size: 2}", SUM))
    feed(running.bus, *pair(1))
    running.rests()
    running.close()
    running = Running(rig, steps("aggregate: {by: batch, when: size = 4}", SUM))
    feed(running.bus, *pair(2, 3, 4))
    running.sends(3)
    (group,) = running.groups()
    assert group.waits == "2 so far, until size = 4"


def test_parts_of_a_split_become_one_again(rig: Rig) -> None:
    """In their order, each a message of its own whose journey ends there."""
    running = Running(
        rig,
        steps(
            "split: {each: items, sequence: true}",
            "aggregate: {parts: true}",
            "set: {number: '$sum(members.n)'}",
        ),
    )
    feed(running.bus, order(1, items=[{"n": 4}, {"n": 5}]))
    running.sends(9)
    assert rig.ledger().settled
    with running.bus.store.reading() as t:
        hops = t.tracking.journey("order-1")
    found = sorted(hop.status for hop in hops if hop.place == "flow:main")
    assert found == [Status.COMPLETED] * 4  # the order, two parts, and the whole


def test_a_delayed_message_goes_on_when_its_time_has_come(rig: Rig) -> None:
    """Also on another process; and what it carries may be large."""
    running = Running(rig, steps("delay: 10m"))
    feed(running.bus, order(1, text="x" * 100_000))
    running.rests()
    running.close()
    running = Running(rig)
    running.later(599)
    running.rests()
    assert (rig.outside("target").numbers(), running.hop("order-1").status) == ([], Status.WAITING)
    running.later(2)
    running.sends(1)


def test_repeats_end_and_the_value_is_forgotten(rig: Rig) -> None:
    """By retention, when its time is over."""
    running = Running(rig, steps("idempotent: {by: batch, within: 1h}"))
    feed(running.bus, *pair(1, 2))
    running.sends(1)
    assert running.hop("order-2").detail == "a repeat of order-1"
    running.bus.store.prune(running.now() + 3000, Retention())
    feed(running.bus, *pair(3))
    running.sends(1)
    running.later(3601)
    running.bus.store.prune(running.now(), Retention())
    feed(running.bus, *pair(4))
    running.sends(1, 4)


def test_what_has_ended_is_deleted_in_time(rig: Rig) -> None:
    """Groups and members when the inbox is; open ones never."""
    running = Running(rig, steps("aggregate: {by: batch, size: 2}", SUM))
    feed(running.bus, *pair(1, 2), order(3, batch="y"))
    running.sends(3)
    deleted = running.bus.store.prune(running.now() + 40 * 86400, Retention())
    assert (deleted["groups"], deleted["group_members"]) == (1, 2)
    assert [group.key for group in running.groups()] == ["y"]


def test_no_more_go_on_than_may(rig: Rig) -> None:
    """The others wait as timers."""
    running = Running(rig, steps("throttle: {messages: 1, per: 1m}"))
    feed(running.bus, *pair(1, 2, 3))
    running.sends(1)
    running.later(61)
    running.sends(1, 2)
    running.later(60)
    running.sends(1, 2, 3)


def test_what_was_left_behind_is_there_for_its_time(rig: Rig) -> None:
    """Under a reference that nobody can guess, and not longer."""
    running = Running(rig, steps("claim: {keep: {key: key}, keep_for: 1h}", "delay: 30m", "fetch: claim"))
    feed(running.bus, order(1))
    running.rests()
    running.later(1801)
    running.sends(1)
    running = Running(
        rig, steps("claim: {keep: {key: key}, keep_for: 10m}", "delay: 30m", "fetch: claim"), prepare=True
    )
    feed(running.bus, order(2))
    running.rests()
    running.later(3700)
    running.rests()
    assert [(row.kind, row.step) for row in rig.parked()] == [("claim", "fetch")]


def test_what_is_too_large_is_not_left_behind(rig: Rig) -> None:
    """It fails its message, and says how large it may be."""
    running = Running(rig, steps("claim: {limit: 1 KB}"))
    feed(running.bus, order(1, text="x" * 1024))
    running.rests()
    assert "limit of the claim check is 1024" in rig.parked()[0].error


@pytest.mark.parametrize(("then", "status"), [("park", Status.PARKED), ("drop", Status.DISCARDED)])
def test_what_is_too_late_is_not_sent(rig: Rig, then: str, status: Status) -> None:
    """An attempt at an endpoint behind that moment is not made."""
    running = Running(rig, steps(f"expire: {{at: until, then: {then}}}"))
    feed(running.bus, order(1, until="2020-01-01T00:00:00Z"), order(2, until="2999-01-01T00:00:00Z"))
    running.sends(2)
    with running.bus.store.reading() as t:
        ends = {hop.subject: hop.status for hop in t.tracking.find(place="out:target")}
    assert ends == {"no-1": status, "no-2": Status.COMPLETED}
    assert [row.kind for row in rig.parked()] == (["expired"] if then == "park" else [])
    assert rig.ledger().settled


def test_what_is_too_late_does_not_wait_any_longer(rig: Rig) -> None:
    """It is looked at where messages wait."""
    running = Running(rig, steps("expire: {at: until, then: drop}", "aggregate: {by: batch, size: 1}"))
    feed(running.bus, order(1, until="2020-01-01T00:00:00Z", batch="x"))
    running.rests()
    assert running.hop("order-1").status is Status.FILTERED and running.groups() == []


def test_with_too_few_answers_the_step_fails(rig: Rig) -> None:
    """And a retry asks again those who failed; who answered is not asked for another effect."""
    ask(rig, a=None, b=3)
    running = Running(
        rig, steps("gather: {ask: [a.quote, b.quote], as: q, least: 2}", "set: {number: 'q[0].answer.price'}")
    )
    feed(running.bus, order(1))
    running.rests()
    (row,) = rig.parked()
    assert row.kind == "too few answers" and "a.quote: refused" in row.error
    ask(rig, a=8, b=3)
    rig.retry()
    running.sends(8)
    assert len(rig.outside("b").sent) == 1


def test_too_few_answers_have_an_on_error(rig: Rig) -> None:
    """As any step that fails."""
    ask(rig, a=None, b=None)
    gather = "gather: {ask: [a.quote, b.quote], as: q, on_error: {set: {number: 99, why: $error.kind}}}"
    running = Running(rig, steps(gather))
    feed(running.bus, order(1))
    running.sends(99)


ASK = "gather: {ask: [a.quote], as: q, timeout: 10m}, name: ask"
LARGE = "x" * 70_000  # with it a continuation does not travel with the request


@pytest.mark.parametrize(
    "repeating",
    [
        pytest.param("loop: {while: number < 3, most: 5, do: [%s]}", id="loop"),
        pytest.param("slip: {by: '\"a,b,a\"', among: {a: [%s], b: [{set: {number: number + 1}}]}}", id="slip"),
    ],
)
def test_each_round_goes_on_with_its_own_document(rig: Rig, repeating: str) -> None:
    """However large it is: what an earlier round left behind is not what a later one goes on with."""
    ask(rig, a=7)
    running = Running(rig, steps(repeating % f"{{{ASK}}}, {{set: {{number: number + 1}}}}"))
    feed(running.bus, order(0, filling=LARGE))
    running.sends(3)
    assert running.hop("order-0").status is Status.COMPLETED


def test_two_flows_of_one_message_go_on_each_with_its_own_document(rig: Rig) -> None:
    """Both wait at a step of the same name, and each has a copy under the same id."""
    ask(rig, a=7)
    rig.write("flows/other.yaml", steps("set: {number: 2}", f"{{{ASK}}}").replace("main", "other"))
    running = Running(rig, steps(f"{{{ASK}}}"))
    for name in ("main", "other"):
        feed(running.bus, order(1, filling=LARGE), flow=name)
    running.until(lambda: len(rig.outside("target").sent) == 2, "both are sent")
    assert sorted(rig.outside("target").numbers()) == [1, 2]


def test_a_message_that_kills_its_process_holds_up_no_other(rig: Rig) -> None:
    """It is set aside unrun, and the next number goes on."""
    running = Running(rig, steps("resequence: number"))
    feed(running.bus, order(1), order(2))
    running.flow.cycle()
    with running.bus.store.transaction() as t:
        for _ in range(4):
            t.suspects.mark([("order-1", "flow:main")])
    running.close()
    running = Running(rig)
    taker = running.bus.broker.consumer([resume_queue("main")], 10)
    running.until_taken(taker)
    taker.close()  # taken, and not settled: a suspect
    running.sends(2)
    assert [row.kind for row in rig.parked()] == ["kills the worker"]


def test_what_is_hidden_stays_hidden_in_what_members_become(rig: Rig) -> None:
    """A contract's mask holds below `members`, too."""
    running = Running(rig, steps("aggregate: {by: batch, size: 2}", SUM), mask=["card"])
    feed(running.bus, order(1, batch="x", card="4111"), order(2, batch="x", card="4222"))
    running.sends(3)
    (group,) = running.groups(waiting=False)
    body: Any = json.loads(running.hop(group.id).body or b"")
    assert [member["card"] for member in body["members"]] == ["***", "***"]


def test_a_death_of_the_jobs_ends_no_group_twice(rig: Rig) -> None:
    """Before the commit nothing has happened; behind it the group has ended."""
    running = Running(rig, steps("aggregate: {by: batch, size: 3, timeout: 10m}", SUM))
    feed(running.bus, *pair(1, 2))
    running.rests()
    running.later(601)
    with pytest.raises(Dies):
        strike_due(upkeep(running.bus, Point("jobs: group struck")))
    assert [group.size for group in running.groups()] == [2]
    running.sends(3)
    assert strike_due(upkeep(running.bus)) == 0
