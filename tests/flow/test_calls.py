"""Calls: a message waits for an answer without anybody holding it, and goes on where the answer arrives."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from esb.flow import Continuation, Failure, Flow, Result
from tests.flow.conftest import Bench, message

STOCK = {"type": "object", "properties": {"left": {"type": "integer"}, "place": {"type": "string"}}}
ENDPOINT = """\
    endpoint: stock
    adapter: fake
    operations:
      ask: {reply: stock/v1, effect: idempotent}
      tell: {effect: idempotent}
    """
REFUSED = Failure(kind="refused", text="sold out", endpoint="stock.ask")


@pytest.fixture
def shop(bench: Bench) -> Bench:
    bench.components.adapters["fake"].features = msgspec.structs.replace(
        bench.components.adapters["fake"].features, replies=True
    )
    bench.write("endpoints/stock.yaml", ENDPOINT)
    bench.write("contracts/stock/v1.json", json.dumps(STOCK))
    return bench


def carried(result: Result, number: int = 0) -> Continuation:
    """What the call left behind, as it comes back: through JSON."""
    return msgspec.json.decode(msgspec.json.encode(result.calls[number].continuation), type=Continuation)


def document(result: Result, number: int = 0) -> Any:
    return json.loads(result.sends[number].message.body)


def start(shop: Bench, steps: str) -> tuple[Flow, Result]:
    flow = shop.flow(steps)
    return flow, flow.run(message())


def test_a_call_ends_the_leg(shop: Bench) -> None:
    """What stands behind it has not happened yet; the request goes out, with an id that derives from the message's."""
    flow, first = start(shop, "- call: stock.ask\n- send: stock.tell")
    assert (first.status, first.sends) == ("waiting", ())
    (call,) = first.calls
    assert (call.endpoint, call.operation, call.step) == ("stock", "ask", "call:stock.ask")
    assert flow.run(message()).calls[0].message.id == call.message.id


def test_the_answer_stands_under_its_name(shop: Bench) -> None:
    """And the message goes on behind the call, the same each time the answer comes."""
    flow, first = start(shop, "- call: stock.ask\n  as: stock\n- send: stock.tell")
    results = [flow.resume(carried(first), {"left": 3}) for _ in range(2)]
    assert document(results[0])["stock"] == {"left": 3}
    assert document(results[0])["ticket"] == json.loads(message().body)["ticket"]
    assert [r.sends[0].message.id for r in results] == [results[0].sends[0].message.id] * 2
    assert results[0].status == "completed"


def test_what_is_asked_can_be_mapped(shop: Bench) -> None:
    """The document stays as it is."""
    flow, first = start(shop, "- call: {to: stock.ask, map: {set: {sku: '\"A\"'}}, as: s}\n- send: stock.tell")
    assert json.loads(first.calls[0].message.body) == {"sku": "A"}
    assert "sku" not in document(flow.resume(carried(first), 1))


def test_enrich_takes_the_fields_it_needs(shop: Bench) -> None:
    """`$answer` is what came back; the paths are those of the document."""
    flow, first = start(shop, "- enrich: {to: stock.ask, set: {left: $answer.left}}\n- send: stock.tell")
    assert document(flow.resume(carried(first), {"left": 3, "place": "B"}))["left"] == 3


def test_a_call_in_a_branch_goes_on_behind_the_choose(shop: Bench) -> None:
    """First the rest of the branch, then what follows the choose."""
    steps = """
        - choose:
            - when: 'true'
              do:
                - call: stock.ask
                  as: a
                - set: {seen: a.left}
        - send: stock.tell
        """
    flow, first = start(shop, steps)
    result = flow.resume(carried(first), {"left": 3})
    assert (result.status, document(result)["seen"]) == ("completed", 3)


def test_parts_wait_by_themselves(shop: Bench) -> None:
    """The undivided message goes on at once; each part goes on in the body with its own answer."""
    steps = """
        - split:
            each: items
            do:
              - call: stock.ask
                as: s
              - send: stock.tell
        - publish: order/v1
        """
    shop.write("contracts/order/v1.json", "{}")
    flow, first = start(shop, steps)
    assert (first.status, len(first.events), len(first.calls)) == ("completed", 1, 2)
    results = [flow.resume(carried(first, n), n) for n in (0, 1)]
    assert [(document(r)["s"], r.status, len(r.events)) for r in results] == [(0, "completed", 0), (1, "completed", 0)]
    assert results[0].sends[0].message.causation_id == first.calls[0].owner.id
    assert len({call.owner.id for call in first.calls}) == 2


def test_two_calls_are_two_legs(shop: Bench) -> None:
    """What is counted and traced adds up."""
    flow, first = start(shop, "- send: stock.tell\n- call: stock.ask\n  as: a\n- call: stock.ask\n  as: b")
    second = flow.resume(carried(first), 1)
    assert (second.status, carried(second).sent) == ("waiting", 3)
    third = flow.resume(carried(second), 2)
    assert third.status == "completed"
    assert [(s.step, s.outcome) for s in third.steps] == [
        ("send:stock.tell", "stock.tell"),
        ("call:stock.ask", "asked stock.ask"), ("call:stock.ask", "answered"),
        ("call:stock.ask:2", "asked stock.ask"), ("call:stock.ask:2", "answered"),
    ]  # fmt: skip


def test_a_failed_call_fails_its_message_and_is_asked_again(shop: Bench) -> None:
    """Under the same id, and saying that it has heard of the failure."""
    flow, first = start(shop, "- call: stock.ask\n  as: a\n- send: stock.tell")
    failed = flow.resume(carried(first), failure=REFUSED)
    assert (failed.status, failed.step, failed.error.kind if failed.error else "") == (
        "failed", "call:stock.ask", "refused",
    )  # fmt: skip
    assert failed.again is not None
    second = flow.resume(failed.again)
    assert second.status == "waiting"
    assert second.calls[0].message.id == first.calls[0].message.id
    assert (carried(second).asked, carried(second).sent) == (1, 1)
    assert flow.resume(carried(second), 1).status == "completed"


def test_what_fails_behind_a_call_goes_on_behind_it(shop: Bench) -> None:
    """Nothing is asked again: the answer is in the document."""
    flow, first = start(shop, "- call: stock.ask\n  as: a\n- filter: a\n- send: stock.tell")
    failed = flow.resume(carried(first), "no boolean")
    assert failed.status == "failed" and failed.again is not None
    assert json.loads(bytes(failed.again.document))["a"] == "no boolean"
    mended = shop.flow("- call: stock.ask\n  as: a\n- send: stock.tell")
    result = mended.resume(failed.again)
    assert (result.status, result.calls, document(result)["a"]) == ("completed", (), "no boolean")


def test_on_error_takes_a_failed_call(shop: Bench) -> None:
    """`$error` tells what happened; behind it the message goes on."""
    steps = """
        - call: stock.ask
          as: a
          on_error: {set: {a: '$error.kind & ": " & $error.text & " at " & $error.step & " of " & $error.endpoint'}}
        - send: stock.tell
        """
    flow, first = start(shop, steps)
    result = flow.resume(carried(first), failure=REFUSED)
    assert document(result)["a"] == "refused: sold out at call:stock.ask of stock.ask"
    assert flow.resume(carried(first), 1).sends[0].message.id == result.sends[0].message.id


def test_on_error_of_a_flow_takes_what_no_step_does(shop: Bench) -> None:
    """Before a call and behind it; what came before in the same leg does not go out."""
    shop.write(
        "flows/sales.yaml",
        """\
        flow: sales
        from: pos
        steps:
          - call: stock.ask
            as: a
          - send: stock.tell
          - filter: a
        on_error:
          send: {to: stock.tell, map: {set: {why: $error.kind}}}
        """,
    )
    from esb.config import load
    from esb.flow import build_parts

    flow = build_parts(load(shop.root, shop.components, environ={})).flows["sales"]
    first = flow.run(message())
    for result in (flow.resume(carried(first), failure=REFUSED), flow.resume(carried(first), "no boolean")):
        assert result.status == "completed"
        assert [send.step for send in result.sends] == ["send:stock.tell:2"]
    assert document(flow.resume(carried(first), "no boolean")) == {"why": "expression"}


def test_an_on_error_may_call_too(shop: Bench) -> None:
    """And goes on behind the step that failed."""
    steps = """
        - call: stock.ask
          as: a
          on_error:
            - call: {to: stock.tell, as: b}
            - set: {c: $error.kind}
        - send: stock.tell
        """
    flow, first = start(shop, steps)
    second = flow.resume(carried(first), failure=REFUSED)
    assert (second.status, second.calls[0].operation) == ("waiting", "tell")
    result = flow.resume(carried(second), 2)
    assert (document(result)["b"], document(result)["c"]) == (2, "refused")


def test_an_on_error_that_fails_is_tried_again_without_asking(shop: Bench) -> None:
    """It is parked in the on_error, with the failure that it is about."""
    steps = "- call: stock.ask\n  on_error: [{filter: ticket}]\n- send: stock.tell"
    flow, first = start(shop, steps)
    failed = flow.resume(carried(first), failure=REFUSED)
    assert (failed.status, failed.step) == ("failed", "filter")
    assert failed.again is not None and failed.again.go == "failed"
    mended = shop.flow("- call: stock.ask\n  on_error: [{set: {why: $error.text}}]\n- send: stock.tell")
    assert document(mended.resume(failed.again))["why"] == "sold out"


def test_an_on_error_around_a_choose_takes_what_fails_in_it_later(shop: Bench) -> None:
    """The guard holds over the wait."""
    steps = """
        - choose:
            - when: 'true'
              do: [{call: stock.ask, as: a}, {filter: a}]
          on_error: {set: {region: '"none"'}}
        - send: stock.tell
        """
    flow, first = start(shop, steps)
    assert document(flow.resume(carried(first), "no boolean"))["region"] == "none"
    assert document(flow.resume(carried(first), failure=REFUSED))["region"] == "none"


def test_a_step_that_is_gone_says_so(shop: Bench) -> None:
    """The message is not lost: it fails, and waits for a person."""
    _, first = start(shop, "- call: stock.ask\n- send: stock.tell")
    result = shop.flow("- send: stock.tell").resume(carried(first), 1)
    assert result.status == "failed"
    assert "no longer in the flow" in str(result.error)


# --- what check knows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "kind", "word"),
    [
        ("- {call: stock.ask, as: s}\n- filter: s.lft > 3", "unknown-path", "left"),
        ("- enrich: {to: stock.ask, set: {x: $answer.lft}}", "unknown-path", "left"),
        ("- {call: stock.ask, as: s, on_error: {set: {x: $eror.kind}}}", "unknown-path", "error"),
        ("- set: {x: $error.kind}", "unknown-path", ""),
        ("- call: stock.aks", "unknown-operation", "stock.ask"),
        ("- split: {each: items, together: true, do: {call: stock.ask}}", "unsupported", ""),
        ("- call: {to: stock.ask, on_error: {filter: 'true'}}\n  on_error: {filter: 'true'}", "duplicate-key", ""),
        ("- call: {to: stock.ask}\n  as: s", "unknown-key", ""),
        ("- set: {region: {code: '\"x\"'}}\n- filter: region.cde = 1", "unknown-path", "code"),
        ("- set: {region: '\"x\"'}\n- filter: tickett = 1", "unknown-path", "ticket"),
    ],
)
def test_slips_around_calls_are_found(shop: Bench, steps: str, kind: str, word: str) -> None:
    """With the nearest word, where there is one."""
    found = [f for f in shop.check(steps).findings if f.level == "error"]
    assert [(f.kind, word in f.hint) for f in found] == [(kind, True)]


@pytest.mark.parametrize(
    "steps",
    [
        "- {call: stock.ask, as: s}\n- filter: s.left > 3",
        "- {call: stock.tell, as: s}\n- filter: s.anything.goes",
        "- {call: stock.ask, map: {set: {a: ticket}}, as: s, timeout: 10s, name: look}\n- filter: ticket = 's'",
        "- {call: stock.ask, as: s, on_error: [{set: {s: {left: {const: 0}}}}]}\n- filter: s.left > 3",
    ],
)
def test_what_is_right_is_not_a_finding(shop: Bench, steps: str) -> None:
    """Answers without a contract are open."""
    assert [f for f in shop.check(steps).findings if f.level == "error"] == []


def test_a_list_whose_items_are_not_described_is_open(shop: Bench) -> None:
    """`items[0].sku` may be there."""
    contract = {"type": "object", "properties": {"items": {"type": "array"}}}
    shop.write("contracts/stock/v1.json", json.dumps(contract))
    found = shop.check("- {call: stock.ask, as: s}\n- filter: s.items[0].sku = 'A'").findings
    assert [f for f in found if f.level == "error"] == []
