"""Cases on the real engine: recovery, time that passes at once, several messages, what waits for a person."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from esb.bus import Bus
from esb.cases.run import CaseResult, run_cases
from esb.config import load
from esb.discovery import discover
from esb.errors import ConfigError
from esb.flow import build_parts

FILES = {
    "esb.yaml": "bus: shop\n",
    "endpoints/in.yaml": """\
        endpoint: in
        adapter: memory
        settings: {}
        format: {csv: {}}
        receive: {contract: order/v1}
        """,
    "endpoints/out.yaml": """\
        endpoint: out
        adapter: memory
        settings: {}
        recovery: {retries: 1, delays: [10s, 2h]}
        operations: {put: {effect: keyed}, shoot: {effect: unkeyed}, ask: {effect: keyed}}
        """,
    "contracts/order/v1.json": json.dumps(
        {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}, "x-subject": "id"}
    ),
    "contracts/done/v1.json": json.dumps({"type": "object"}),
    "flows/main.yaml": """\
        flow: main
        from: in
        steps:
          - filter: id != "none"
          - send: out.put
          - publish: done/v1
        """,
    "flows/after.yaml": "flow: after\nfrom: done/v1\nsteps: [{send: out.shoot}]\n",
    "flows/asking.yaml": """\
        flow: asking
        from: order/v1
        steps:
          - {call: out.ask, as: answer}
          - send: {to: out.put, map: {set: {got: answer.x}}}
        """,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A bus with a flow."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


def run(shop: Path, case: str, flow: str = "main", head: str = "") -> list[str]:
    """What is different in one case, written as YAML."""
    text = f"flow: {flow}\n{head}cases:\n  - name: it\n{textwrap.indent(textwrap.dedent(case), '    ')}"
    (shop / "flows/it.test.yaml").write_text(text)
    return list(result(shop).problems)


def result(shop: Path) -> CaseResult:
    definition = load(shop, discover(), environ={})
    (found,) = run_cases(definition, build_parts(definition))
    return found


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "expect"),
    [
        ("[{failed: unreachable}, {done: null}]", "{attempts: 2, status: completed, at: 0s}"),
        ("[{failed: busy}, {failed: busy}, {done: 1}]", "{attempts: 3, status: completed}"),
        ("{failed: unreachable}", "{attempts: 6, status: parked}"),
        ("{failed: refused}", "{attempts: 1, status: parked}"),
        ("nothing", "{attempts: 0}"),
    ],
)
def test_recovery_is_the_endpoints_own(shop: Path, answers: str, expect: str) -> None:
    """Immediate retries, later ones, and an end: the attempts meet one answer after the other."""
    sends = f"[{{to: out.put, {expect[1:]}]"
    assert (
        run(shop, f"given: {{document: {{id: A}}}}\nanswers: {{out.put: {answers}}}\nexpect: {{sends: {sends}}}\n")
        == []
    )


def test_what_waits_for_a_person_is_expected_by_place_and_reason(shop: Path) -> None:
    """Wherever it lies; what is not expected is a difference, and so is what is not there."""
    case = "given: {document: {id: A}}\nanswers: {out.put: {failed: refused, text: sold out}}\nexpect: {parked: %s}\n"
    assert run(shop, case % "[{place: 'out:out', kind: refused, contains: sold out, subject: A}]") == []
    assert run(shop, case % "[]") == ["not expected to be parked: out:out, refused: sold out"]
    assert run(shop, case % "[{kind: busy}]") == [
        "parked 1: expected kind busy, got refused", "not expected to be parked: out:out, refused: sold out",
    ]  # fmt: skip
    none = "given: {document: {id: A}}\nexpect: {parked: [{kind: refused}]}\n"
    assert run(shop, none) == ["parked 1: there is none"]


def test_nobody_knows_whether_it_took_place(shop: Path) -> None:
    """An unkeyed send that is interrupted is in doubt, as in operation."""
    given = "given: {document: {id: A}}\nanswers: {out.shoot: {failed: interrupted}}\n"
    expect = "expect: {sends: [{to: out.shoot, status: in doubt}], parked: [{kind: in doubt}]}\n"
    assert run(shop, given + expect, flow="after") == []


def test_an_answer_for_one_document_only(shop: Path) -> None:
    """What was refused is refused again; any other document is taken."""
    answers = "answers: {out.put: [{asked: {id: A}, failed: refused}]}\n"
    assert (
        run(shop, f"given: {{document: {{id: A}}}}\n{answers}expect: {{sends: [{{to: out, status: parked}}]}}\n") == []
    )
    assert (
        run(shop, f"given: {{document: {{id: B}}}}\n{answers}expect: {{sends: [{{to: out, status: completed}}]}}\n")
        == []
    )


# --- time -------------------------------------------------------------------------------------------------------------


def test_time_passes_until_nothing_is_left_to_happen(shop: Path) -> None:
    """A delay of two hours takes no time; when something went out is counted from the beginning."""
    case = """\
        given: {document: {id: A}}
        answers: {out.ask: [{failed: busy}, {failed: busy}, {failed: busy}, {failed: busy}, {done: {x: 1}}]}
        expect: {sends: [{to: out.put, document: {got: 1}, at: %s}], calls: [{to: out.ask, attempts: 5}]}
        """
    assert run(shop, case % "2h10s", flow="asking") == []
    assert run(shop, case % "2h", flow="asking") == ["send out.put:", "  expected at 2h, got 2h 10s"]


def test_time_that_is_stated_ends_the_case(shop: Path) -> None:
    """Where the last thing given is that time passes, what comes later is not waited for."""
    given = "given: [{document: {id: A}}, {after: 1h}]\nanswers: {out.put: {failed: busy}}\n"
    assert run(shop, f"{given}expect: {{sends: [{{to: out.put, status: retrying, attempts: 4}}]}}\n") == []


def test_messages_arrive_one_after_the_other(shop: Path) -> None:
    """Each at its time, with an id of its own unless it says that it is the same; the worst status counts."""
    given = "given: [{document: {id: A}}, {document: {id: none}, after: 5m}, {document: {id: B}, after: 10s, id: x}]\n"
    sends = "[{to: out.put, subject: A, at: 0s}, {to: out.put, subject: B, at: 5m 10s}]"
    assert (
        run(
            shop,
            f"{given}expect: {{status: completed, sends: {sends}}}\n",
        )
        == []
    )


def test_the_same_message_twice_has_one_effect(shop: Path) -> None:
    """Its copies have the ids of the first, which the inbox knows."""
    given = "given: [{document: {id: A}, id: a}, {document: {id: A}, id: a, after: 1s}]\n"
    assert run(shop, f"{given}expect: {{sends: [{{to: out.put, attempts: 1}}, {{to: out.put}}]}}\n") == []


# --- what is given and what goes out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ['{text: "id,n\\nA,1\\n", through: in}', "{base64: aWQsbgpBLDEK, through: in}"])
def test_bytes_come_in_through_their_endpoint(shop: Path, given: str) -> None:
    """Stated in the case itself; format, records and contract are the endpoint's."""
    assert run(shop, f"given: {given}\nexpect: {{sends: [{{to: out.put, document: {{id: A, n: '1'}}}}]}}\n") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{base64: '!', through: in}", "base64: it cannot be read"),
        ("{text: x, through: out}", "nothing comes in through 'out'"),
        ("{message: '4711'}", "this bus has not run yet"),
    ],
)
def test_what_cannot_be_given_is_said(shop: Path, given: str, said: str) -> None:
    """The case fails with the reason."""
    assert said in run(shop, f"given: {given}\nexpect: {{}}\n")[0]


def test_a_stored_message_is_given_again(shop: Path) -> None:
    """By its id or its business key, as the bus has stored it."""
    from tests.worker.rig import drive, flow_worker

    bus = Bus(load(shop, discover(), environ={}), discover())
    bus.prepare()
    from esb.broker.port import Outgoing, flow_queue
    from esb.message import create

    message = create(b'{"id": "S"}', type="order", version=1, source="in", subject="S", headers={"h": "1"})
    publisher = bus.broker.publisher()
    publisher.publish([Outgoing(message, flow_queue("main"))])
    seen: list[Any] = []

    def tracked() -> bool:
        with bus.store.reading() as t:
            seen[:] = t.tracking.find(subject="S")
        return bool(seen)

    drive(flow_worker(bus), tracked, "the flow is through")
    bus.close()
    for wanted in (message.id, "S"):
        expect = "expect: {sends: [{to: out.put, subject: S, document: {id: S}}]}\n"
        assert run(shop, f"given: {{message: {wanted!r}}}\n{expect}") == []
    assert "no message 'T'" in run(shop, "given: {message: T}\nexpect: {}\n")[0]


def test_headers_and_keys_of_what_goes_out(shop: Path) -> None:
    """Those that are named; others may be there."""
    given = "given: {document: {id: A}, headers: {a: '1', b: '2'}}\n"
    assert run(shop, f"{given}expect: {{sends: [{{to: out, headers: {{a: '1'}}, subject: A}}]}}\n") == []
    wrong = run(shop, f"{given}expect: {{publishes: [{{event: done/v1, headers: {{a: '2', c: x}}, subject: B}}]}}\n")
    assert wrong == [
        "publish done/v1:", '  header a: expected "2", got "1"', '  header c: expected "x", got nothing',
        "  expected subject B, got A",
    ]  # fmt: skip


def test_only_the_flow_under_test_runs_unless_others_are_named(shop: Path) -> None:
    """Whoever else wants its events is not there, or is."""
    case = "given: {document: {id: A}}\nexpect: {sends: %s}\n"
    assert run(shop, case % "[{to: out.put}]") == []
    assert run(shop, case % "[{to: out.put}, {to: out.shoot}]", head="also: [after]\n") == []
    with pytest.raises(ConfigError, match="There is no flow 'aftr'"):
        run(shop, case % "[]", head="also: [aftr]\n")


def test_a_failure_that_nothing_has(shop: Path) -> None:
    """A slip in a kind would make the case test something else."""
    said = run(shop, "given: {document: {id: A}}\nanswers: {out: {failed: unreachible}}\nexpect: {}\n")
    assert said == ["there is no failure of kind 'unreachible': did you mean 'unreachable'?"]


def test_what_goes_on_for_ever_is_cut_off(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case says so instead of hanging."""
    monkeypatch.setattr("esb.cases.bench.MOST", 50)
    endpoint = (shop / "endpoints/out.yaml").read_text().replace("10s, 2h", ", ".join(["1s"] * 60))
    (shop / "endpoints/out.yaml").write_text(endpoint)
    (said,) = run(shop, "given: {document: {id: A}}\nanswers: {out: {failed: busy}}\nexpect: {}\n")
    assert "on and on" in said
