"""``*.test.yaml``: cases run on the real engine, and mistakes in them are found as in any file."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from esb.cases.run import CaseResult, run_cases
from esb.config import Components, load
from esb.errors import ConfigError
from esb.flow import STEPS, build_parts
from esb.formats import FORMATS
from esb.ports import Adapter, Features

ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {name: {"type": "string"} for name in ("id", "land", "when", "who")},
    "x-subject": "id",
}
FILES = {
    "esb.yaml": "bus: test\n",
    "lookups/names.csv": "code,name\nGB,Britain\n",
    "contracts/order/v1.json": json.dumps(ORDER),
    "contracts/sale/v1.json": json.dumps(
        {
            "type": "object",
            "required": ["ticket"],
            "properties": {name: {} for name in ("ticket", "cc", "lines", "n")},
            "x-subject": "ticket",
        }
    ),
    "endpoints/pos.yaml": """\
        endpoint: pos
        adapter: fake
        format: {csv: {delimiter: ";", encoding: cp1252}}
        records: {group_by: ticket, lines: lines}
        receive: {contract: sale/v1}
        """,
    "endpoints/out.yaml": "endpoint: out\nadapter: fake\noperations: {order: {contract: order/v1}, note: {}}\n",
    "mappings/to-order.yaml": """\
        mapping: to-order
        from: sale/v1
        to: order/v1
        lookups: {names: lookups/names.csv}
        set: {id: ticket, land: $names(cc), when: $now(), who: $message.subject}
        """,
    "flows/sales.yaml": """\
        flow: sales
        from: pos
        steps:
          - filter: ticket != "0"
          - split: {each: n, do: [{set: {x: 1}}, {send: out.note}]}
          - send: out.note
          - map: to-order
          - send: out.order
          - publish: order/v1
        """,
}


class Fake(Adapter):
    """Never opened."""

    kind = "fake"
    features = Features(polls=True, sends=True, replies=True)


class Bench:
    """A bus directory whose cases each test writes itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())

    def run(self, select: str | None = None) -> list[CaseResult]:
        components = Components(adapters={"fake": Fake}, formats=FORMATS, steps=STEPS)
        definition = load(self.root, components, environ={})
        return list(run_cases(definition, build_parts(definition), select))

    def mapping(self, case: str) -> CaseResult:
        self.write("mappings/to-order.test.yaml", f"mapping: to-order\ncases:\n  - {{name: one, {case}}}\n")
        return self.run()[0]

    def flow(self, expect: str, given: str = "document: {ticket: '7', cc: GB}") -> CaseResult:
        text = f"flow: sales\ncases:\n  - name: one\n    given: {{{given}}}\n    expect: {{{expect}}}\n"
        self.write("flows/sales.test.yaml", text)
        return self.run()[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


MADE = "{id: '7', land: Britain, when: '2026-01-01T00:00:00.000Z'}"


@pytest.mark.parametrize(
    "case",
    [
        f"given: {{ticket: '7', cc: GB}}, expect: {MADE}",
        "given: {ticket: '7', cc: GB}, expect_partial: {land: Britain}",
        "given: {ticket: '7', cc: XX}, error: {leaf: land, kind: mapping, contains: names}",
        "given: {cc: GB}, error: {kind: contract, contains: id}",
        "given: {file: samples/sale.json}, expect_partial: {id: '8'}",
    ],
)
def test_a_mapping_case_passes_when_it_is_as_expected(bench, case):
    """All of it, a part of it, or the error."""
    bench.write("samples/sale.json", '{"ticket": "8", "cc": "GB"}')
    assert bench.mapping(case).problems == ()


@pytest.mark.parametrize(
    ("case", "piece"),
    [
        ("given: {ticket: '7', cc: GB}, expect: {id: '7', land: France}", '-  "land": "France"'),
        ("given: {ticket: '7', cc: GB}, expect_partial: {land: France}", '/land: expected "France", got "Britain"'),
        ("given: {ticket: '7', cc: GB}, expect_partial: {lnd: 1}", "/lnd: expected 1, got nothing"),
        ("given: {ticket: '7', cc: XX}, expect: {}", "expected a document, got an error: mappings/to-order.yaml:5"),
        ("given: {ticket: '7', cc: GB}, error: {leaf: land}", "expected an error, got a document"),
        ("given: {ticket: '7', cc: XX}, error: {leaf: id}", "error: expected leaf id, got land"),
        ("given: {ticket: '7', cc: XX}, error: {kind: contract}", "error: expected kind contract, got mapping"),
        ("given: {ticket: '7', cc: XX}, error: {contains: towns}", 'error: expected "towns" in: mappings/'),
        ("given: {file: samples/none.json}, expect: {}", "samples/none.json cannot be read"),
        ("given: {file: ../../../etc/passwd}, expect: {}", "lies outside the bus directory"),
    ],
)
def test_a_mapping_case_fails_with_the_difference(bench, case, piece):
    """A person sees at once what is not as expected."""
    result = bench.mapping(case)
    assert not result.passed
    assert piece in "\n".join(result.problems)


@pytest.mark.parametrize(
    ("expect", "given"),
    [
        ("sends: [{to: out.note}, {to: out}], publishes: [{event: order/v1}]", None),
        ("sends: [{to: out.note, document: {ticket: '7', cc: GB}}, {to: out.order, partial: {land: Britain}}]", None),
        ("publishes: [{event: order/v1, partial: {who: '7'}}]", None),
        ("publishes: [{event: order/v1, partial: {who: K}}]", "document: {ticket: '7', cc: GB}, subject: K"),
        (
            "publishes: [{event: order/v1, partial: {when: '2020-05-01T00:00:00.000Z'}}]",
            "document: {ticket: '7', cc: GB}, time: '2020-05-01T00:00:00Z'",
        ),
        ("status: filtered, sends: [], publishes: []", "document: {ticket: '0'}"),
        ("error: {step: map:to-order, kind: mapping, contains: XX}", "document: {ticket: '7', cc: XX}"),
        ("status: failed, sends: []", "document: {}"),
        ("failed_parts: [{step: set, kind: mapping}]", "document: {ticket: '7', cc: GB, n: [{}, 2]}"),
    ],
)
def test_a_flow_case_passes_when_it_is_as_expected(bench, expect, given):
    """What goes out, where it ends, or where it fails; what is not said is not looked at."""
    result = bench.flow(expect, given) if given else bench.flow(expect)
    assert result.problems == ()


@pytest.mark.parametrize(
    ("expect", "given", "piece"),
    [
        ("sends: []", "document: {ticket: '7', cc: GB}", "expected to send nothing; got out.note, out.order"),
        ("sends: [{to: out.order}, {to: out.note}]", "document: {ticket: '7', cc: GB}", "got out.note, out.order"),
        ("publishes: []", "document: {ticket: '7', cc: GB}", "expected to publish nothing; got order/v1"),
        ("publishes: [{event: order/v1, partial: {id: '8'}}]", "document: {ticket: '7', cc: GB}", '/id: expected "8"'),
        ("status: filtered", "document: {ticket: '7', cc: GB}", "expected status filtered, got completed"),
        ("sends: []", "document: {ticket: '7', cc: XX}", "expected status completed, got failed: flow sales, step map"),
        ("error: {step: filter}", "document: {ticket: '7', cc: XX}", "expected step filter, got map:to-order"),
        ("sends: []", "document: {ticket: '0', cc: XX}", "expected status completed, got filtered"),
        ("status: completed", "document: {ticket: '7', cc: GB, n: [2]}", "expected 0 failed parts, got 1"),
        (
            "failed_parts: [{kind: contract}]",
            "document: {ticket: '7', cc: GB, n: [2]}",
            "failed part 1: expected kind contract, got mapping",
        ),
        ("status: completed", "file: a.csv, through: out", "nothing comes in through 'out'"),
    ],
)
def test_a_flow_case_fails_with_the_difference(bench, expect, given, piece):
    """Whatever went otherwise is named, with the engine's own error where there is one."""
    bench.write("a.csv", "ticket\n1\n")
    result = bench.flow(expect, given)
    assert piece in "\n".join(result.problems)


def test_a_file_goes_through_the_format_and_records_of_its_endpoint(bench):
    """Raw bytes, grouped to tickets; the results of all of them count, in order."""
    bench.write("samples/till.csv", "ticket;cc;town\n1;GB;K\u00f6ln\n1;GB;x\n2;GB;y\n".encode("cp1252"))
    given = "file: samples/till.csv, through: pos"
    assert bench.flow("publishes: [{event: order/v1, partial: {id: '1'}}, {event: order/v1}]", given).problems == ()
    towns = "partial: {lines: [{town: K\u00f6ln}, {town: x}]}"
    expect = f"sends: [{{to: out.note, {towns}}}, {{to: out.order}}, {{to: out.note}}, {{to: out.order}}]"
    assert bench.flow(expect, given).problems == ()


def test_bytes_that_cannot_be_read_fail_at_the_door(bench):
    """Decoding and the contract of the source are part of the case."""
    bench.write("samples/till.csv", "ticket;cc\n1\n")
    given = "file: samples/till.csv, through: pos"
    assert bench.flow("error: {step: 'in:pos', kind: decode}", given).problems == ()
    bench.write("samples/till.csv", "town;ticket\nx;\n")
    assert bench.flow("status: failed", given).problems == ()


def test_results_come_in_order_with_place_name_and_time(bench):
    """File by file, line by line."""
    cases = "\n".join(
        f"  - {{name: n{n}, given: {{ticket: '7', cc: GB}}, expect_partial: {{id: '{n}'}}}}" for n in (7, 8)
    )
    bench.write("mappings/b.test.yaml", f"mapping: to-order\ncases:\n{cases}\n")
    bench.write(
        "flows/a.test.yaml",
        "flow: sales\ncases: [{name: f, given: {document: {ticket: '0'}}, expect: {status: filtered}}]\n",
    )
    results = bench.run()
    assert [(r.file, r.line, r.kind, r.tested, r.name, r.passed) for r in results] == [
        ("flows/a.test.yaml", 2, "flow", "sales", "f", True),
        ("mappings/b.test.yaml", 3, "mapping", "to-order", "n7", True),
        ("mappings/b.test.yaml", 4, "mapping", "to-order", "n8", False),
    ]
    assert all(0 < result.seconds < 5 for result in results)


@pytest.mark.parametrize(
    ("select", "names"), [("n8", ["n8"]), ("b.test.yaml:3", ["n7"]), ("sales", []), ("to-order", ["n7", "n8"])]
)
def test_cases_can_be_selected(bench, select, names):
    """By a piece of the file, line, tested thing or name."""
    cases = "\n".join(f"  - {{name: n{n}, given: {{ticket: '7', cc: GB}}, expect_partial: {{}}}}" for n in (7, 8))
    bench.write("mappings/b.test.yaml", f"mapping: to-order\ncases:\n{cases}\n")
    assert [result.name for result in bench.run(select)] == names


@pytest.mark.parametrize(
    ("text", "line", "kind", "piece"),
    [
        ("mapping: to-order\ncases:\n  - {name: a, gven: {}, expect: {}}", 3, "unknown-key", "gven"),
        ("mapping: to-order\ncases:\n  - {name: a, given: {}}", 3, "bad-value", "one of expect"),
        ("mapping: to-order\ncases:\n  - {name: a, given: {}, expect: {}, error: {}}", 3, "bad-value", "one of expect"),
        ("mapping: to-ordr\ncases:\n  - {name: a, given: {}, expect: {}}", 1, "unknown-mapping", "to-ordr"),
        ("mapping: to-order\ncases: []", 2, "bad-value", ""),
        ("flow: sals\ncases:\n  - {name: a, given: {document: 1}, expect: {}}", 1, "bad-value", "sals"),
        ("flow: sales\ncases:\n  - {name: a, given: {}, expect: {}}", 3, "bad-value", "one of document, file"),
        ("flow: sales\ncases:\n  - {name: a, given: {document: 1, through: pos}, expect: {}}", 3, "bad-value", "file"),
        (
            "flow: sales\ncases:\n  - name: a\n    given: {document: 1}\n    expect: {status: done}",
            5,
            "bad-value",
            "done",
        ),
        (
            "flow: sales\ncases:\n  - name: a\n    given: {document: 1}\n    expect: {sends: [{too: x}]}",
            5,
            "unknown-key",
            "too",
        ),
        ("cases: []", 1, "missing-key", "what it tests"),
        ("mapping: to-order\n\tcases: []", 2, "yaml-syntax", ""),
    ],
)
def test_a_mistake_in_a_case_is_a_finding_with_its_place(bench, text, line, kind, piece):
    """As in any other file of the bus; nothing runs before it is right."""
    bench.write("flows/x.test.yaml", text + "\n")
    with pytest.raises(ConfigError) as raised:
        bench.run()
    first = raised.value.findings[0]
    assert (first.file, first.line, first.kind) == ("flows/x.test.yaml", line, kind)
    assert piece in f"{first.text} {first.value}"


def test_hidden_directories_are_left_alone(bench):
    """A virtual environment or Git's own files have no cases of this bus."""
    bench.write(".git/x.test.yaml", "nonsense")
    assert bench.run() == []


# --- calls --------------------------------------------------------------------------------------------------------


ASKING = """\
    flow: sales
    from: pos
    steps:
      - call: out.ask
        as: a
        on_error: {set: {a: {const: none}}}
      - split: {each: n, do: [{call: out.note, as: b}, {send: out.note}]}
      - send: {to: out.order, map: {set: {id: ticket, who: '$string(a)'}}}
    """


def asked(bench: Bench, answers: str, expect: str) -> list[str]:
    """What is wrong with one case of a flow that calls."""
    bench.write("contracts/left/v1.json", '{"type": "object"}')
    bench.write(
        "endpoints/out.yaml",
        "endpoint: out\nadapter: fake\noperations: {order: {contract: order/v1}, note: {}, ask: {reply: left/v1}}\n",
    )
    bench.write("flows/sales.yaml", ASKING)
    case = "flow: sales\ncases:\n  - name: it\n    given: {document: {ticket: A, n: [{k: 1}, {k: 2}]}}\n"
    bench.write("flows/sales.test.yaml", f"{case}    answers: {answers}\n    expect: {expect}\n")
    (result,) = bench.run()
    return list(result.problems)


DONE = "{out.ask: {done: {left: 1}}, out.note: {done: 7}}"


@pytest.mark.parametrize(
    ("answers", "expect"),
    [
        (DONE, "{sends: [{to: out.order, partial: {who: '{\"left\":1}'}}, {to: out.note}, {to: out.note}]}"),
        (DONE, "{calls: [{to: out.ask}, {to: out.note, document: {k: 1}}, {to: out.note, document: {k: 2}}]}"),
        ("{out.ask: {failed: refused}, out.note: nothing}", "{sends: [{to: out.order, partial: {who: none}}]}"),
        ("{out.ask: {done: 5}, out.note: nothing}", "{sends: [{to: out.order, partial: {who: none}}]}"),
        ("{}", "{status: waiting, sends: []}"),
        (
            "{out: {done: {}}, out.note: [{done: 1}, {failed: busy}]}",
            "{failed_parts: [{step: 'call:out.note', kind: busy}]}",
        ),
    ],
)
def test_calls_are_answered_as_the_case_says(bench: Bench, answers: str, expect: str) -> None:
    """Done, failed, against the reply contract, or not at all; parts each for itself."""
    assert asked(bench, answers, expect) == []


@pytest.mark.parametrize(
    ("answers", "expect", "said"),
    [
        (DONE, "{sends: []}", "expected to send nothing"),
        (DONE, "{calls: [{to: out.ask}]}", "expected to call out.ask"),
        ("{out.aks: {done: 1}}", "{}", "did you mean 'out.ask'"),
        ("{}", "{}", "expected status completed, got waiting"),
    ],
)
def test_what_calls_did_otherwise_is_said(bench: Bench, answers: str, expect: str, said: str) -> None:
    """As for what is sent."""
    assert said in "\n".join(asked(bench, answers, expect))
