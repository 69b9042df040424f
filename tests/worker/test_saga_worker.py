"""The saga worker with real endpoints' runtime, broker and store: forward, back, stuck, and deaths at each point."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from esb.broker.port import saga_queue
from esb.errors import Interrupted, Refused
from esb.message import create
from esb.ports import Reply, Request
from esb.store import SagaRow, Status
from esb.store.sagas import Sagas
from esb.testing.faults import SAGA_POINTS
from esb.worker.endpoint import EndpointWorker
from esb.worker.saga import SagaWorker, saga_names
from esb.worker.saga_acts import ActRefused, act
from esb.worker.saga_round import Round, saga_of
from esb.worker.sweeper import Sweeper
from esb.worker.thread import Worker
from tests.worker.rig import Dies, Point, Rig, put, sweep, until

SAGA = """\
saga: checkout
from: order/v1
key: $string(number)
steps:
  - {name: reserve, call: partner.reserve, as: reservation, compensate: partner.release}
  - {name: charge, call: partner.charge, compensate: partner.refund}
  - {name: ship, call: partner.ship, pivot: true}
  - {name: tell, call: partner.tell}
completed: {publish: ended/v1, with: {set: {number: number, place: reservation.place}}}
"""
PARTNER = """\
endpoint: partner
adapter: scripted
concurrency: 4
timeout: 1s
operations: {reserve: {}, release: {}, charge: {}, refund: {}, ship: {}, tell: {}}
recovery: {retries: 0, delays: []}
"""


class Partner:
    """The system that is called; ``fails`` names operations that it refuses, per order number."""

    def __init__(self) -> None:
        self.fails: dict[str, set[int]] = {}
        self.breaks: dict[str, set[int]] = {}  # the connection goes behind the effect
        self.calls: list[tuple[str, int]] = []
        self.seen: set[str] = set()

    def __call__(self, request: Request) -> Reply:
        number = request.document["number"]
        if number in self.fails.get(request.operation, ()):
            raise Refused(f"{request.operation} declined")
        if request.key not in self.seen:
            self.seen.add(request.key)
            self.calls.append((request.operation, number))
        if number in self.breaks.get(request.operation, ()):
            raise Interrupted(f"no answer from {request.operation}")
        body = json.dumps({"place": "A7"}).encode() if request.operation == "reserve" else b""
        return Reply(detail="done", body=body, content_type="application/json")

    def of(self, number: int) -> list[str]:
        """What was done for an order, in order."""
        return [operation for operation, each in self.calls if each == number]


@pytest.fixture(params=["embedded", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])])
def rig(request: pytest.FixtureRequest) -> Rig:
    """On SQLite alone, and on RabbitMQ with PostgreSQL."""
    return prepared(request.getfixturevalue("server_rig" if request.param == "servers" else "embedded_rig"))


def prepared(rig: Rig) -> Rig:
    """A rig with the saga and its partner."""
    rig.write("sagas/checkout.yaml", SAGA)
    rig.write("endpoints/partner.yaml", PARTNER)
    rig.write("contracts/ended/v1.json", json.dumps({"type": "object"}))
    rig.outside("partner").script = Partner()
    return rig


def partner(rig: Rig) -> Partner:
    found = rig.outside("partner").script
    assert isinstance(found, Partner)
    return found


class Running:
    """Saga worker and endpoint worker of one process, driven in turn."""

    def __init__(self, rig: Rig, point: Callable[[str], None] | None = None, **more: Any) -> None:
        self.bus = rig.bus(**({"point": point} if point else {}), **more)
        self.saga = SagaWorker(self.bus.context, saga_names(self.bus.context))
        self.endpoint = EndpointWorker(self.bus.context, self.bus.definition.endpoints["partner"])

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turn() -> object:
            self.saga.cycle()
            self.endpoint.cycle()
            sweep(self.bus)
            return condition()

        until(turn, what)

    def dies(self) -> None:
        """Rounds until the process dies at its point."""
        with pytest.raises(Dies):
            self.until(lambda: False, "it dies")
        self.close()

    def close(self) -> None:
        self.saga.finish()
        self.endpoint.finish()
        gc.collect()  # expressions of this process must not be dropped by a thread of the next

    def rows(self) -> dict[str, SagaRow]:
        with self.bus.store.reading() as t:
            return {row.key: row for row in t.sagas.search(limit=10_000)}

    def all_over(self) -> bool:
        rows = self.rows().values()
        return bool(rows) and all(row.ended_at or row.status == "stuck" for row in rows)


def orders(running: Running, *numbers: int) -> None:
    """Events that start sagas."""
    messages = [
        create(json.dumps({"number": n}).encode(), type="order", version=1, source="shop", id=f"order-{n}", time=1e9)
        for n in numbers
    ]
    put(running.bus, saga_queue("checkout"), *messages)


def test_every_step_takes_place_and_the_end_is_told(rig: Rig) -> None:
    """In order, once each; the ledger adds up, and the journey shows the saga with its calls."""
    running = Running(rig)
    orders(running, 1)
    running.until(running.all_over, "it ends")
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "tell"]
    assert running.rows()["1"].status == "completed"
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.in_flight, ledger.published) == (4, 4, 0, 1)
    assert ledger.sagas == {"completed": 1}
    with running.bus.store.reading() as t:
        journey = t.tracking.journey("order-1")
    assert Counter(hop.place for hop in journey) == {"saga:checkout": 5, "out:partner": 4, "event:ended/v1": 1}
    assert {hop.subject for hop in journey} == {"1"}
    running.close()


def test_what_took_place_is_undone_in_reverse(rig: Rig) -> None:
    """A declined shipment gives money and goods back; what was done counts as compensated."""
    partner(rig).fails["ship"] = {2}
    running = Running(rig)
    orders(running, 1, 2)
    running.until(running.all_over, "they end")
    assert partner(rig).of(2) == ["reserve", "charge", "refund", "release"]
    assert {key: row.status for key, row in running.rows().items()} == {"1": "completed", "2": "compensated"}
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.compensated, ledger.rejected) == (9, 6, 2, 1)
    assert ledger.settled
    running.close()


def test_a_step_of_which_nobody_knows_is_undone_too(rig: Rig) -> None:
    """The connection broke behind the charge: what may have taken place is refunded, before the goods are released."""
    partner(rig).breaks["charge"] = {1}
    running = Running(rig)
    orders(running, 1)
    running.until(running.all_over, "it ends")
    assert partner(rig).of(1) == ["reserve", "charge", "refund", "release"]
    assert running.rows()["1"].status == "compensated"
    running.close()


def test_a_pivot_of_which_nobody_knows_asks_a_person(rig: Rig) -> None:
    """Who says that it did not take place turns the saga back."""
    partner(rig).breaks["ship"] = {1}
    running = Running(rig)
    orders(running, 1)
    running.until(running.all_over, "it is stuck")
    row = running.rows()["1"]
    assert (row.status, row.step) == ("stuck", "ship")
    assert "nobody knows whether ship took place" in row.reason
    act(running.bus.context, row.id, "compensate", who="eve", reason="no van came")
    running.until(lambda: running.rows()["1"].status == "compensated", "it turns back")
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "refund", "release"]
    running.close()


def test_a_repeated_trigger_starts_nothing(rig: Rig) -> None:
    """Neither while the saga runs, nor behind its end, nor when retention has removed it."""
    running = Running(rig)
    orders(running, 1)
    orders(running, 1)
    running.until(running.all_over, "it ends")
    orders(running, 1)
    running.saga.cycle()
    with running.bus.store.transaction() as t:
        t.connection.run("DELETE FROM sagas")
    orders(running, 1)
    running.saga.cycle()
    assert running.rows() == {}
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "tell"]
    assert rig.parked() == []
    running.close()


def test_another_trigger_with_the_key_of_one_that_runs_is_parked(rig: Rig) -> None:
    """As a conflict; a retry starts its saga when the first has ended."""
    running = Running(rig)
    orders(running, 1)
    other = create(b'{"number": 1}', type="order", version=1, source="shop", id="again", time=1e9)
    put(running.bus, saga_queue("checkout"), other)
    running.until(running.all_over, "the first ends")
    (parked,) = rig.parked()
    assert (parked.kind, parked.place, parked.message.id) == ("conflict", "saga:checkout", "again")
    rig.retry()
    running.until(lambda: len(partner(rig).of(1)) == 8, "the second takes place")
    running.until(running.all_over, "it ends")
    assert rig.parked() == []
    running.close()


def test_a_copy_beside_a_trigger_that_another_process_starts_starts_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when that one fell silent: what it writes cannot be seen before its commit."""
    running = Running(rig)
    orders(running, 1)
    running.saga.cycle()
    with monkeypatch.context() as patch:
        patch.setattr(Sagas, "lock", lambda sagas, ids: {})
        patch.setattr(Round, "_seen", lambda round, batch: set())
        orders(running, 1)
        running.saga.cycle()
    running.until(running.all_over, "it ends")
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "tell"]
    assert rig.parked() == []
    running.close()


def test_a_trigger_that_breaks_its_contract_is_parked(rig: Rig) -> None:
    """It holds up no other."""
    running = Running(rig)
    bad = create(b'{"number": "one"}', type="order", version=1, source="shop", id="bad", time=1e9)
    put(running.bus, saga_queue("checkout"), bad)
    orders(running, 1)
    running.until(running.all_over, "the good one ends")
    assert [(p.kind, p.message.id) for p in rig.parked()] == [("contract", "bad")]
    running.close()


@pytest.mark.parametrize("point", SAGA_POINTS)
def test_a_death_at_any_point_changes_nothing(rig: Rig, point: str) -> None:
    """Each second visit of the point is a death: every saga ends, every effect took place once."""
    partner(rig).fails = {"ship": {2}, "charge": {3}}
    running = Running(rig, Point(point, 2))
    orders(running, 1, 2, 3)
    for _ in range(2):
        running.dies()
        running = Running(rig, Point(point, 2))
    running.close()
    running = Running(rig)
    running.until(running.all_over, "they end")
    assert {key: row.status for key, row in running.rows().items()} == {
        "1": "completed",
        "2": "compensated",
        "3": "compensated",
    }
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "tell"]
    assert partner(rig).of(2) == ["reserve", "charge", "refund", "release"]
    assert partner(rig).of(3) == ["reserve", "release"]
    running.until(lambda: rig.ledger().settled, "it settles")
    ledger = rig.ledger()
    assert ledger.sent == ledger.done + ledger.compensated + ledger.rejected
    running.close()


def test_two_processes_share_the_sagas(rig: Rig) -> None:
    """Answers to one saga may reach either; each is taken once, and no change of the other is lost."""
    partner(rig).fails = {"ship": set(range(0, 40, 4))}
    processes = [Running(rig), Running(rig)]
    orders(processes[0], *range(40))
    workers: list[Worker] = [w for p in processes for w in (p.saga, p.endpoint)] + [Sweeper(processes[0].bus.context)]
    for worker in workers:
        worker.start()
    until(processes[0].all_over, "they end", 60)
    until(lambda: rig.ledger().settled, "it settles", 60)
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join(10)
    for number in range(40):
        back = ["reserve", "charge", "refund", "release"]
        assert partner(rig).of(number) == (["reserve", "charge", "ship", "tell"] if number % 4 else back)
    assert Counter(row.status for row in processes[0].rows().values()) == {"completed": 30, "compensated": 10}


# --- a person -----------------------------------------------------------------------------------------------------


def stuck(rig: Rig, operation: str = "release", number: int = 1) -> Running:
    """A saga that is stuck in the compensation of its first step."""
    partner(rig).fails = {"charge": {number}, operation: {number}}
    running = Running(rig)
    orders(running, number)
    running.until(lambda: "stuck" in {row.status for row in running.rows().values()}, "it is stuck")
    return running


def test_a_compensation_that_keeps_failing_ends_in_front_of_a_person(rig: Rig) -> None:
    """Who says skip answers for it: the saga ends compensated, and the audit keeps who and why."""
    running = stuck(rig)
    row = running.rows()["1"]
    assert (row.status, row.step) == ("stuck", "reserve")
    assert "the compensation of reserve fails" in row.reason
    with running.bus.store.reading() as t:
        whole = t.sagas.get(row.id)
    assert whole is not None
    assert saga_of(whole).acts() == ("retry", "skip", "end")
    act(running.bus.context, row.id, "skip", who="eve", reason="released by phone")
    assert running.rows()["1"].status == "compensated"
    with running.bus.store.reading() as t:
        (entry,) = t.audit.list(row.id)
    assert (entry.who, entry.act, entry.reason) == ("eve", "saga skip", "released by phone")
    assert entry.detail == "checkout 1: stuck at reserve → compensated"
    running.close()


def test_a_retry_sends_the_same_call_again(rig: Rig) -> None:
    """With the same id, so that the other side can tell; when it succeeds the saga ends, and the ledger adds up."""
    running = stuck(rig)
    partner(rig).fails.pop("release")
    act(running.bus.context, running.rows()["1"].id, "retry", who="eve", reason="the warehouse is back")
    running.until(running.all_over, "it ends")
    assert running.rows()["1"].status == "compensated"
    assert partner(rig).of(1) == ["reserve", "release"]
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.compensated, ledger.rejected) == (3, 1, 1, 1)
    running.close()


def test_what_follows_a_retry_is_in_the_ledger(rig: Rig) -> None:
    """The second answer to the same call is a message of its own, and what the saga sends because of it counts."""
    partner(rig).fails = {"ship": {1}, "refund": {1}}
    running = Running(rig)
    orders(running, 1)
    running.until(running.all_over, "it is stuck")
    partner(rig).fails.pop("refund")
    act(running.bus.context, running.rows()["1"].id, "retry", who="eve", reason="the bank is back")
    running.until(lambda: running.rows()["1"].status == "compensated", "it turns back")
    running.until(lambda: rig.ledger().settled, "it settles")
    ledger = rig.ledger()
    assert (ledger.sent, ledger.done, ledger.compensated, ledger.rejected) == (5, 2, 2, 1)
    running.close()


def test_an_end_by_a_person_sends_nothing_more(rig: Rig) -> None:
    """What took place stays, and a second act is refused."""
    running = stuck(rig)
    id = running.rows()["1"].id
    act(running.bus.context, id, "end", who="eve", reason="settled with the customer")
    assert running.rows()["1"].status == "ended"
    with pytest.raises(ActRefused, match="is ended: retry is not possible, only nothing more"):
        act(running.bus.context, id, "retry", who="eve", reason="no")
    with pytest.raises(ActRefused, match="there is no saga"):
        act(running.bus.context, "gone", "retry", who="eve", reason="no")
    running.close()


def test_a_saga_keeps_the_version_it_began_with(rig: Rig) -> None:
    """Its steps are those of its beginning, also when the configuration has no such saga any more."""
    running = Running(rig, Point("saga: before ack"))
    orders(running, 1)
    running.dies()
    (rig.root / "sagas/checkout.yaml").unlink()
    running = Running(rig)
    running.until(running.all_over, "it ends")
    assert partner(rig).of(1) == ["reserve", "charge", "ship", "tell"]
    assert running.rows()["1"].status == "completed"
    running.close()


def test_the_time_of_a_step_is_up(rig: Rig) -> None:
    """A timer tells, a late answer is waited for; that the call was never made means that there is nothing to undo."""
    text = SAGA.replace("compensate: partner.release}", "compensate: partner.release, timeout: 10s}")
    rig.write("sagas/checkout.yaml", text)
    now = [1000.0]
    running = Running(rig, clock=lambda: now[0])
    orders(running, 1)
    running.saga.cycle()
    sweep(running.bus)  # the command waits in its queue, and nobody serves it
    now[0] += 11
    until(lambda: (sweep(running.bus), running.saga.cycle(), running.rows()["1"].status == "compensating")[-1], "late")
    running.until(running.all_over, "the command is answered: its deadline has passed, so there is nothing to undo")
    assert partner(rig).of(1) == []
    assert running.rows()["1"].status == "compensated"
    with running.bus.store.reading() as t:
        assert t.connection.row("SELECT count(*) FROM timers")[0] == 0
        assert Status.REJECTED in {hop.status for hop in t.tracking.journey("order-1")}
    running.close()
