"""Commands that set something on a bus that may be running: flows and routing tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from esb.broker import open_broker
from esb.broker.port import Outgoing, flow_queue
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.message import create
from esb.store import open_store

Run = Callable[..., Result]
FLOW = """\
flow: steered
from: orders-in
steps:
  - map: row-to-order
  - detour: {wiretap: archive.keep}
    name: copy
  - throttle: {messages: 50, per: 1s}
    name: slowly
  - route:
      by: currency
      table: shops
      rows: {EUR: ours}
      among: {ours: orders-out.order, kept: archive.keep}
"""


@pytest.fixture
def steered(shop: Path) -> Path:
    """A bus with something to set, and store and broker as `esb run` makes them."""
    (shop / "flows/steered.yaml").write_text(FLOW)
    components = discover()
    with closing(Bus(load(shop, components), components)) as bus:
        bus.prepare()
    return shop


def is_set(place: Path) -> dict[tuple[str, str, str], tuple[str, str]]:
    with closing(open_store("embedded", place / "data")) as store, store.reading() as t:
        return {(row.kind, row.name, row.key): (row.value, row.reason) for row in t.switches.all()}


def test_a_flow_is_paused_and_goes_on(esb: Run, steered: Path) -> None:
    """The list says since when, by whom and why."""
    assert "paused; a running bus sees it" in esb("flows", "pause", "steered", "-C", steered, "--why", "prices").stderr
    assert "it was paused already" in esb("flows", "pause", "steered", "-C", steered).stderr
    assert is_set(steered) == {("flow", "steered", ""): ("paused", "prices")}
    assert "steered is paused since" in esb("flows", "-C", steered).stderr
    (row,) = json.loads(esb("flows", "steered", "-C", steered, "--json").stdout)
    assert [(one["kind"], one["reason"]) for one in row["switches"]] == [("flow", "prices")]
    assert "resumed" in esb("flows", "resume", "steered", "-C", steered).stderr
    assert "it was not paused" in esb("flows", "resume", "steered", "-C", steered).stderr
    assert is_set(steered) == {}


@pytest.mark.parametrize(
    ("kind", "step", "value", "first"), [("detour", "copy", "on", "off"), ("throttle", "slowly", "5/1m", "50/1s")]
)
def test_a_step_is_set_and_reset(esb: Run, steered: Path, kind: str, step: str, value: str, first: str) -> None:
    """What holds and what is configured stand side by side."""
    assert esb("flows", kind, "steered", step, value, "-C", steered, "--why", "so").exit_code == 0
    assert is_set(steered) == {(kind, "steered", step): (value, "so")}
    _, line = esb("flows", kind, "steered", "-C", steered).stdout.splitlines()
    assert (line.split()[:3], line.split()[-1]) == ([step, value, first], "so")
    assert "as the configuration says" in esb("flows", kind, "steered", step, "reset", "-C", steered).stderr
    assert "nobody had set it" in esb("flows", kind, "steered", step, "reset", "-C", steered).stderr
    assert esb("flows", kind, "steered", step, "-C", steered).stdout.split()[-3:] == [step, first, first]


def test_a_table_says_where_messages_go(esb: Run, steered: Path) -> None:
    """Row by row, with what the configuration says beside it."""
    assert json.loads(esb("tables", "-C", steered, "--json").stdout) == [
        {"table": "shops", "flows": ["steered"], "words": ["ours", "kept"], "rows": 1}
    ]
    assert esb("tables", "set", "shops", "GBP", "kept, ours", "-C", steered, "--why", "new").exit_code == 0
    rows = json.loads(esb("tables", "show", "shops", "-C", steered, "--json").stdout)
    assert [(row["key"], row["goes to"], row["configured"], row["reason"]) for row in rows] == [
        ("EUR", "ours", "ours", ""),
        ("GBP", "kept, ours", "", "new"),
    ]
    assert "as the configuration says" in esb("tables", "unset", "shops", "GBP", "-C", steered).stderr
    assert is_set(steered) == {}


def test_a_table_is_loaded_as_a_whole(esb: Run, steered: Path, tmp_path: Path) -> None:
    """All rows or, where one makes no sense, none."""
    file = tmp_path / "rows.csv"
    file.write_text('currency,goes to\nGBP,kept\nUSD,"ours, kept"\n')
    assert "2 rows set" in esb("tables", "load", "shops", file, "-C", steered).stderr
    assert is_set(steered)["table", "shops", "USD"] == ("ours, kept", "")
    for text, said in (("k,w\nCHF,kept\nDKK,nobody\n", "'nobody' means nobody"), ("k,w\nCHF,kept\nCHF,ours\n", ":3:")):
        file.write_text(text)
        failed = esb("tables", "load", "shops", file, "-C", steered)
        assert failed.exit_code != 0
        assert said in failed.stderr
    assert ("table", "shops", "CHF") not in is_set(steered)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("flows", "pause", "stered"), "there is no flow 'stered': did you mean 'steered'?"),
        (("flows", "detour", "steered", "cpy", "on"), "there is no detour 'cpy': did you mean 'copy'?"),
        (("flows", "throttle", "steered", "slowly", "fast"), "a rate is such as 10/1s, not 'fast'"),
        (("flows", "throttle", "nobody"), "no flow 'nobody'"),
        (("tables", "set", "shop", "x", "ours"), "there is no table 'shop': did you mean 'shops'?"),
        (("tables", "set", "shops", "x", "our"), "'our' means nobody: it is one of ours, kept"),
        (("tables", "show", "shop"), "no table 'shop'; did you mean 'shops'?"),
    ],
)
def test_what_does_not_exist_is_not_set(esb: Run, steered: Path, command: tuple[str, ...], said: str) -> None:
    """Exit code 3, and the nearest word."""
    result = esb(*command, "-C", steered)
    assert (result.exit_code, said in result.stderr) == (3, True), result.stderr
    assert is_set(steered) == {}


def test_a_purge_asks_for_a_reason_and_a_yes(esb: Run, steered: Path) -> None:
    """Without either nothing happens; with both each message is kept as discarded, and the audit says why."""
    for number in range(3):
        assert esb("send", "-C", steered, "orders-in", input=f"order\n{number}\n").exit_code == 0
    assert esb("flows", "purge", "steered", "-C", steered, "--yes").exit_code == 2
    assert "nothing waits for flow steered" in esb("flows", "purge", "steered", "-C", steered, "--why", "so").stderr
    _publish_to(steered, "steered", 3)
    asked = esb("flows", "purge", "steered", "-C", steered, "--why", "so")
    assert (asked.exit_code, "Take 3 messages out of the queue of flow steered?" in asked.stderr) == (1, True)
    done = esb("flows", "purge", "steered", "-C", steered, "--why", "so", "--yes")
    assert (done.exit_code, "3 messages taken out" in done.stderr) == (0, True)
    with closing(open_store("embedded", steered / "data")) as store, store.reading() as t:
        assert len(t.parked.list(status="discarded")) == 3
        assert t.audit.list()[0].act == "purge"
    assert esb("flows", "purge", "steerde", "-C", steered, "--why", "so").exit_code == 3
    kept = esb("endpoints", "purge", "archive", "-C", steered, "--why", "so", "--keep")
    assert "nothing waits for endpoint archive" in kept.stderr


def _publish_to(place: Path, flow: str, count: int) -> None:
    with closing(open_broker("embedded", place / "data")) as broker:
        publisher = broker.publisher("test")
        publisher.publish(
            [Outgoing(create(b"{}", type="order", source="test"), flow_queue(flow)) for _ in range(count)]
        )
        publisher.close()


def test_a_test_message_is_sent_and_told_of(esb: Run, shop: Path) -> None:
    """By hand, whatever the schedule says; how it fared is an exit code, too."""
    text = (shop / "flows/orders.yaml").read_text()
    (shop / "flows/orders.yaml").write_text(
        text.replace(
            "steps:",
            'test_message: {within: 1s, document: {number: "1", customer: Ada, sku: M, quantity: 1, price: 1}}\nsteps:',
            1,
        )
    )
    with closing(open_store("embedded", shop / "data")) as store:
        store.migrate()
    assert json.loads(esb("flows", "tests", "-C", shop, "--json").stdout)[0]["state"] == "never sent"
    assert esb("send", "--test", "order", "-C", shop).exit_code == 3
    id = esb("send", "--test", "orders", "-C", shop).stdout.strip()
    assert esb("flows", "tests", "-C", shop).exit_code == 0
    assert id in esb("messages", "--tests", "-C", shop).stdout
    assert id not in esb("messages", "-C", shop).stdout
    late = esb("send", "--test", "orders", "--wait", "-C", shop)
    assert (late.exit_code, "not at its end after 1s" in late.stdout) == (1, True)
    assert esb("flows", "tests", "-C", shop).exit_code == 1
    assert (
        "test:orders"
        in esb("trace", json.loads(esb("flows", "tests", "-C", shop, "--json").stdout)[0]["id"], "-C", shop).stdout
    )
