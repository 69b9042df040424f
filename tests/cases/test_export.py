"""Failed messages as test cases: they fail as the messages failed, and pass once what is wrong is mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esb.cases.export import Exported, export
from esb.cases.files import read_cases
from esb.cases.placeholders import filled
from esb.cases.run import run_files
from esb.config import load
from esb.contract import Contract
from esb.errors import EsbError, Refused
from esb.flow import build_parts
from esb.message import Message, create
from esb.ports import Reply
from tests.worker.rig import (
    COMPONENTS,
    ORDER,
    Rig,
    drive,
    endpoint_worker,
    feed,
    flow_worker,
    inbound_worker,
    order,
    put,
)

CARD = "4111111111111111"
PRICE = {
    "type": "object",
    "required": ["price"],
    "properties": {"price": {"type": "number"}, "pin": {"type": "integer"}},
}
TARGET = """\
    endpoint: target
    adapter: scripted
    recovery: {{retries: 0, delays: []}}
    operations:
      put: {{effect: keyed}}
      ask: {{effect: keyed, reply: price/v1}}
    """
FLOW = """\
    flow: main
    from: source
    steps:
      - call: {to: target.ask, as: answer}
      - map: total
      - send: target.put
    """
WRONG, RIGHT = "$number(answer.price & 'x')", "answer.price"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A bus whose flow asks for a price and makes a mistake with it."""
    rig = Rig(tmp_path)
    card = {"type": "string", "pattern": "^[0-9]{16}$"}
    rig.write(
        "contracts/order/v1.json",
        json.dumps({**ORDER, "properties": {**ORDER["properties"], "card": card, "note": {}}, "x-mask": ["card"]}),
    )
    rig.write("contracts/price/v1.json", json.dumps({**PRICE, "x-mask": ["pin"]}))
    rig.write("endpoints/target.yaml", TARGET.format())
    rig.write("flows/main.yaml", FLOW)
    mend(rig, WRONG)
    yield rig
    rig.close()


def mend(rig: Rig, total: str) -> None:
    """The mapping of the flow."""
    rig.write("mappings/total.yaml", f'mapping: total\nset: {{number: number, total: "{total}"}}\n')


def fail(rig: Rig, message: Message) -> Any:
    """Run it to where it is parked."""
    bus = rig.bus()
    rig.outside("target").script = lambda request: (
        Reply(body=b'{"price": 5, "pin": 1234}', content_type="application/json")
        if request.operation == "ask"
        else None
    )
    feed(bus, message)
    flows, endpoint = flow_worker(bus), endpoint_worker(bus)

    def parked() -> bool:
        endpoint.cycle()
        return bool(rig.parked())

    drive(flows, parked, "it is parked")
    return bus


def exported(rig: Rig) -> Exported:
    """The one that is parked."""
    bus = rig.last
    with bus.store.reading() as t:
        return export(t, bus.definition, bus.parts, rig.parked()[0])


def problems(rig: Rig, case: Exported) -> list[str]:
    """What is wrong with it, by the files as they are now."""
    definition = load(rig.root, COMPONENTS, environ={})
    (result,) = run_files(read_cases(case.text, case.file), definition, build_parts(definition))
    return list(result.problems)


def test_it_fails_as_it_failed_until_the_mapping_is_mended(rig: Rig) -> None:
    """With the reply that it met, without which it would wait."""
    fail(rig, order(1, card=CARD))
    case, (row,) = exported(rig), rig.parked()
    assert case.file == "flows/main.test.yaml"
    (said,) = problems(rig, case)
    assert said == f"expected status completed, got failed: {row.error}"
    mend(rig, RIGHT)
    assert problems(rig, case) == []


def test_what_is_hidden_is_replaced(rig: Rig) -> None:
    """In what came and in what was answered; by something that its contract takes. The rest is as it was."""
    fail(rig, order(1, card=CARD))
    text = exported(rig).text
    assert CARD not in text
    assert "1234" not in text
    assert "***" not in text
    assert "card: '0000000000000000'" in text
    assert "price: 5" in text


def test_no_secret_gets_into_it(rig: Rig) -> None:
    """Not even where a document repeats one."""
    rig.write("esb.yaml", "bus: rig\nbroker: embedded\ndatabase: embedded\nencryption: {{keys: ['secret:file:key']}}\n")
    (rig.root / "key").write_text("K" * 43 + "=")
    fail(rig, order(1, note=f"the key is {'K' * 43}="))
    text = exported(rig).text
    assert "K" * 10 not in text
    assert "the key is" in text


def test_what_a_system_refused_is_refused_again_until_it_is_sent_something_else(rig: Rig) -> None:
    """The answer is meant for that document; a mended mapping makes another one."""
    mend(rig, RIGHT)
    bus = rig.bus()

    def refuse(request: Any) -> Reply | None:
        if request.operation == "put":
            raise Refused("total must be text")
        return Reply(body=b'{"price": 5}', content_type="application/json")

    rig.outside("target").script = refuse
    feed(bus, order(1))
    flows, endpoint = flow_worker(bus), endpoint_worker(bus)
    drive(flows, lambda: endpoint.cycle() or rig.parked(), "it is parked")
    case = exported(rig)
    assert problems(rig, case) == ["not expected to be parked: out:target, refused: total must be text"]
    mend(rig, "$string(answer.price)")
    assert problems(rig, case) == []


def test_a_part_that_failed_is_a_case_of_the_whole(rig: Rig) -> None:
    """Its message came as one."""
    rig.write(
        "flows/main.yaml", "flow: main\nfrom: source\nsteps: [{split: items}, {map: total}, {send: target.put}]\n"
    )
    mend(rig, "$number(sku)")
    fail(rig, order(1, items=[{"sku": "1"}, {"sku": "A"}]))
    case = exported(rig)
    assert problems(rig, case)[0] == "expected 0 failed parts, got 1"
    mend(rig, "sku")
    assert problems(rig, case) == []


@pytest.mark.parametrize(("raw", "kept"), [(b"{", "text: '{'"), (b"\xff\x00", "base64: /wA=")])
def test_bytes_that_could_not_be_read(rig: Rig, raw: bytes, kept: str) -> None:
    """As they came, through their endpoint."""
    rig.write("contracts/order/v1.json", json.dumps(ORDER))
    unreadable(rig, raw)
    case = exported(rig)
    assert kept in case.text
    assert "got failed" in problems(rig, case)[0]


def test_bytes_in_which_something_is_hidden(rig: Rig) -> None:
    """Nobody can tell where, so they are not stored, and there is no case."""
    unreadable(rig, b"{")
    with pytest.raises(EsbError, match="something in it is hidden"):
        exported(rig)


def unreadable(rig: Rig, raw: bytes) -> None:
    """Bytes that are parked where they came in."""
    put(rig.bus(), "esb.in.source", create(raw, type="source", source="source", content_type="application/json"))
    drive(inbound_worker(rig.last), rig.parked, "it is parked")


def test_nothing_is_known_of_where_it_came_from(rig: Rig) -> None:
    """Then there is no case."""
    from tests.worker.rig import send

    bus = rig.bus()
    rig.outside("target").script = lambda request: (_ for _ in ()).throw(Refused("no"))
    send(bus, order(1))
    drive(endpoint_worker(bus), rig.parked, "it is parked")
    with pytest.raises(EsbError, match="not in the journey"):
        exported(rig)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": "^[A-Z]{2}[0-9]{20}$"}, "AA" + "0" * 20),
        ({"type": "string", "format": "email"}, "nobody@example.com"),
        ({"type": "integer", "minimum": 18, "maximum": 20}, 18),
        ({"type": "number", "exclusiveMinimum": 7}, 8),
        ({"enum": ["A", "B"]}, "A"),
        ({"type": "boolean"}, False),
        ({"type": "string", "minLength": 5}, "xxxxx"),
        ({"type": "string", "pattern": "^(?:ab|cd)-z$"}, "***"),
        ({}, "x"),
    ],
)
def test_something_fit_in_the_place_of_what_is_hidden(schema: Any, value: Any) -> None:
    """Of the same kind; where nothing can be found it stays hidden."""
    whole = {"type": "object", "properties": {"lines": {"type": "array", "items": {"properties": {"x": schema}}}}}
    schemas = {"o/v1": whole}
    found = filled({"lines": [{"x": "***"}, {"y": 1}], "z": 2}, Contract("o/v1", whole, schemas), schemas)
    assert found == {"lines": [{"x": value}, {"y": 1}], "z": 2}
