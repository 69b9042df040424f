"""A whole flow: the way in, errors, what cannot happen, threads."""

from __future__ import annotations

import threading

import pytest

from esb.flow import Flow
from esb.flow.run import located


def test_a_message_is_checked_against_what_its_source_receives(bench):
    """The steps were checked against that contract, so nothing else may enter."""
    result = bench.run("- send: search", {"no": "ticket"})
    assert (result.status, result.step, result.error.kind) == ("failed", "entry", "contract")
    assert "flow sales, step entry (flows/sales.yaml:1)" in str(result.error)


def test_a_message_that_names_another_contract_is_still_checked_against_the_sources(bench):
    """One that was published before the contract changed must not slip through to steps made for the new one."""
    result = bench.run("- send: search", {"orderId": "1", "country": "GB"}, type="order")
    assert (result.status, result.step) == ("failed", "entry")


def test_without_one_the_message_is_checked_against_the_contract_it_names(bench):
    """An endpoint that says nothing may still carry typed messages."""
    assert bench.run("- send: search", {"no": "ticket"}, source="open").status == "failed"
    assert bench.run("- send: search", {"no": "ticket"}, source="open", type="other").status == "completed"


def test_an_event_is_checked_against_its_contract(bench):
    """Whoever published it."""
    bench.write("flows/source.yaml", "flow: source\nfrom: pos\nsteps: [{map: to-order}, {publish: order/v1}]\n")
    result = bench.run("- send: search", {"orderId": "1"}, source="order/v1", type="order")
    assert (result.status, result.error.kind) == ("failed", "contract")


def test_a_message_of_a_foreign_publisher_gets_the_business_key_its_contract_tells(bench):
    """It is found by that, and so is what it leads to; a key that it brought stays."""
    steps = "- filter: $message.subject = '4711'\n- send: search"
    result = bench.run(steps, source="open", subject=None)
    assert (result.status, result.subject) == ("completed", "4711")
    assert result.sends[0].message.subject == "4711"
    assert bench.run("- send: search", source="open", subject="own").subject is None


def test_what_breaks_its_contract_gets_its_business_key_too(bench):
    """Whoever looks for the order finds it parked."""
    result = bench.run("- send: search", {"ticket": "4711", "items": "none"}, subject=None)
    assert (result.error.kind, result.subject) == ("contract", "4711")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", "application/json"), (b"{", "application/json"), (b'"\xff"', "application/json"), (b"{}", "text/csv"),
     (b"[" * 5000 + b"]" * 5000, "application/json"), (b'{"n": 12345678901234567890}', "application/json")],
)  # fmt: skip
def test_what_is_no_json_fails_as_unreadable(bench, body, content_type):
    """Malformed, cut, too deep, or something else altogether."""
    result = bench.run("- send: search", body, source="open", type="other", content_type=content_type)
    assert (result.status, result.error.kind) == ("failed", "decode")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.order+json"])
def test_json_goes_by_several_names(bench, content_type):
    """Parameters and structured suffixes (RFC 6839) do not matter."""
    assert bench.run("- send: search", content_type=content_type).status == "completed"


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), ZeroDivisionError("no"), MemoryError()])
def test_a_fault_of_the_bus_fails_the_message_and_names_the_place(bench, message, monkeypatch, error):
    """It is parked, visibly, with type and line of what broke; the worker lives on."""
    flow = bench.flow("- send: search\n- publish: {event: order/v1, map: to-order}")

    def broken(*_):
        raise error

    monkeypatch.setattr("esb.flow.messaging.derive_id", broken)
    result = flow.run(message())
    assert (result.status, result.step, result.error.kind) == ("failed", "send:search", "internal")
    assert f"unexpected {type(error).__name__} at flow/test_flow.py:" in str(result.error)
    assert (result.sends, result.events) == ((), ())


def test_a_panic_of_an_engine_fails_only_the_message(bench, message, monkeypatch):
    """Engines written in Rust panic with a BaseException."""

    class PanicException(BaseException):
        pass

    def broken(*_):
        raise PanicException("index out of bounds")

    flow = bench.flow("- send: search")
    monkeypatch.setattr("esb.flow.messaging.derive_id", broken)
    assert "unexpected PanicException" in str(flow.run(message()).error)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_no_failure_of_a_message(bench, message, monkeypatch, end):
    """It passes through: the message stays unsettled and comes again."""

    def ending(*_):
        raise end

    flow = bench.flow("- send: search")
    monkeypatch.setattr("esb.flow.messaging.derive_id", ending)
    with pytest.raises(end):
        flow.run(message())


def test_the_failed_step_ends_the_trace(bench):
    """What went well is told before it."""
    result = bench.run("- send: search\n- send: warehouse.order\n- send: search")
    assert [(t.step, t.outcome) for t in result.steps] == [
        ("send:search", "search"),
        ("send:warehouse.order", "failed: contract"),
    ]


def test_an_error_keeps_what_it_knows(bench):
    """The place is put in front; violations stay for whoever shows them."""
    error = bench.run("- send: warehouse.order").error
    assert error.contract == "warehouse.order/v1"
    assert len(error.violations) == 2


def test_an_error_is_placed_once(bench):
    """However many hands it passes through."""
    flow = bench.flow("- send: search")
    error = located(KeyError("x"), flow.name, flow._entry)
    assert str(located(error, flow.name, flow._entry)).count("step entry") == 1


def test_a_message_that_failed_leaves_nothing_behind(bench, message):
    """The next one runs as if it were the first."""
    flow = bench.flow("- map: to-order\n- send: search")
    good = flow.run(message())
    assert flow.run(message({"ticket": "1"})).status == "failed"
    assert flow.run(message()) == good


def test_one_flow_serves_many_threads(bench, message):
    """Compiled once, no state of a message in it: each thread gets its own message's result."""
    flow = bench.flow("""
        - map: to-order
        - choose: [{when: country = "GB", do: {set: {id: $message.id}}}, {otherwise: {set: {id: {const: none}}}}]
        - send: search
        """)
    wrong: list[str] = []
    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=_hammer, args=(flow, message, number, barrier, wrong)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def _hammer(flow: Flow, message, number: int, barrier: threading.Barrier, wrong: list[str]) -> None:
    barrier.wait(10)
    for turn in range(300):
        ticket = f"{number}-{turn}"
        result = flow.run(message({"ticket": ticket, "country": "GB"}, id=f"id-{ticket}"))
        if result.error or result.sends[0].message.body != _order(ticket):
            wrong.append(str(result))


def _order(ticket: str) -> bytes:
    return f'{{"orderId":"SO-{ticket}","country":"GB","id":"id-{ticket}"}}'.encode()
