"""Polling: claimed once, read once, resumed where it was left; no bad thing stands before a good one."""

from __future__ import annotations

import json
import math
import threading
from io import BytesIO
from typing import Any, BinaryIO

import pytest

from esb import contract
from esb.adapters.memory import MemoryClaim
from esb.broker.port import Queue, Topology, flow_queue
from esb.errors import Unreachable
from esb.worker import bundle, intake, noticeboard
from esb.worker import poller as module
from tests.worker.rig import Dies, Point, Rig, dies, drive, poller, store_down, until

QUEUE = flow_queue("main")


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"number": number, "key": f"no-{number}"}).encode() + b"\n" for number in numbers)


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)


def test_a_thing_becomes_messages_and_is_let_go(rig: Rig) -> None:
    """Each record is in its flow's queue and tracked before the source hears "done"."""
    source, bus = rig.outside("source"), rig.bus()
    source.offer(lines(1, 2, 3), "a.jsonl")
    drive(poller(bus), lambda: source.done, "done")
    assert rig.depth(QUEUE) == 3
    assert rig.ledger().accepted == 3


def test_a_paused_source_is_left_alone(rig: Rig) -> None:
    """Nothing is claimed until a person resumes it."""
    source, bus = rig.outside("source"), rig.bus()
    with bus.store.transaction() as t:
        t.pauses.pause("source", "ops", "stocktaking")
    source.offer(lines(1))
    worker = poller(bus)
    worker.cycle()
    assert (len(source.waiting), rig.depth(QUEUE)) == (1, 0)
    with bus.store.transaction() as t:
        t.pauses.resume("source", "ops")
    drive(worker, lambda: source.done, "done")
    assert rig.depth(QUEUE) == 1


def test_a_pause_in_the_middle_goes_on_where_it_stopped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is left between two batches, stays claimed, and no record of it comes twice."""
    small_batches(monkeypatch)
    monkeypatch.setattr(noticeboard, "READ_EVERY", 0.0)
    source, bus = rig.outside("source"), rig.bus()
    source.offer(lines(1, 2, 3, 4, 5))
    worker = poller(bus)
    enter = worker._door.enter

    def pausing(*args: Any) -> None:
        enter(*args)
        with bus.store.transaction() as t:
            t.pauses.pause("source", "ops")

    monkeypatch.setattr(worker._door, "enter", pausing)
    worker.cycle()
    assert rig.depth(QUEUE) == 2
    monkeypatch.undo()
    with bus.store.transaction() as t:
        t.pauses.resume("source", "ops")
    drive(worker, lambda: source.done, "done")
    assert (rig.depth(QUEUE), rig.ledger().accepted, rig.ledger().repeats) == (5, 5, 0)


def test_a_batch_is_full_by_bytes_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large records come in small batches, for a batch lies in memory several times over."""
    source, bus = rig.outside("source"), rig.bus()
    source.offer(b"".join(b'{"number": %d, "note": "%s"}\n' % (n, b"x" * 1024**2) for n in range(20)))
    worker, sizes = poller(bus), []
    enter = worker._door.enter

    def noting(batch: Any, *more: Any) -> None:
        sizes.append(sum(len(one.message.body) for one in batch))
        enter(batch, *more)

    monkeypatch.setattr(worker._door, "enter", noting)
    drive(worker, lambda: source.done, "done")
    assert rig.ledger().accepted == 20
    assert len(sizes) == 3
    assert max(sizes) < bundle.FULL + 2 * 1024**2


def test_what_comes_before_a_part_that_cannot_be_read_enters(rig: Rig) -> None:
    """The file is set aside with its reason, and its first groups are on their way."""
    rig.write("contracts/order/v1.json", "{}")
    rig.write(
        "endpoints/source.yaml",
        """\
        endpoint: source
        adapter: scripted
        format: csv
        records: {group_by: t}
        receive: {contract: order/v1, poll: 10ms}
        """,
    )
    source, bus = rig.outside("source"), rig.bus()
    source.offer(b"t," + b"a" * 60_000 + b"\n1,x\n" + b"2,x\n" * 1500)
    drive(poller(bus), lambda: source.rejected, "it is rejected")
    (row,) = rig.parked()
    assert "takes more than 64 MB" in row.error
    assert rig.depth(QUEUE) == 1


def test_a_death_resumes_behind_the_last_confirmed_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published and not noted is published again under the same ids."""
    small_batches(monkeypatch)
    source = rig.outside("source")
    source.offer(lines(1, 2, 3, 4, 5))
    dies(poller(rig.bus(Point("in: published", visit=2))))
    (claim,) = source.claimed.values()
    assert claim.position == 2
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "done")
    assert rig.ledger().accepted == 5
    assert rig.depth(QUEUE) == 5 + 2  # the second batch twice


@pytest.mark.parametrize("point", ["in: tracked", "in: before done"])
def test_a_death_before_done_is_no_repeat(rig: Rig, point: str) -> None:
    """The same claim comes back: it is finished, not counted as a duplicate."""
    source = rig.outside("source")
    source.offer(lines(1, 2))
    dies(poller(rig.bus(Point(point))))
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "done")
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats) == (2, 0, 0)


def test_the_same_dropped_again_is_counted_and_set_aside(rig: Rig) -> None:
    """Each of its records ends as a duplicate; the thing itself counts once, whatever dies."""
    source = rig.outside("source")
    source.offer(lines(1, 2))
    drive(poller(bus := rig.bus()), lambda: len(source.done) == 1, "done")
    source.offer(lines(1, 2))
    for _ in range(3):
        lapse(bus)
        dies(poller(bus := rig.bus(Point("in: before done"))))
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: len(source.done) == 2, "done")
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats) == (4, 2, 1)
    assert rig.depth(QUEUE) == 2


def test_a_claim_that_another_began_and_lost_is_no_repeat(rig: Rig) -> None:
    """Somebody moved the file out and in again: its records keep their ids, and a death before done changes nothing."""
    source = rig.outside("source")
    source.offer(lines(1, 2))
    dies(poller(rig.bus(Point("in: published"))))
    (first,) = source.claimed.values()
    source.claimed.clear()
    source.offer(lines(1, 2))
    source.waiting[0].time = first.time
    for point in ("in: before done", ""):
        bus = rig.bus(Point(point))
        lapse(bus)
        if point:
            dies(poller(bus))
        else:
            drive(poller(bus), lambda: source.done, "done")
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats) == (2, 0, 0)


def test_the_same_may_come_again_where_the_endpoint_says_so(rig: Rig) -> None:
    """`duplicate: none`: ids then belong to the claim."""
    _receive(rig, "duplicate: none")
    source, bus = rig.outside("source"), rig.bus()
    for _ in range(2):
        source.offer(lines(1))
    drive(poller(bus), lambda: len(source.done) == 2, "done")
    assert rig.ledger().accepted == 2
    assert rig.depth(QUEUE) == 2


# --- what cannot be read ------------------------------------------------------------------------------------------


def _unreadable(rig: Rig) -> None:
    rig.write("contracts/order/v1.json", "{}")
    rig.write(
        "endpoints/source.yaml",
        """\
        endpoint: source
        adapter: scripted
        format: {csv: {delimiter: ";", columns: {number: {decimal: ","}}}}
        receive: {contract: order/v1, poll: 10ms}
        """,
    )


def test_what_cannot_be_read_at_all_is_rejected_and_parked(rig: Rig) -> None:
    """Once; dropped again it is a duplicate; and the next thing is read."""
    _unreadable(rig)
    source, bus = rig.outside("source"), rig.bus()
    for content in (b"a;b\n1;2\n", b"number;key\n1;no-1\n", b"a;b\n1;2\n"):
        source.offer(content)
    drive(poller(bus), lambda: len(source.done) + len(source.rejected) == 3, "all are seen to")
    assert [reason != "" for _, reason in source.rejected] == [True]
    assert [row.kind for row in rig.parked()] == ["decode"]
    ledger = rig.ledger()
    assert (ledger.accepted, ledger.duplicate, ledger.repeats) == (3, 1, 1)


def test_a_format_that_breaks_down_rejects_its_content(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours that the content brings about would otherwise come back at every poll."""
    source, bus = rig.outside("source"), rig.bus()
    real = bus.formats["source"].read

    def read(stream: BinaryIO) -> Any:
        yield from real(stream)
        raise ZeroDivisionError("a bug, says the test")

    monkeypatch.setattr(bus.formats["source"], "read", read)
    source.offer(lines(1, 2))
    drive(poller(bus), lambda: source.rejected, "it is rejected")
    assert [row.kind for row in rig.parked()] == ["internal"]
    assert rig.ledger().accepted == 1


class Unopened(MemoryClaim):
    """Content on a disk that fails."""

    trouble: Exception = OSError("input/output error")

    def open(self) -> BinaryIO:
        if self.trouble:
            raise self.trouble
        return BytesIO(self.content)


@pytest.mark.parametrize("trouble", [OSError("input/output error"), Unreachable("the share is gone")])
def test_a_stream_that_fails_does_not_hold_up_the_others(
    rig: Rig, trouble: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays claimed, is named once, and is read when it can be; nothing is rejected meanwhile."""
    said: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda event, **more: said.append(str(more)), raising=False)
    source, bus = rig.outside("source"), rig.bus()
    bad = Unopened(lines(1), "bad")
    bad.trouble = trouble
    source.waiting.append(bad)
    source.offer(lines(2))
    worker = poller(bus)
    drive(worker, lambda: source.done, "the good one is done")
    for _ in range(3):
        worker.cycle()
    assert (list(source.claimed), source.rejected) == ([bad.id], [])
    assert len(said) == 1
    bad.trouble = None  # type: ignore[assignment]
    drive(worker, lambda: len(source.done) == 2, "both are done")
    assert rig.parked() == []


def test_a_record_that_breaks_its_contract_is_parked_under_its_business_key(rig: Rig) -> None:
    """That is how a person looks for it; its neighbours go on."""
    source, bus = rig.outside("source"), rig.bus()
    source.offer(b'{"number": "one", "key": "no-1"}\n' + lines(2))
    drive(poller(bus), lambda: source.done, "done")
    (row,) = rig.parked()
    assert (row.kind, row.message.subject) == ("contract", "no-1")
    assert rig.depth(QUEUE) == 1


def test_a_record_whose_business_key_cannot_be_told_is_parked(rig: Rig) -> None:
    """The expression fails for this document; it does not stop the file."""
    rig.write("contracts/order/v1.json", '{"type": "object", "properties": {"key": {}}, "x-subject": "$number(key)"}')
    source, bus = rig.outside("source"), rig.bus()
    source.offer(b'{"key": "x"}\n{"key": "7"}\n')
    drive(poller(bus), lambda: source.done, "done")
    assert [row.kind for row in rig.parked()] == ["expression"]
    assert rig.depth(QUEUE) == 1


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.parametrize(("longest", "kind"), [(500, "contract"), (10**6, "message")])
def test_a_record_that_the_broker_cannot_take_is_parked_alone(
    server_rig: Rig, monkeypatch: pytest.MonkeyPatch, longest: int, kind: str
) -> None:
    """Its business key is too long, or whatever else stands in its headers; the others of its file go in."""
    monkeypatch.setattr(contract, "LONGEST_KEY", longest)
    source, bus = server_rig.outside("source"), server_rig.bus()
    source.offer(lines(1, 2) + b'{"number": 3, "key": "%s"}\n' % (b"k" * 140_000) + lines(4))
    drive(poller(bus), lambda: source.done, "done")
    (row,) = server_rig.parked()
    assert (row.kind, json.loads(row.message.body)["number"]) == (kind, 3)
    assert (server_rig.depth(QUEUE), server_rig.ledger().accepted, source.rejected) == (3, 4, [])


# --- broker, store, others ----------------------------------------------------------------------------------------


def test_a_full_queue_parks_nothing(rig: Rig) -> None:
    """The claim stays where it is, and goes on when there is room."""
    bus = rig.bus(prepare=False)
    bus.broker.declare(Topology((Queue(QUEUE, limit=2),)))
    bus.prepare()
    source, worker = rig.outside("source"), poller(bus)
    source.offer(lines(1, 2))
    drive(worker, lambda: len(source.done) == 1, "the first is in")
    source.offer(lines(3))
    with pytest.raises(module.EsbError, match="takes no more"):
        worker.cycle()
    assert (rig.parked(), rig.ledger().accepted) == ([], 2)
    bus.broker.purge(QUEUE)
    drive(worker, lambda: len(source.done) == 2, "the second is in")


def test_polls_stop_while_the_store_is_down(rig: Rig) -> None:
    """Nothing is claimed; what was claimed stays, and goes on afterwards."""
    source, bus = rig.outside("source"), rig.bus()
    worker = poller(bus)
    source.offer(lines(1))
    with store_down(bus) as tries:
        drive(worker, lambda: tries[0] > 3, "it keeps asking")
        assert len(source.waiting) == 1
    drive(worker, lambda: source.done, "done")
    assert rig.ledger().accepted == 1


def test_stopping_in_the_middle_leaves_the_rest_for_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the batch under way; the next poller goes on behind it."""
    small_batches(monkeypatch)
    source, bus = rig.outside("source"), rig.bus()
    worker = poller(bus)
    source.offer(lines(1, 2, 3, 4, 5))
    enter = worker._door.enter
    worker._door.enter = lambda *a, **m: (enter(*a, **m), worker.stopping.set())[0]  # type: ignore[method-assign]
    worker.cycle()
    worker.finish()
    assert ([claim.position for claim in source.claimed.values()], rig.depth(QUEUE)) == ([2], 2)
    drive(poller(rig.bus()), lambda: source.done, "done")
    assert rig.depth(QUEUE) == 5


def test_only_one_of_two_processes_polls(rig: Rig) -> None:
    """Until it stops, or falls silent."""
    source = rig.outside("source")
    first, second = poller(rig.bus()), poller(rig.bus())
    first.cycle()
    source.offer(lines(1))
    for _ in range(3):
        second.cycle()
    assert len(source.waiting) == 1
    first.finish()
    drive(second, lambda: source.done, "done")


def test_a_poller_that_lost_its_lease_stops_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heir goes on; the one before it does not tell the source that all is done."""
    small_batches(monkeypatch)
    source, bus, other = rig.outside("source"), rig.bus(), rig.bus()
    worker = poller(bus)
    source.offer(lines(1, 2, 3))
    enter = worker._door.enter

    def robbed(*arguments: Any, **more: Any) -> None:
        enter(*arguments, **more)
        lapse(bus)
        with other.store.transaction() as t:
            t.leases.acquire(worker.name, other.context.owner, 60)
        worker._renewed_at = -math.inf  # as a third of its time later

    worker._door.enter = robbed  # type: ignore[method-assign]
    worker.cycle()
    assert source.done == []
    drive(poller(other), lambda: source.done, "done")
    assert rig.ledger().accepted == 3


def test_a_poller_thread_ends_when_it_is_told(rig: Rig) -> None:
    """Also one that polls once an hour."""
    _receive(rig, "poll: 1h")
    worker = poller(rig.bus())
    worker.start()
    until(lambda: worker._fence, "it has polled")
    worker.stop()
    worker.join(5)
    assert not worker.is_alive()


def _receive(rig: Rig, text: str) -> None:
    rig.write(
        "endpoints/source.yaml",
        f"""\
        endpoint: source
        adapter: scripted
        format: {{json: {{records: lines}}}}
        receive: {{contract: order/v1, {text if "poll" in text else "poll: 10ms, " + text}}}
        """,
    )


def lapse(bus: Any) -> None:
    """The lease of whoever polled before has run out."""
    with bus.store.transaction() as t:
        t.connection.run("UPDATE leases SET expires_at = 0")


def test_a_record_that_the_broker_does_not_take_is_parked_and_its_neighbours_come_in(narrow_rig: Rig) -> None:
    """The thing it was in can be read, and is let go as any other."""
    source, bus = narrow_rig.outside("source"), narrow_rig.bus()
    large = {"number": 3, "items": [{"sku": "x" * 120_000}]}
    source.offer(lines(1, 2) + json.dumps(large).encode() + b"\n" + lines(4))
    drive(poller(bus), lambda: source.done, "done")
    (row,) = narrow_rig.parked()
    assert (row.place, row.kind) == ("in:source", "message")
    assert "takes 100000 at most" in row.error
    assert narrow_rig.ledger().accepted == 4


# --- what kills the process ---------------------------------------------------------------------------------------


def _dies_over_it(rig: Rig, point: Point, times: int) -> None:
    for _ in range(times):
        bus = rig.bus(Point(point.name, point.left))
        lapse(bus)
        dies(poller(bus))


@pytest.mark.parametrize("duplicate", ["content", "name", "none"])
def test_what_kills_again_and_again_when_it_comes_again_is_rejected(rig: Rig, duplicate: str) -> None:
    """It is parked and set aside with its reason, as what cannot be read; what lies behind it gets its turn."""
    _receive(rig, f"duplicate: {duplicate}")
    source = rig.outside("source")
    source.offer(lines(1), "bad.jsonl")
    source.offer(lines(2), "good.jsonl")
    _dies_over_it(rig, Point("in: published"), 4 if duplicate == "none" else 5)
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "the good one is done")
    ((claim, reason),) = source.rejected
    assert claim.name == "bad.jsonl"
    assert "four processes died while it was read" in reason
    (row,) = rig.parked()
    assert (row.kind, row.message.body) == ("kills the worker", lines(1))
    with bus.store.reading() as t:
        assert t.connection.rows("SELECT * FROM suspects") == []


def test_a_repeat_that_kills_is_counted_unread(rig: Rig) -> None:
    """Set aside before, and dropped again: it is a duplicate, and kills nobody for ever."""
    source = rig.outside("source")
    source.offer(lines(1))
    drive(poller(rig.bus()), lambda: source.done, "done")
    source.offer(lines(1))
    for _ in range(4):
        bus = rig.bus()
        bus.formats["source"].read = _deadly  # type: ignore[method-assign]
        lapse(bus)
        dies(poller(bus))
    bus = rig.bus()
    bus.formats["source"].read = _deadly  # type: ignore[method-assign]
    lapse(bus)
    drive(poller(bus), lambda: len(source.done) == 2, "it is set aside")
    assert (rig.ledger().duplicate, rig.ledger().repeats, source.rejected, rig.parked()) == (1, 1, [], [])


def test_what_gets_on_is_not_rejected_however_many_die(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is under way at many deaths that others brought about."""
    small_batches(monkeypatch)
    source = rig.outside("source")
    source.offer(lines(*range(1, 16)))
    _dies_over_it(rig, Point("in: published", visit=2), 6)
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "done")
    assert (rig.ledger().accepted, rig.parked()) == (15, [])


def test_what_is_broken_in_the_middle_goes_on_there(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What entered before is not parked with the rest: a retry would bring it in again, under other ids."""
    small_batches(monkeypatch)
    source = rig.outside("source")
    source.offer(lines(1, 2, 3, 4))
    _dies_over_it(rig, Point("in: published", visit=2), 1)
    _dies_over_it(rig, Point("in: published"), 4)
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.rejected, "it is rejected")
    (row,) = rig.parked()
    assert row.message.body == b""
    assert "what is before record 3 has entered" in row.error
    before = rig.depth(QUEUE)
    source.offer(lines(1, 2, 3, 4))
    drive(poller(bus), lambda: source.done, "given once more, it is done")
    assert (rig.depth(QUEUE) - before, rig.ledger().accepted) == (2, 4 + 1)


SHEET = """\
    endpoint: source
    adapter: scripted
    format: {{csv: {{delimiter: "{delimiter}", columns: {{number: {{integer: true}}}}}}}}
    receive: {{contract: order/v1, poll: 10ms}}
    """


@pytest.mark.parametrize(("most", "records"), [(10, 100), (100, 3), (100, 100)])
def test_what_is_broken_is_read_when_it_is_given_once_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, most: int, records: int
) -> None:
    """Too large to be parked whole, no retry could bring it in. What is parked whole is retried, and a repeat here."""
    monkeypatch.setattr(module, "LARGEST", most)
    monkeypatch.setattr(intake, "MOST", records)
    source, sheet = rig.outside("source"), b"number;key\n1;a\n2;b\n3;c\n"
    rig.write("endpoints/source.yaml", SHEET.format(delimiter=","))
    source.offer(sheet)
    drive(poller(rig.bus()), lambda: source.rejected, "it is rejected")
    (row,) = rig.parked()
    kept = most > len(sheet) and records > 3
    assert (row.message.body, "give it once more" in row.error) == (sheet if kept else b"", not kept)

    rig.write("endpoints/source.yaml", SHEET.format(delimiter=";"))
    source.offer(sheet)
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "it is done")
    source.offer(sheet)
    drive(poller(bus), lambda: len(source.done) == 2, "and now a repeat")
    assert (rig.depth(QUEUE), rig.ledger().duplicate) == ((0, 6) if kept else (3, 3))


def test_a_source_that_fails_cleanly_is_nobodys_death(rig: Rig) -> None:
    """The marks are taken back, so it is read when it can be, however often it was tried."""
    source = rig.outside("source")
    bad = Unopened(lines(1), "bad")
    source.waiting.append(bad)
    for _ in range(6):
        bus = rig.bus()
        lapse(bus)
        poller(bus).cycle()  # and the process dies while nothing is under way
    bad.trouble = None  # type: ignore[assignment]
    bus = rig.bus()
    lapse(bus)
    drive(poller(bus), lambda: source.done, "done")
    assert (rig.ledger().accepted, source.rejected) == (1, [])


def test_polls_rest_while_a_suspect_runs_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the poller might kill the process, and the suspect be blamed for it."""
    source, bus = rig.outside("source"), rig.bus()
    source.offer(lines(1))
    worker, alone, seen = poller(bus), bus.context.solitude, []
    enter = worker._door.enter

    def release() -> None:
        seen.append("its turn is over")
        alone.leave("suspect")
        alone.release("suspect")

    monkeypatch.setattr(worker._door, "enter", lambda *arguments: (seen.append("a batch"), enter(*arguments)))
    assert alone.claim("suspect", 0.0)
    threading.Timer(0.2, release).start()
    drive(worker, lambda: source.done, "done")
    assert seen == ["its turn is over", "a batch"]
    assert alone.claim("suspect", 0.0)  # between two polls nothing is under way


def test_a_suspect_waits_for_a_batch_and_not_for_a_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poller gives way between two batches."""
    small_batches(monkeypatch)
    source, bus = rig.outside("source"), rig.bus()
    source.offer(lines(1, 2, 3, 4))
    worker, seen = poller(bus), []
    enter, alone = worker._door.enter, bus.context.solitude

    def release() -> None:
        seen.append("its turn is over")
        alone.release("suspect")

    def entering(*arguments: Any) -> None:
        enter(*arguments)
        if not seen:
            seen.append("it may begin" if alone.claim("suspect", 0.0) else "it waits")
            threading.Timer(0.2, release).start()
        else:
            seen.append("the second batch")

    monkeypatch.setattr(worker._door, "enter", entering)
    worker.cycle()
    assert seen == ["it waits", "its turn is over", "the second batch"]


def _deadly(stream: BinaryIO) -> Any:
    raise Dies
