"""What somebody sets in the course of a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.test_engine_cases import run, shop  # noqa: F401 - a fixture

FLOW = """\
flow: main
from: in
steps:
  - route: {by: id, table: ids, rows: {a: put}, among: {put: out.put, shoot: out.shoot}}
  - detour: {send: out.ask}
    name: check
  - throttle: {messages: 1, per: 1h}
    name: slow
  - publish: done/v1
"""


@pytest.fixture
def switched(shop: Path) -> Path:  # noqa: F811
    (shop / "flows/main.yaml").write_text(FLOW)
    return shop


def test_what_is_set_holds_from_that_moment(switched: Path) -> None:
    """A table's row, a detour and a rate."""
    assert run(switched, """\
        given:
          - {document: {id: a}}
          - {document: {id: a}, switches: {tables: {ids: {a: "shoot, put"}}, detours: {check: true}}}
          - {document: {id: a}, switches: {rates: {slow: 100/1s}}}
        expect:
          sends:
            - {to: out.put}
            - {to: out.shoot}
            - {to: out.put}
            - {to: out.ask}
            - {to: out.shoot}
            - {to: out.put}
            - {to: out.ask}
          publishes: [{event: done/v1, at: 0s}, {event: done/v1, at: 1h}, {event: done/v1, at: 2h}]
        """) == []  # fmt: skip


def test_nothing_stays_set_for_the_next_case(switched: Path) -> None:
    """A case begins with what the configuration says."""
    one = "given: {document: {id: a}, switches: {tables: {ids: {a: shoot}}}}\nexpect: {sends: [{to: out.shoot}]}\n"
    assert run(switched, one) == []
    assert run(switched, "given: {document: {id: a}}\nexpect: {sends: [{to: out.put}]}\n") == []


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ("{tables: {idz: {a: put}}}", "there is no table 'idz': did you mean 'ids'?"),
        ("{tables: {ids: {a: putt}}}", "'putt' means nobody: it is one of put, shoot"),
        ("{tables: {ids: {a: ''}}}", "say one of put, shoot, or several with commas"),
        ("{detours: {chek: true}}", "there is no detour 'chek': did you mean 'check'?"),
        ("{rates: {slow: often}}", "a rate is such as 10/1s, not 'often'"),
        ("{rates: {check: 1/1s}}", "there is no throttle 'check'"),
    ],
)
def test_what_cannot_be_set_fails_the_case(switched: Path, switches: str, said: str) -> None:
    """With the nearest word."""
    assert run(switched, f"given: {{document: {{id: a}}, switches: {switches}}}\nexpect: {{}}\n") == [said]
