"""The endpoint runtime: what is sent once, again, never again, and what is written down of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from esb.broker.port import endpoint_queue
from esb.errors import Busy, Interrupted, LeaseLost, Refused, StoreDown, Unreachable
from esb.ports import Reply, Request
from esb.store import BreakerRow, Status
from esb.worker import thread
from esb.worker.breaker import after_failure, may_probe, probing
from esb.worker.endpoint import EndpointWorker
from tests.worker.rig import (
    FILES,
    LIMIT,
    Point,
    Rig,
    broken_transfer,
    dies,
    drive,
    endpoint_worker,
    order,
    put,
    send,
    store_down,
    sweep,
    until,
)

OUT = "out:target"
QUEUE = endpoint_queue("target")


def status(rig: Rig, number: int) -> int:
    hop = rig.hop(f"order-{number}", OUT)
    return hop.status if hop else 0


def settled(rig: Rig, *numbers: int, as_: Status = Status.COMPLETED) -> Callable[[], bool]:
    return lambda: all(status(rig, number) == as_ for number in numbers)


def failing(*errors: Exception) -> Callable[[Request], None]:
    """Raises these, one a call, then takes everything."""
    left = list(errors)

    def script(request: Request) -> None:
        if left:
            raise left.pop(0)

    return script


def always(error: Exception) -> Callable[[Request], None]:
    def script(request: Request) -> None:
        raise error

    return script


def slow_to_answer(rig: Rig) -> tuple[EndpointWorker, threading.Event]:
    """A worker that sends an unkeyed message, of which a copy waits, and what makes the other side answer.

    It keeps no lease, so that it looks dead to others.
    """
    answer = threading.Event()
    rig.outside("target").script = lambda request: answer.wait(10) and None
    bus = rig.bus()
    send(bus, order(1), operation="shoot")
    worker = endpoint_worker(bus)
    drive(worker, lambda: rig.outside("target").calls, "it is being sent")
    send(bus, order(1), operation="shoot")
    return worker, answer


def in_doubt_policy(rig: Rig, policy: str) -> None:
    rig.write(
        "endpoints/target.yaml",
        f"""\
        endpoint: target
        adapter: scripted
        timeout: 2s
        operations:
          put: {{effect: keyed}}
          shoot: {{effect: unkeyed, in_doubt: {policy}}}
        """,
    )


def recovery(rig: Rig, text: str) -> None:
    rig.write(
        "endpoints/target.yaml",
        f"""\
        endpoint: target
        adapter: scripted
        timeout: 2s
        operations: {{put: {{effect: keyed}}, shoot: {{effect: unkeyed}}}}
        recovery: {{{text}}}
        """,
    )


# --- once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operation", "written"), [("put", 0), ("shoot", 2)])
def test_what_has_a_key_and_is_new_is_not_written_down_first(rig: Rig, operation: str, written: int) -> None:
    """It is looked up, and sent; only what has no key has to be on record before anybody hears of it."""
    bus = rig.bus()
    send(bus, order(1), operation=operation)
    worker = endpoint_worker(bus)
    before: list[int] = []
    with store_down(bus, failures=1) as tries:
        rig.outside("target").script = lambda request: before.append(tries[0])
        drive(worker, settled(rig, 1), "it is recorded")
    assert before == [written]


def test_a_message_is_sent_tracked_and_settled(rig: Rig) -> None:
    """Its effect takes place, its journey says so, and its queue is empty."""
    bus = rig.bus()
    send(bus, order(1), order(2))
    drive(endpoint_worker(bus), settled(rig, 1, 2), "both are done")
    assert sorted(rig.outside("target").numbers()) == [1, 2]
    assert rig.depth(QUEUE) == 0


def test_a_repeat_of_what_was_done_is_not_sent_again(rig: Rig) -> None:
    """A flow that died before it settled sends the same message twice; the inbox knows."""
    bus = rig.bus()
    worker = endpoint_worker(bus)
    for _ in range(2):
        send(bus, order(1))
        drive(worker, lambda: status(rig, 1) == Status.COMPLETED and rig.left(QUEUE) == 0, "done")
    assert len(rig.outside("target").calls) == 1
    assert rig.parked() == []


def test_a_copy_of_what_is_under_way_is_not_sent_beside_it(rig: Rig) -> None:
    """The first is still being sent when the second is taken."""
    bus = rig.bus()
    worker, gate = endpoint_worker(bus), threading.Event()
    rig.outside("target").script = lambda request: gate.wait(5) and None
    send(bus, order(1))
    drive(worker, lambda: rig.outside("target").calls, "it is under way")
    send(bus, order(1))
    drive(worker, lambda: rig.depth(QUEUE) == 0, "the copy is taken")
    gate.set()
    drive(worker, settled(rig, 1), "done")
    assert len(rig.outside("target").calls) == 1


def test_a_death_after_the_effect_sends_again_under_the_same_key(rig: Rig) -> None:
    """A keyed endpoint recognises it: one effect."""
    send(rig.bus(), order(1))
    dies(endpoint_worker(rig.bus(Point("endpoint: sent"))))
    bus = rig.bus()
    drive(endpoint_worker(bus), settled(rig, 1), "done")
    keys = {request.key for request in rig.outside("target").calls}
    assert (len(rig.outside("target").calls), keys) == (2, {"order-1/put"})
    assert rig.outside("target").numbers() == [1]


def test_a_death_after_done_is_not_sent_again(rig: Rig) -> None:
    """Between the commit and the settlement: the inbox has it."""
    send(rig.bus(), order(1), operation="shoot")
    dies(endpoint_worker(rig.bus(Point("endpoint: recorded"))))
    bus = rig.bus()
    drive(endpoint_worker(bus), lambda: rig.left(QUEUE) == 0, "settled")
    assert len(rig.outside("target").calls) == 1
    assert status(rig, 1) == Status.COMPLETED
    assert rig.parked() == []


# --- in doubt -----------------------------------------------------------------------------------------------------


def test_unkeyed_and_started_by_a_dead_process_is_in_doubt(rig: Rig) -> None:
    """Nobody can know: it is not sent again, it waits for a person, whose retry sends it and settles the matter."""
    send(rig.bus(), order(1), operation="shoot")
    dies(endpoint_worker(rig.bus(Point("endpoint: sent"))))
    bus = rig.bus()
    worker = endpoint_worker(bus)
    drive(worker, settled(rig, 1, as_=Status.IN_DOUBT), "it is in doubt")
    assert len(rig.outside("target").calls) == 1
    (row,) = rig.parked()
    assert (row.kind, row.operation) == ("in doubt", "shoot")
    rig.retry()
    drive(worker, settled(rig, 1), "the retry goes through")
    assert len(rig.outside("target").calls) == 2
    assert rig.parked_state(row) == "resolved"
    assert rig.ledger().in_doubt == 0


def test_unkeyed_and_started_by_a_living_process_is_left_to_it(rig: Rig) -> None:
    """It waits, at no cost, and is not in doubt."""
    send(rig.bus(), order(1), operation="shoot")
    first = rig.bus(Point("endpoint: started"))
    with first.store.transaction() as t:
        t.leases.acquire(f"owner:{first.context.owner}", first.context.owner, 60)
    dies(endpoint_worker(first))
    bus = rig.bus()
    drive(endpoint_worker(bus), settled(rig, 1, as_=Status.RETRYING), "it waits")
    assert rig.outside("target").calls == []
    assert rig.parked() == []


def test_who_was_taken_for_dead_clears_up_the_doubt(rig: Rig) -> None:
    """Silent for longer than its lease, it was only slow: what it did is done, and waits for nobody."""
    silent, answer = slow_to_answer(rig)
    other = endpoint_worker(rig.bus())
    drive(other, settled(rig, 1, as_=Status.IN_DOUBT), "another process takes it for dead")
    answer.set()
    drive(silent, settled(rig, 1), "it is done after all")
    assert rig.parked() == []
    assert (rig.ledger().done, rig.ledger().in_doubt) == (1, 0)


def test_what_is_over_in_the_meantime_is_not_in_doubt(rig: Rig) -> None:
    """The answer is written down between the look into the inbox and the verdict about who seems to be dead."""
    silent, answer = slow_to_answer(rig)

    def speak_up(point: str) -> None:
        if point == "endpoint: sent":
            answer.set()
            drive(silent, settled(rig, 1), "it is done")

    other = endpoint_worker(rig.bus(speak_up))
    drive(other, lambda: rig.left(QUEUE) == 0, "the copy is settled")
    assert status(rig, 1) == Status.COMPLETED
    assert rig.parked() == []


def test_an_operation_may_ask_for_a_retry_when_in_doubt(rig: Rig) -> None:
    """`in_doubt: retry` takes over what a dead process had started, and sends it."""
    in_doubt_policy(rig, "retry")
    send(rig.bus(), order(1), operation="shoot")
    dies(endpoint_worker(rig.bus(Point("endpoint: started"))))
    bus = rig.bus()
    drive(endpoint_worker(bus), settled(rig, 1), "it is sent")
    assert rig.outside("target").numbers() == [1]


def test_an_unkeyed_send_without_an_answer_is_never_repeated(rig: Rig) -> None:
    """However many immediate retries the policy allows."""
    recovery(rig, "retries: 5, delays: [50ms]")
    bus = rig.bus()
    rig.outside("target").script = always(Interrupted("the line went dead"))
    send(bus, order(1), operation="shoot")
    drive(endpoint_worker(bus), settled(rig, 1, as_=Status.IN_DOUBT), "it is in doubt")
    assert len(rig.outside("target").calls) == 1


def test_an_unkeyed_send_that_reached_nobody_is_repeated(rig: Rig) -> None:
    """Nothing was sent, so nothing can be doubled; later tries start from a clean inbox."""
    bus = rig.bus()
    rig.outside("target").script = failing(Unreachable("no route"), Unreachable("no route"))
    send(bus, order(1), operation="shoot")
    drive(endpoint_worker(bus), settled(rig, 1), "it gets through")
    assert len(rig.outside("target").calls) == 3


def test_a_commit_of_unknown_outcome_does_not_put_in_doubt_what_was_not_begun(rig: Rig) -> None:
    """The row "started" was committed, the answer lost: the second try finds its own row, and sends."""
    bus = rig.bus()
    worker = endpoint_worker(bus)
    real, lost = bus.store.transaction, [False]

    def transaction() -> Any:
        from contextlib import contextmanager

        @contextmanager
        def once() -> Any:
            with real() as t:
                yield t
            if not lost[0] and rig.outside("target").calls == [] and _started(rig):
                lost[0] = True
                raise StoreDown("the connection broke at the commit")

        return once()

    bus.store.transaction = transaction  # type: ignore[method-assign]
    send(bus, order(1), operation="shoot")
    drive(worker, settled(rig, 1), "it is sent")
    assert lost == [True]
    assert rig.parked() == []


def _started(rig: Rig) -> bool:
    with rig.last.store.reading() as t:
        return bool(t.inbox.seen("target", [("shoot", "order-1")]))


# --- failures -----------------------------------------------------------------------------------------------------


def test_what_keeps_failing_is_parked_after_its_delays(rig: Rig) -> None:
    """Two delays: three rounds, then it waits for a person."""
    bus = rig.bus()
    rig.outside("target").script = always(Unreachable("no route"))
    send(bus, order(1))
    drive(endpoint_worker(bus), settled(rig, 1, as_=Status.PARKED), "it is parked")
    assert len(rig.outside("target").calls) == 3
    assert rig.parked()[0].kind == "unreachable"


def test_a_no_to_the_message_is_parked_at_once(rig: Rig) -> None:
    """Trying again would give the same; and it does not open the breaker."""
    recovery(rig, "retries: 3, delays: [50ms], breaker: {failures: 1, reset: 1m}")
    bus = rig.bus()
    rig.outside("target").script = failing(Refused("unknown article"))
    send(bus, order(1))
    worker = endpoint_worker(bus)
    drive(worker, settled(rig, 1, as_=Status.PARKED), "it is parked")
    send(bus, order(2))
    drive(worker, settled(rig, 2), "the next one goes")
    assert len(rig.outside("target").calls) == 2


def test_a_busy_system_says_when(rig: Rig) -> None:
    """Its time overrides the immediate retries and picks the delay that is long enough."""
    recovery(rig, "retries: 5, delays: [50ms, 400ms]")
    bus = rig.bus()
    rig.outside("target").script = failing(Busy("later", retry_after=0.3))
    send(bus, order(1))
    began = time.monotonic()
    drive(endpoint_worker(bus), settled(rig, 1), "it gets through")
    assert len(rig.outside("target").calls) == 2
    assert time.monotonic() - began >= 0.3


def test_a_delay_over_an_hour_waits_in_the_store(rig: Rig) -> None:
    """As a timer, not in a queue; when it is due the message comes back with its count."""
    recovery(rig, "retries: 0, delays: [2h]")
    now = [time.time()]
    bus = rig.bus(clock=lambda: now[0])
    rig.outside("target").script = failing(Unreachable("no route"))
    send(bus, order(1))
    worker = endpoint_worker(bus)
    drive(worker, settled(rig, 1, as_=Status.RETRYING), "it waits")
    sweep(bus)
    assert rig.depth(QUEUE) == 0
    now[0] += 7201
    sweep(bus)
    assert rig.depth(QUEUE) == 1
    drive(worker, settled(rig, 1), "it gets through")


@pytest.mark.parametrize("bug", [TypeError("oops"), SystemExit(3)])
def test_a_bug_of_an_adapter_parks_its_message(rig: Rig, bug: BaseException) -> None:
    """And neither kills the pool nor the others."""
    bus = rig.bus()
    rig.outside("target").script = failing(bug)  # type: ignore[arg-type]
    worker = endpoint_worker(bus)
    send(bus, order(1))
    drive(worker, settled(rig, 1, as_=Status.PARKED), "it is parked")
    assert (rig.parked()[0].kind, type(bug).__name__ in rig.parked()[0].error) == ("internal", True)
    send(bus, order(2))
    drive(worker, settled(rig, 2), "the next one goes")


def test_a_bug_of_a_format_parks_its_message(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never got as far as the adapter, and does not stay under way for ever."""
    bus = rig.bus()
    monkeypatch.setattr(bus.formats["target"], "encode", lambda document: 1 / 0)
    send(bus, order(1))
    drive(endpoint_worker(bus), settled(rig, 1, as_=Status.PARKED), "it is parked")
    assert rig.outside("target").calls == []


def test_an_operation_that_is_gone_parks_its_messages(rig: Rig) -> None:
    """With a text that names it."""
    bus = rig.bus()
    send(bus, order(1), operation="vanished")
    drive(endpoint_worker(bus), settled(rig, 1, as_=Status.PARKED), "it is parked")
    assert "no operation 'vanished' any more" in rig.parked()[0].error


def test_counters_that_are_none_count_as_absent(rig: Rig) -> None:
    """Anybody may publish to a queue."""
    bus = rig.bus()
    rig.outside("target").script = failing(Unreachable("no route"))
    send(bus, order(1), attempt="many", failed="nan")
    drive(endpoint_worker(bus), settled(rig, 1), "it gets through")


def test_a_row_that_the_database_refuses_does_not_block_the_others(rig: Rig) -> None:
    """Each is tried alone, and the one with the odd text is tracked without it."""
    bus = rig.bus()
    rig.outside("target").script = lambda r: Reply(detail="odd \ud800" if r.document["number"] == 1 else "fine")
    worker = endpoint_worker(bus)
    send(bus, order(1), order(2))
    drive(worker, settled(rig, 1, 2), "both are done")
    assert rig.depth(QUEUE) == 0


def test_an_error_text_that_the_database_refuses_is_cleaned(rig: Rig) -> None:
    """The message is parked all the same, and its neighbour is done."""
    bus = rig.bus()
    rig.outside("target").script = lambda r: (r.document["number"] == 1 and always(Refused("odd \ud800"))(r)) or None
    send(bus, order(1), order(2))
    drive(endpoint_worker(bus), lambda: status(rig, 2) == Status.COMPLETED and status(rig, 1) == Status.PARKED, "both")
    assert rig.parked()[0].error.startswith("odd")


def test_what_a_person_sent_on_is_resolved_also_when_it_was_done_before(rig: Rig) -> None:
    """The parked row does not stay "retrying" for ever."""
    bus = rig.bus()
    worker = endpoint_worker(bus)
    rig.outside("target").script = failing(Refused("no"))
    send(bus, order(1))
    drive(worker, rig.parked, "it is parked")
    (row,) = rig.parked()
    send(bus, order(1))  # a copy of the flow's, meanwhile
    drive(worker, lambda: rig.outside("target").numbers() == [1] and rig.left(QUEUE) == 0, "the copy goes through")
    rig.retry()
    drive(worker, lambda: rig.parked_state(row) == "resolved", "the retry is resolved")
    assert rig.outside("target").numbers() == [1]


# --- broker and store ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, Unreachable("no route")], ids=["done", "failed"])
def test_what_comes_again_while_its_call_goes_on_is_put_off(rig: Rig, error: Exception | None) -> None:
    """It is no copy of what is under way, whose delivery is void: settled, nothing would stand for the message."""
    rig.write("esb.yaml", FILES["esb.yaml"].replace("lease: 3s", "lease: 1s"))
    rig.write("endpoints/target.yaml", FILES["endpoints/target.yaml"].replace("2s", "50ms"))
    bus = rig.bus()
    worker = endpoint_worker(bus)
    answer = threading.Event()
    then = failing(*filter(None, [error]))
    rig.outside("target").script = lambda request: (answer.wait(LIMIT) and then(request)) or None
    send(bus, order(1))
    drive(worker, lambda: rig.outside("target").calls, "it is under way")
    worker.recover()
    drive(worker, settled(rig, 1, as_=Status.RETRYING), "what came again waits")
    answer.set()
    drive(worker, lambda: settled(rig, 1)() and rig.left(QUEUE) == 0, "it is done, and nothing is left")
    assert len(rig.outside("target").calls) == (2 if error else 1)
    assert rig.outside("target").numbers() == [1]
    assert not worker._adrift


def test_a_store_that_is_down_for_a_moment_is_waited_for(rig: Rig) -> None:
    """What was sent is committed when it is back; nothing is sent twice."""
    bus = rig.bus()
    worker = endpoint_worker(bus)
    send(bus, order(1))
    drive(worker, lambda: rig.outside("target").calls, "it is sent")
    with store_down(bus, failures=3) as tries:
        drive(worker, settled(rig, 1), "done")
    assert tries[0] > 3
    assert len(rig.outside("target").calls) == 1


def test_what_was_done_while_the_store_was_down_is_not_in_doubt(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience ends and the channel is dropped; but this process knows what it did, and says so before it goes on."""
    monkeypatch.setattr(thread, "PATIENCE", 0.0)
    monkeypatch.setattr(thread.commit, "__defaults__", (0.0,))
    bus = rig.bus()
    worker = endpoint_worker(bus)
    gate = threading.Event()
    rig.outside("target").script = lambda request: gate.wait(5) and None
    send(bus, order(1), operation="shoot")
    drive(worker, lambda: rig.outside("target").calls, "it is under way")
    with store_down(bus) as tries:
        gate.set()
        drive(worker, lambda: tries[0] > 5, "the store is missed")
    drive(worker, settled(rig, 1), "done")
    assert len(rig.outside("target").calls) == 1
    assert rig.parked() == []


def test_a_broker_that_goes_while_results_are_published(rig: Rig) -> None:
    """One of the batch has to be delayed, the other was done: it is not in doubt, and not sent again."""
    bus = rig.bus()
    worker, gate = endpoint_worker(bus), threading.Event()

    def script(request: Request) -> None:
        gate.wait(5)
        if request.document["number"] == 2 and len(rig.outside("target").calls) < 3:
            raise Unreachable("no route")

    rig.outside("target").script = script
    send(bus, order(1), order(2), operation="shoot")
    drive(worker, lambda: len(rig.outside("target").calls) == 2, "both are under way")
    gate.set()
    until(lambda: worker._finished.qsize() == 2, "both came back")
    broken_transfer(worker)
    drive(worker, settled(rig, 1, 2), "both are done")
    assert rig.parked() == []
    assert sorted(rig.outside("target").numbers()) == [1, 2]
    assert len(rig.outside("target").calls) == 3


def test_a_lost_lease_repeats_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is on record although it could not be settled; the copy is recognised."""
    bus = rig.bus()
    worker = endpoint_worker(bus)

    def transfer(batch: Any, commit: Any) -> None:
        commit([])
        raise LeaseLost("taken over, says the test")

    monkeypatch.setattr(worker._consumer, "transfer", transfer)
    send(bus, order(1), operation="shoot")
    drive(worker, lambda: rig.left(QUEUE) == 0 and status(rig, 1) == Status.COMPLETED, "settled")
    assert len(rig.outside("target").calls) == 1
    assert rig.parked() == []


def test_stopping_finishes_what_is_under_way_and_gives_back_the_rest(rig: Rig) -> None:
    """A drained worker leaves nothing half done."""
    bus = rig.bus()
    worker, gate = endpoint_worker(bus), threading.Event()
    rig.outside("target").script = lambda request: gate.wait(5) and None
    send(bus, *map(order, range(8)))
    worker.start()
    until(lambda: len(rig.outside("target").calls) == 4, "four are under way")
    worker.stop()
    gate.set()
    worker.join(5)
    assert not worker.is_alive()
    assert rig.ledger().done == 4
    assert rig.depth(QUEUE) == 4


def test_a_hanging_adapter_does_not_keep_a_worker_from_ending(rig: Rig) -> None:
    """Within the drain time it gives up waiting, and its threads hold up nobody."""
    rig.write("esb.yaml", FAST_DRAIN)
    bus = rig.bus()
    worker, gate = endpoint_worker(bus), threading.Event()
    rig.outside("target").script = lambda request: gate.wait(30) and None
    send(bus, order(1))
    worker.start()
    until(lambda: rig.outside("target").calls, "it is under way")
    worker.stop()
    worker.join(5)
    assert not worker.is_alive()
    hanging = [t for t in threading.enumerate() if t.name.startswith("endpoint target")]
    assert all(t.daemon for t in hanging)
    gate.set()


FAST_DRAIN = 'bus: rig\nbroker: "{broker}"\ndatabase: "{database}"\nworker: {{lease: 3s, drain: 200ms}}\n'


# --- the breaker --------------------------------------------------------------------------------------------------

BREAKER = "retries: 0, delays: [50ms], breaker: {failures: 2, reset: 200ms}"


def test_an_open_breaker_leaves_the_backlog_in_the_broker(rig: Rig) -> None:
    """Two failures in a row, then nothing is taken; what failed costs no attempt, and all gets through in the end."""
    recovery(rig, BREAKER)
    bus = rig.bus()
    worker = endpoint_worker(bus)
    down = [True]
    rig.outside("target").script = lambda r: always(Unreachable("no route"))(r) if down[0] else None
    rig.outside("target").health = lambda: always(Unreachable("no route"))(None) if down[0] else None  # type: ignore
    send(bus, *map(order, range(12)))
    drive(worker, lambda: worker._breaker.peek() == "open", "it opens")
    calls = len(rig.outside("target").calls)
    for _ in range(10):
        worker.cycle()
    assert len(rig.outside("target").calls) <= calls + 4  # those that were under way when it opened
    assert rig.depth(QUEUE) >= 4
    down[0] = False
    drive(worker, settled(rig, *range(12)), "all get through")
    assert rig.parked() == []


def test_a_paused_endpoint_leaves_everything_in_the_broker(rig: Rig) -> None:
    """Until a person resumes it; a new process keeps to it, too."""
    bus = rig.bus()
    with bus.store.transaction() as t:
        assert t.pauses.pause("target", "ops", "moves house")
    send(bus, *map(order, range(3)))
    for worker in (endpoint_worker(bus), endpoint_worker(again := rig.bus())):
        for _ in range(3):
            worker.cycle()
    assert rig.outside("target").calls == []
    assert rig.depth(QUEUE) == 3
    with again.store.transaction() as t:
        t.pauses.resume("target", "ops", "moved")
    drive(worker, settled(rig, 0, 1, 2), "all get through")


def test_a_pause_lets_what_is_under_way_end(rig: Rig) -> None:
    """It is settled as ever, and nothing is begun after it."""
    bus = rig.bus()
    worker = endpoint_worker(bus)
    send(bus, order(1))
    drive(worker, settled(rig, 1), "sent")
    with bus.store.transaction() as t:
        t.pauses.pause("target", "ops")
    drive(worker, lambda: "target" in bus.context.board.now().paused, "it hears of it")
    send(bus, order(2))
    for _ in range(3):
        worker.cycle()
    assert [request.document["number"] for request in rig.outside("target").calls] == [1]


def test_a_clock_that_is_set_back_keeps_no_breaker_open() -> None:
    """When it opened, and when it was last tried, lies an hour ahead then; clocks that differ a little mean nothing."""
    opened = after_failure(BreakerRow(endpoint="target"), 1, 10_000.0)
    tried = probing(opened, "somebody", 10_000.0)
    for row in (opened, tried):
        moments = (10_000 - 3600, 10_000 - 30, 10_000, 10_000 + 59, 10_000 + 60)
        assert [may_probe(row, 60.0, now) for now in moments] == [True, False, False, False, True]


def test_a_breaker_that_a_person_closes_is_closed_for_its_workers(rig: Rig) -> None:
    """They do not wait for their turn to probe."""
    recovery(rig, "retries: 0, delays: [50ms], breaker: {failures: 1, reset: 1h}")
    bus = rig.bus()
    worker = endpoint_worker(bus)
    rig.outside("target").script = always(Unreachable("no route"))
    send(bus, order(1))
    drive(worker, lambda: worker._breaker.peek() == "open", "it opens")
    rig.outside("target").script = lambda request: None
    with bus.store.transaction() as t:
        assert t.breakers.reset("target", "ops", "it is back")
        assert not t.breakers.reset("target", "ops", "again")
    drive(worker, settled(rig, 1), "it gets through")


def test_a_probe_that_fails_costs_its_message_no_attempt(rig: Rig) -> None:
    """The system's health looks well, but the first message fails again: over and over, and none is parked."""
    recovery(rig, BREAKER)
    bus = rig.bus()
    worker = endpoint_worker(bus)
    rig.outside("target").script = always(Unreachable("no route"))
    send(bus, order(1), order(2))
    drive(worker, lambda: len(rig.outside("target").calls) >= 6, "four probes")
    assert rig.parked() == []
    rig.outside("target").script = lambda request: None
    drive(worker, settled(rig, 1, 2), "both get through")


def test_only_one_of_two_processes_probes(rig: Rig) -> None:
    """One message at a time, by whoever won the right to it."""
    recovery(rig, "retries: 0, delays: [50ms], breaker: {failures: 1, reset: 1ms}")
    workers = [endpoint_worker(rig.bus()) for _ in range(2)]
    rig.outside("target").script = always(Unreachable("no route"))
    send(rig.last, order(0))
    drive(workers[0], lambda: workers[0]._breaker.peek() != "closed", "it opens")
    workers[0]._breaker.failed()  # whatever it has come to meanwhile: open again
    for worker in workers:
        worker._breaker._read()
    until(lambda: may_probe(workers[0]._breaker._row, 0.001, time.time()), "its time has come")
    won = [worker._breaker.wins_probe() for worker in workers]
    assert sorted(won) == [False, True]
    assert workers[won.index(False)]._allowance() == 0
    assert workers[won.index(True)]._allowance() == 1


def test_a_bug_of_an_adapter_is_no_sign_of_life(rig: Rig) -> None:
    """It does not close a breaker that is on probation."""
    recovery(rig, "retries: 0, delays: [50ms], breaker: {failures: 1, reset: 1ms}")
    bus = rig.bus()
    worker = endpoint_worker(bus)
    rig.outside("target").script = failing(Unreachable("no route"), TypeError("oops"))
    send(bus, order(1))
    drive(worker, lambda: worker._breaker.peek() != "closed", "it opens")
    drive(worker, rig.parked, "one is parked")
    assert worker._breaker.peek() == "probing"


def test_an_endpoint_that_stays_down_parks_after_give_up(rig: Rig) -> None:
    """Patience has an end, counted from the first failure."""
    recovery(rig, "retries: 0, delays: [50ms], give_up: 1h, breaker: {failures: 1, reset: 50ms}")
    now = [time.time()]
    bus = rig.bus(clock=lambda: now[0])
    worker = endpoint_worker(bus)
    rig.outside("target").script = always(Unreachable("no route"))
    send(bus, order(1))
    drive(worker, settled(rig, 1, as_=Status.RETRYING), "it failed once")
    now[0] += 3601
    drive(worker, settled(rig, 1, as_=Status.PARKED), "it is parked")
    assert "longer than give_up" in rig.parked()[0].error


# --- suspects -----------------------------------------------------------------------------------------------------


def test_what_was_under_way_at_one_death_is_sent_together(rig: Rig) -> None:
    """As after an orderly stop: all of it comes again, and none waits for the others."""
    bus = rig.bus()
    send(bus, *map(order, range(3)))
    dies(endpoint_worker(rig.bus(Point("endpoint: started"))))
    together = threading.Barrier(3, timeout=LIMIT)
    rig.outside("target").script = lambda request: together.wait() and None
    drive(endpoint_worker(rig.bus()), settled(rig, *range(3)), "all are done")
    assert not together.broken


def test_a_suspect_is_sent_alone(rig: Rig) -> None:
    """What was under way at two deaths: neither fresh messages nor other suspects are under way beside it."""
    bus = rig.bus()
    send(bus, *map(order, range(3)))
    for _ in range(2):
        dies(endpoint_worker(rig.bus(Point("endpoint: started"))))
    running: set[int] = set()
    beside: list[set[int]] = []
    lock, pause = threading.Lock(), threading.Event()

    def script(request: Request) -> None:
        number = request.document["number"]
        with lock:
            running.add(number)
            if any(one < 3 for one in running) and len(running) > 1:
                beside.append(set(running))
        if number < 3:
            send(bus, order(number + 3))  # a first delivery, while the suspect is under way
        pause.wait(0.05)  # long enough for others to be taken, if they were
        with lock:
            running.remove(number)

    rig.outside("target").script = script
    drive(endpoint_worker(rig.bus()), settled(rig, *range(6)), "all are done")
    assert beside == []


def test_what_kills_again_and_again_is_parked_unsent(rig: Rig) -> None:
    """Its neighbours are not."""
    send(rig.bus(), order(1))
    for _ in range(5):  # the first death marks nobody
        bus = rig.bus(Point("endpoint: started"))
        dies(endpoint_worker(bus))
    bus = rig.bus()
    send(bus, order(2))
    drive(
        endpoint_worker(bus), lambda: status(rig, 1) == Status.PARKED and status(rig, 2) == Status.COMPLETED, "parked"
    )
    assert [row.kind for row in rig.parked()] == ["kills the worker"]
    assert rig.outside("target").numbers() == [2]


# --- on servers ---------------------------------------------------------------------------------------------------


def test_on_servers_in_doubt_and_retry(server_rig: Rig) -> None:
    """RabbitMQ redelivers, PostgreSQL remembers: in doubt after a death, through after a retry."""
    rig = server_rig
    send(rig.bus(), order(1), operation="shoot")
    dies(endpoint_worker(rig.bus(Point("endpoint: sent"))))
    bus = rig.bus()
    worker = endpoint_worker(bus)
    drive(worker, settled(rig, 1, as_=Status.IN_DOUBT), "it is in doubt")
    rig.retry()
    drive(worker, settled(rig, 1), "the retry goes through")
    worker.finish()


def test_on_servers_an_open_breaker_gives_back_what_was_prefetched(server_rig: Rig) -> None:
    """Another process, or a later time, finds the whole backlog in the broker."""
    rig = server_rig
    recovery(rig, "retries: 0, delays: [50ms], breaker: {failures: 1, reset: 1h}")
    bus = rig.bus()
    rig.outside("target").script = always(Unreachable("no route"))
    send(bus, *map(order, range(12)))
    worker = endpoint_worker(bus)
    drive(worker, lambda: worker._breaker.peek() == "open" and not worker._running, "it opens")
    drive(worker, lambda: rig.depth(QUEUE) == 12, "all are back, those that failed too")
    assert rig.parked() == []
    worker.finish()


def test_on_servers_an_id_with_a_nul_does_not_block_the_queue(server_rig: Rig) -> None:
    """PostgreSQL refuses it in every column; it goes through all the same, and so does its neighbour."""
    rig = server_rig
    bus = rig.bus()
    import msgspec

    odd = msgspec.structs.replace(order(1), id="odd\0id", subject="s\0t")
    put(bus, QUEUE, odd, order(2), operation="put")
    worker = endpoint_worker(bus)
    drive(worker, lambda: status(rig, 2) == Status.COMPLETED and rig.hop("odd\ufffdid", OUT), "both are tracked")
    assert sorted(rig.outside("target").numbers()) == [1, 2]
    worker.finish()
