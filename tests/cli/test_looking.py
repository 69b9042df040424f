"""Commands that look at a bus that has worked: messages, trace, failed, ledger, endpoints, flows, doctor, db."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from os import terminal_size
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import Result

from esb.cli import common
from esb.config import load_bus_config
from esb.message import create
from esb.ports import Reply
from esb.store import InboxEntry, Parked, Probe, Store, open_store
from esb.worker.replies import kept_reply

Run = Callable[..., Result]
DOWN = "amqp://127.0.0.1:1/"
NO_DATABASE = "postgresql://127.0.0.1:1/none"


def data(result: Result) -> Any:
    """What a command printed for programs."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def store_of(place: Path) -> Store:
    return open_store("embedded", place / load_bus_config(place)[1].data)


def park(place: Path, row: Parked) -> None:
    """Add a parked message to the store of a bus."""
    store = store_of(place)
    with store.transaction() as t:
        t.parked.add([row])
    store.close()


def parked_id(esb: Run, place: Path) -> str:
    return str(data(esb("failed", "list", "-C", place, "--json"))[0]["message_id"])


def test_messages_are_listed_newest_first(esb: Run, ran: Path) -> None:
    """A table on stdout, the count on stderr; the same for programs with stable keys."""
    result = esb("messages", "-C", ran)
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["received", "subject", "type", "at", "status", "error", "message"]
    assert result.stderr.startswith(f"{len(lines)} shown")
    hops = data(esb("messages", "-C", ran, "--json"))
    times = [hop["received_at"] for hop in hops]
    assert times == sorted(times, reverse=True)
    assert {"message_id", "place", "status", "subject", "correlation_id", "error", "detail"} <= hops[0].keys()


def test_messages_are_filtered(esb: Run, ran: Path) -> None:
    """By business key, id, place, type, status and age."""

    def count(*arguments: str) -> int:
        return len(data(esb("messages", "-C", ran, "--json", *arguments)))

    assert count("O-1001") == 3
    assert count("--at", "flow:orders") == 3
    assert count("--at", "out:") == 4
    assert count("--type", "order.received") == 2
    assert count("--status", "filtered") == count("--status", "parked") == 1
    assert count("--status", "parked", "--status", "filtered", "--since", "7d") == 2
    assert count("-n", "2") == 2
    assert count(parked_id(esb, ran)) == 1
    assert count("nobody") == 0


def test_messages_refuses_what_it_does_not_know(esb: Run, ran: Path) -> None:
    """A status or a duration that is none is wrong usage, with what is right."""
    assert "completed" in (status := esb("messages", "-C", ran, "--status", "lost")).stderr
    assert "500ms" in (since := esb("messages", "-C", ran, "--since", "long")).stderr
    assert status.exit_code == since.exit_code == 2


def test_nothing_to_look_at_before_the_first_start(esb: Run, shop: Path) -> None:
    """It says what to do, and looking makes no database."""
    for line in ("messages", "ledger", "failed list", "trace x"):
        result = esb(*line.split(), "-C", shop)
        assert (result.exit_code, "start the bus with `esb run`" in result.stderr) == (1, True)
    assert esb("flows", "-C", shop).exit_code == esb("endpoints", "-C", shop).exit_code == 0
    assert esb("doctor", "-C", shop).exit_code == 0
    assert not (shop / "data").exists()


def test_journey_is_a_tree(esb: Run, ran: Path) -> None:
    """Steps below their flow, what came of each below the step, status and detail aligned."""
    lines = esb("trace", "-C", ran, "O-1001").stdout.splitlines()
    assert lines[0].startswith("O-1001  ")
    shape = [line.split("  completed")[0].rstrip() for line in lines[2:]]
    assert shape == [
        "└─ flow:orders",
        "   ├─ filter  passed",
        "   ├─ map:row-to-order",
        "   ├─ send:orders-out.order",
        "   │  └─ out:orders-out.order",
        "   └─ publish:order.received/v1",
        "      └─ flow:archive",
        "         └─ send:archive.keep",
        "            └─ out:archive.keep",
    ]
    assert lines[1].startswith("in:orders-in ")
    assert len({line.index("completed") for line in lines if "completed" in line}) == 1
    assert "written O-1001.json" in lines[6]


def test_journey_shows_bodies_and_ids_when_asked(esb: Run, ran: Path) -> None:
    """The document at each place once, indented under it; the message's id."""
    text = esb("trace", "-C", ran, "O-1001", "--bodies", "--ids").stdout
    assert text.count('"number": "1001"') == 1
    assert text.count('"orderId": "O-1001"') == 3
    hops = data(esb("trace", "-C", ran, "O-1001", "--json"))
    assert all(hop["message_id"] in text for hop in hops)


def test_journey_shows_what_calls_answered(esb: Run, ran: Path) -> None:
    """With the bodies, below the command; what a contract hides is covered; without it nothing is told."""
    operation = "operations: {order: {post: /, contract: order/v1, reply: ack/v1}}"
    text = f"endpoint: orders-out\nadapter: http\nsettings: {{url: 'http://127.0.0.1:1'}}\n{operation}\n"
    (ran / "endpoints" / "orders-out.yaml").write_text(text)
    contract = ran / "contracts" / "ack" / "v1.json"
    contract.parent.mkdir()
    contract.write_text('{"type": "object", "x-mask": ["pin"]}')
    kept = kept_reply(Reply(body=b'{"number": 7, "pin": "1234"}', content_type="application/json"))
    store = store_of(ran)
    with store.transaction() as t:
        out = next(hop for hop in t.tracking.find(subject="O-1001") if hop.place == "out:orders-out")
        t.tracking.record([msgspec.structs.replace(out, message_id="call-1", causation_id=out.message_id)])
        t.inbox.done([InboxEntry(endpoint="orders-out", operation="order", message_id="call-1", reply=kept)])
    store.close()
    text = esb("trace", "-C", ran, "O-1001", "--bodies").stdout
    assert '"number": 7' in text and '"pin": "***"' in text and text.count("─ answer") == 1
    found = data(esb("trace", "-C", ran, "O-1001", "--bodies", "--json"))
    assert [json.loads(hop["answer"]) for hop in found if hop["answer"]] == [{"number": 7, "pin": "***"}]
    assert "answer" not in data(esb("trace", "-C", ran, "O-1001", "--json"))[0]
    (ran / "flows" / "orders.yaml").write_text("nonsense")
    result = esb("trace", "-C", ran, "O-1001", "--bodies")
    assert (result.exit_code, "answers are left out" in result.stderr, "1234" in result.output) == (0, True, False)


def test_journey_shows_an_error_in_its_place(esb: Run, ran: Path) -> None:
    """Below the place where it happened; found by the beginning of its id, too."""
    text = esb("trace", "-C", ran, parked_id(esb, ran)[:20]).stdout
    assert "in:orders-in  parked" in text
    assert "   contract: breaks contract order.row/v1: /sku" in text


def test_journey_for_programs(esb: Run, ran: Path) -> None:
    """Steps come decoded, bodies as text."""
    hops = data(esb("trace", "-C", ran, "O-1001", "--json"))
    flow = next(hop for hop in hops if hop["place"] == "flow:orders")
    assert [step["step"] for step in flow["steps"]][:2] == ["filter", "map:row-to-order"]
    assert set(flow["steps"][0]) == {"step", "kind", "outcome", "children", "part"}
    assert json.loads(flow["body"])["number"] == "1001"


def test_journey_of_nobody(esb: Run, ran: Path) -> None:
    """Not found is exit code 3, and where to look."""
    result = esb("trace", "-C", ran, "O-77")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "`esb messages` lists" in result.stderr


def test_failed_are_listed_shown_and_grouped(esb: Run, ran: Path) -> None:
    """The reason stands in each view; a place that has none gives an empty list."""
    assert "breaks contract order.row/v1" in esb("failed", "list", "-C", ran).stdout
    assert "     1  contract at in:orders-in" in esb("failed", "list", "-C", ran, "--groups").stdout
    shown = esb("failed", "show", "-C", ran, parked_id(esb, ran)).stdout
    assert "kind         contract" in shown
    assert "Barbara Liskov" in shown
    assert data(esb("failed", "list", "-C", ran, "--at", "out:archive", "--json")) == []
    assert data(esb("failed", "list", "-C", ran, "--groups", "--json"))[0]["count"] == 1


EVIL = "\x1b]0;owned\x07\x9b31m\x7f\u202egpj"
SHOWN = "\ufffd]0;owned\ufffd\ufffd31m\ufffd\ufffdgpj"


@pytest.mark.parametrize(
    "command",
    [
        ("messages",), ("trace", "evil", "--bodies"), ("failed", "list"), ("failed", "list", "--groups"),
        ("failed", "show", "evil"),
    ],
)  # fmt: skip
def test_what_came_in_cannot_steer_the_terminal(esb: Run, ran: Path, command: tuple[str, ...]) -> None:
    """A message may have escape codes in its key, its headers, its error and its body: none gets through."""
    message = create(
        f"first {EVIL}\nsecond".encode(), type="order.row", source=f"s{EVIL}", id="evil", subject=f"key {EVIL}",
        headers={"note": EVIL},
    )  # fmt: skip
    park(
        ran, Parked(message=message, place="flow:orders", queue="q", kind="decode", error=f"bad {EVIL}", parked_at=1.0)
    )
    store = store_of(ran)
    with store.transaction() as t:
        hop = next(hop for hop in t.tracking.find(subject="O-1001") if hop.place == "out:orders-out")
        t.tracking.record(
            [
                msgspec.structs.replace(
                    hop, message_id="evil", subject=f"key {EVIL}", causation_id=None, correlation_id="evil",
                    error=f"bad {EVIL}", body=message.body, source=f"s{EVIL}", detail=f"told {EVIL}",
                )
            ]
        )  # fmt: skip
    store.close()
    result = esb(command[0], *command[1:], "-C", ran)
    assert result.exit_code == 0, result.output
    text = click.unstyle(result.stdout)
    assert not set("\x1b\x07\x9b\x7f\u202e") & set(text)
    assert "bad \ufffd" in text
    if "show" in command or "--bodies" in command:
        assert f"first {SHOWN}" in text and any(line.endswith("second") for line in text.splitlines())
    if "--groups" not in command:
        assert f"key {SHOWN}" in text


def test_for_programs_everything_is_as_it_came(esb: Run, ran: Path) -> None:
    """JSON escapes what it must by itself."""
    message = create(b"x", type="order.row", source="s", id="evil", subject=EVIL)
    park(ran, Parked(message=message, place="flow:orders", queue="q", kind="decode", error=EVIL, parked_at=1.0))
    found = data(esb("failed", "show", "-C", ran, "evil", "--json"))[0]
    assert (found["subject"], found["error"]) == (EVIL, EVIL)


def test_failed_that_is_too_deep_to_indent_is_shown_as_it_came(esb: Run, ran: Path) -> None:
    """What was parked for its depth can be looked at."""
    message = create(b"[" * 5000, type="order.row", source="orders-in", id="deep")
    park(ran, Parked(message=message, place="flow:orders", queue="q", kind="decode", error="too deep", parked_at=1.0))
    result = esb("failed", "show", "-C", ran, "deep")
    assert (result.exit_code, "[" * 5000 in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("orders-in", "in:orders-in"), ("flow:order", "flow:orders"), ("out:order", "out:orders-out")],
)
@pytest.mark.parametrize("command", [("failed", "list"), ("messages",)])
def test_a_place_that_there_is_not(esb: Run, ran: Path, command: tuple[str, ...], given: str, meant: str) -> None:
    """Not taken for a place where nothing is: exit code 3, the nearest one, and all there are."""
    result = esb(*command, "-C", ran, "--at", given)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"no place {given!r}; did you mean {meant!r}? there are: flow:archive, flow:orders, in:" in result.stderr


def test_a_place_that_was(esb: Run, ran: Path) -> None:
    """What the configuration no longer has is known by its journeys; one that has findings refuses nothing."""
    (ran / "flows/archive.yaml").unlink()
    result = esb("failed", "list", "-C", ran, "--at", "flow:archive")
    assert (result.exit_code, result.stderr) == (0, "nothing parked matches\n")
    (ran / "flows/orders.yaml").write_text("flow: [")
    result = esb("messages", "-C", ran, "--at", "flow:other")
    assert (result.exit_code, result.stderr) == (0, "no messages\n")


def test_nothing_parked_and_nothing_that_matches(esb: Run, ran: Path) -> None:
    """Where a filter was given, nothing more is said than that nothing matches."""
    assert esb("failed", "list", "-C", ran, "--kind", "contrakt").stderr == "nothing parked matches\n"
    assert esb("failed", "discard", "-C", ran, "--all", "--yes").exit_code == 0
    assert esb("failed", "list", "-C", ran).stderr == "nothing is parked\n"


def test_failed_that_is_none(esb: Run, ran: Path) -> None:
    """Neither shown nor retried nor discarded: exit code 3."""
    assert [esb("failed", act, "-C", ran, "nobody").exit_code for act in ("show", "retry", "discard")] == [3, 3, 3]


def test_a_failed_message_is_changed(esb: Run, ran: Path, tmp_path: Path) -> None:
    """What breaks the contract is refused and changes nothing; what meets it is kept, parked, and audited."""
    id = parked_id(esb, ran)
    before = data(esb("failed", "show", "-C", ran, id, "--json"))[0]
    for body in ("{", before["body"]):
        result = esb("failed", "edit", "-C", ran, id, "--body", "-", input=body)
        assert (result.exit_code, "Traceback" in result.stderr) == (1, False)
    good = json.loads(data(esb("trace", "-C", ran, "O-1001", "--json"))[0]["body"])
    result = esb("failed", "edit", "-C", ran, id, "--body", "-", "--why", "a slip", input=json.dumps(good))
    assert (result.exit_code, "esb failed retry" in result.stderr) == (0, True)
    assert json.loads(data(esb("failed", "show", "-C", ran, id, "--json"))[0]["body"]) == good
    with store_of(ran).reading() as t:
        assert [(entry.act, entry.reason) for entry in t.audit.list()] == [("edit", "a slip")]


def test_a_failed_message_is_kept_as_a_test_case(esb: Run, ran: Path) -> None:
    """It stands behind what is in the file already, and fails until what is wrong is mended."""
    file = ran / "flows" / "orders.test.yaml"
    before = file.read_text() if file.exists() else ""
    id = parked_id(esb, ran)
    shown = esb("failed", "export", "-C", ran, id)
    assert (shown.exit_code, shown.stdout.startswith("# Parked at ")) == (0, True)
    assert "it fails: expected status completed, got failed" in shown.stderr
    assert esb("failed", "export", "-C", ran, id, "--save").exit_code == 0
    assert file.read_text() == f"{before.rstrip()}\n---\n{shown.stdout}"
    result = esb("test", "-C", ran)
    assert result.exit_code == 1
    assert "goes through" in result.stdout + result.stderr


def test_changing_and_keeping_what_is_not_there(esb: Run, ran: Path) -> None:
    """Exit code 3."""
    assert [esb("failed", act, "-C", ran, "nobody").exit_code for act in ("edit", "export")] == [3, 3]


@pytest.mark.parametrize("act", ["retry", "discard"])
def test_acting_on_failed_needs_a_selection_and_a_yes(esb: Run, ran: Path, act: str) -> None:
    """Without a selection it is wrong usage; where nobody can be asked, a group needs --yes."""
    assert esb("failed", act, "-C", ran).exit_code == 2
    result = esb("failed", act, "-C", ran, "--kind", "contract", input="")
    assert (result.exit_code, "add --yes" in result.stderr) == (1, True)
    assert len(data(esb("failed", "list", "-C", ran, "--json"))) == 1


@pytest.mark.parametrize(
    "selection", [["--kind", "contract", "--yes"], ["--at", "in:orders-in", "--yes"], ["--all", "--yes"], []]
)
@pytest.mark.parametrize("act", ["retry", "discard"])
def test_acts_are_audited(esb: Run, ran: Path, act: str, selection: list[str]) -> None:
    """By kind, by place, all, or by id: it is gone from the list, and the audit has who and why."""
    selection = selection or [parked_id(esb, ran)]
    assert esb("failed", act, "-C", ran, *selection, "--why", "the supplier called").exit_code == 0
    assert data(esb("failed", "list", "-C", ran, "--json")) == []
    with store_of(ran).reading() as t:
        [entry] = t.audit.list()
    assert (entry.act, entry.reason, bool(entry.who)) == (act, "the supplier called", True)


def test_ledger_adds_up(esb: Run, ran: Path) -> None:
    """For people with the parked by reason, for programs as numbers."""
    assert "       1  contract at in:orders-in" in esb("ledger", "-C", ran).stdout
    ledger = data(esb("ledger", "-C", ran, "--json"))
    assert ledger["accepted"] == ledger["completed"] + ledger["filtered"] + ledger["parked"] == 4
    assert (ledger["sent"], ledger["done"], ledger["settled"]) == (4, 4, True)


def test_endpoints(esb: Run, ran: Path) -> None:
    """What is registered with its figures, one by name, all asked for a sign of life; a typo is not found."""
    rows = {row["endpoint"]: row for row in data(esb("endpoints", "-C", ran, "--json", "--test"))}
    assert rows["orders-in"]["parked"] == 1
    assert rows["archive"]["breaker"] == "closed"
    assert all(row["check"]["ok"] for row in rows.values())
    assert "orders-out" not in esb("endpoints", "-C", ran, "archive").stdout
    result = esb("endpoints", "-C", ran, "archve")
    assert (result.exit_code, "did you mean 'archive'?" in result.stderr) == (3, True)
    assert {kind["kind"] for kind in data(esb("endpoints", "--kinds", "--json"))} >= {"file", "http"}


def test_endpoints_tell_what_they_last_said(esb: Run, ran: Path) -> None:
    """The answer to the last health probe, since when it is so, and why; nothing where nobody has asked."""
    store = store_of(ran)
    with store.transaction() as t:
        t.probes.record([Probe("archive", 9e9, True, "fine", 3.0), Probe("orders-out", 9e9, False, "disk full", 3.0)])
    store.close()
    result = esb("endpoints", "-C", ran)
    lines = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert "yes, 2255-03-14" in lines["archive"] and "NO, 2255-03-14" in lines["orders-out"]
    assert "orders-out has not answered since" in result.stderr and "disk full" in result.stderr
    rows = {row["endpoint"]: row["probe"] for row in data(esb("endpoints", "-C", ran, "--json"))}
    assert (rows["archive"]["ok"], rows["orders-out"]["text"]) == (True, "disk full")


def test_an_endpoint_is_paused_and_resumed(esb: Run, ran: Path) -> None:
    """Its row says so and by whom; doing it again changes nothing; the audit has each act once."""
    for word, said in (("pause", "paused"), ("pause", "already"), ("resume", "resumed"), ("resume", "not paused")):
        result = esb("endpoints", word, "-C", ran, "archive", "--why", "stocktaking")
        assert (result.exit_code, said in result.stderr) == (0, True)
        (row,) = data(esb("endpoints", "archive", "-C", ran, "--json"))
        assert row["state"] == ("paused" if word == "pause" else "closed")
    result = esb("endpoints", "pause", "-C", ran, "archve")
    assert (result.exit_code, "did you mean 'archive'?" in result.stderr) == (3, True)
    with store_of(ran).reading() as t:
        acts = [(entry.act, entry.reason) for entry in t.audit.list("endpoint:archive")]
    assert acts == [("resume", "stocktaking"), ("pause", "stocktaking")]


def test_an_endpoint_is_tested_by_hand(esb: Run, ran: Path) -> None:
    """Its answer is told, noted where health is shown, and audited; a breaker that is closed stays so."""
    result = esb("endpoints", "test", "-C", ran, "archive", "--why", "curious")
    assert (result.exit_code, "archive: " in result.stderr) == (0, True)
    with store_of(ran).reading() as t:
        assert (t.audit.list()[0].act, t.probes.all()["archive"].ok) == ("test connection", True)
    assert "closed already" in esb("endpoints", "reset", "-C", ran, "archive").stderr


def test_endpoint_that_does_not_answer(esb: Run, ran: Path) -> None:
    """Its row says why; exit code 1."""
    text = (
        "endpoint: far\nadapter: http\nsettings: {url: 'http://127.0.0.1:1', check: /}\noperations: {go: {post: /}}\n"
    )
    (ran / "endpoints" / "far.yaml").write_text(text)
    result = esb("endpoints", "-C", ran, "far", "--test")
    assert (result.exit_code, "FAILED: " in result.stdout) == (1, True)
    assert esb("doctor", "-C", ran).exit_code == 1


def test_flows(esb: Run, ran: Path) -> None:
    """Figures of all, the steps of one; a typo is not found."""
    rows = {row["flow"]: row for row in data(esb("flows", "-C", ran, "--json"))}
    assert (rows["orders"]["completed"], rows["orders"]["filtered"]) == (2, 1)
    assert "  map:row-to-order\n" in esb("flows", "-C", ran, "orders").stdout
    result = esb("flows", "-C", ran, "order")
    assert (result.exit_code, "did you mean 'orders'?" in result.stderr) == (3, True)


def test_flows_while_broker_and_database_are_down(esb: Run, ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be had is shown; what cannot is said on stderr."""
    monkeypatch.setenv("ESB_BROKER", DOWN)
    monkeypatch.setenv("ESB_DATABASE", NO_DATABASE)
    result = esb("flows", "-C", ran)
    assert (result.exit_code, "orders-in" in result.stdout) == (0, True)
    assert "no queue depths: cannot connect to RabbitMQ" in result.stderr
    assert "no figures: the store postgresql://127.0.0.1:1/none cannot be reached" in result.stderr


def test_doctor(esb: Run, ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well; then the broker and the database are down, and both are named."""
    assert {check["state"] for check in data(esb("doctor", "-C", ran, "--json"))} == {"ok"}
    monkeypatch.setenv("ESB_BROKER", DOWN)
    monkeypatch.setenv("ESB_DATABASE", NO_DATABASE)
    result = esb("doctor", "-C", ran, "--json")
    states = {check["subject"]: check["state"] for check in json.loads(result.stdout)}
    assert (result.exit_code, states["broker"], states["database"]) == (1, "error", "error")


@pytest.mark.parametrize("url", ["postgresql://shop:${P}@127.0.0.1:1/shop", "${WHOLE}"])
def test_doctor_shows_no_part_of_a_password(esb: Run, ran: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Not even one that holds an @, which would make its end look like the host."""
    (ran / "esb.yaml").write_text(f'database: "{url}"\n')
    monkeypatch.setenv("P", "p@ss77")
    monkeypatch.setenv("WHOLE", "postgresql://shop:p@ss77@127.0.0.1:1/shop")
    checks = json.loads(esb("doctor", "-C", ran, "--json").stdout)
    (check,) = [c for c in checks if c["subject"] == "database"]
    assert check["state"] == "error"
    assert "ss77" not in check["text"]
    assert ("%40" if url == "${WHOLE}" else "postgresql://shop:***@127.0.0.1:1/shop cannot be reached") in check["text"]


def test_doctor_says_what_encrypts_masked_fields(esb: Run, ran: Path) -> None:
    """Nothing where none are masked; the key that is made; a key of one's own."""
    assert "encryption" not in esb("doctor", "-C", ran).stdout
    contract = ran / "contracts/order/v1.json"
    contract.write_text(json.dumps({**json.loads(contract.read_text()), "x-mask": ["note"]}))
    assert "store.key, made at the first start" in esb("doctor", "-C", ran).stdout
    (ran / "key.txt").write_text("any long text")
    (ran / "esb.yaml").write_text(f'{(ran / "esb.yaml").read_text()}\nencryption: {{keys: ["secret:file:key.txt"]}}\n')
    assert "a key of your own" in esb("doctor", "-C", ran).stdout


def test_doctor_of_a_broken_bus(esb: Run, shop: Path) -> None:
    """It sends people to `esb check`."""
    (shop / "esb.yaml").write_text("buss: x\n")
    result = esb("doctor", "-C", shop)
    assert (result.exit_code, "1 error: run `esb check`" in result.stdout) == (1, True)


def test_database_is_down(esb: Run, ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what was tried, on what, and what to look at."""
    monkeypatch.setenv("ESB_DATABASE", NO_DATABASE)
    for line in ("messages", "trace x", "ledger", "failed list", "db status", "db upgrade"):
        result = esb(*line.split(), "-C", ran)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
        assert "check that the server runs and `database:` is right" in result.stderr


def test_jobs(esb: Run, ran: Path) -> None:
    """What runs by itself, with its next run; one that a person asks for waits for a bus, and is in the audit."""
    (ran / "flows" / "report.yaml").write_text(
        'flow: report\nfrom: {schedule: "0 3 29 2 *", tz: Europe/London}\nsteps:\n  - send: orders-out.order\n'
    )
    listing = esb("jobs", "list", "-C", ran)
    assert "0 3 29 2 * Europe/London" in listing.stdout
    assert "nobody runs them now" in listing.stderr
    assert "flow:report is asked for" in esb("jobs", "run", "report", "--why", "to see", "-C", ran).stderr
    jobs = {job["name"]: job for job in data(esb("jobs", "list", "-C", ran, "--json"))}
    assert jobs["flow:report"]["state"] == "wanted"
    assert jobs["retention"]["kind"] == "retention"
    assert esb("jobs", "run", "reprot", "-C", ran).exit_code == 3
    assert data(esb("replay", "list", "-C", ran, "--json")) == []
    (row,) = [row for row in data(esb("flows", "-C", ran, "--json")) if row["flow"] == "report"]
    assert row["next"] > 0


def test_replays(esb: Run, ran: Path) -> None:
    """Started in steps, looked at, paused, resumed and cancelled; each with its reason in the audit."""
    started = esb("replay", "start", "-C", ran, "--all", "--yes", "--steps", "1, 5", "--rate", "2", "--why", "mended")
    assert (started.exit_code, "1 message to be sent on in steps" in started.stderr) == (0, True)
    id = started.stdout.strip()
    (listed,) = data(esb("replay", "list", "-C", ran, "--json"))
    assert (listed["id"], listed["steps"], listed["state"], listed["why"]) == (id, "1,5", "running", "mended")
    shown = esb("replay", "show", "-C", ran).stdout
    assert "steps 1,5, at most 2 a second, stops at more than 0 new failures" in shown
    assert esb("replay", "pause", "-C", ran, id[:20], "--why", "lunch").stderr == f"{id} is paused\n"
    assert esb("replay", "pause", "-C", ran).exit_code == 1
    assert "paused" in esb("replay", "show", "-C", ran, "--watch").stdout
    assert esb("replay", "resume", "-C", ran).stderr == f"{id} is running\n"
    assert esb("replay", "next", "-C", ran).stderr == f"{id} is running\n"
    assert esb("replay", "cancel", "-C", ran).stderr == f"{id} is cancelled\n"
    assert parked_id(esb, ran)
    assert esb("replay", "show", "-C", ran, "nobody").exit_code == 3


@pytest.mark.parametrize("options", [("--steps", "many"), ("--steps", ""), ("--rate", "-1"), ()])
def test_a_replay_that_makes_no_sense_is_refused(esb: Run, ran: Path, options: tuple[str, ...]) -> None:
    """A usage error; nothing is begun."""
    every = ("--all", "--yes") if options else ()
    assert esb("replay", "start", "-C", ran, *every, *options).exit_code == 2
    assert data(esb("replay", "list", "-C", ran, "--json")) == []


def test_db(esb: Run, shop: Path) -> None:
    """That there is none is told (exit code 1), and makes none; upgraded it is told, and pruning it deletes nothing."""
    status = esb("db", "status", "-C", shop)
    assert (status.exit_code, "start the bus with `esb run`" in status.stderr) == (1, True)
    assert not (shop / "data").exists()
    assert "empty -> " in esb("db", "upgrade", "-C", shop).stderr
    assert "already" in esb("db", "upgrade", "-C", shop).stderr
    status = data(esb("db", "status", "-C", shop, "--json"))
    assert (status["ok"], status["current"]) == (True, status["needed"])
    assert ": 0 rows deleted" in esb("db", "prune", "-C", shop).stderr


def test_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Times lose their date, errors their end, ids what is not needed to find them; a pipe gets everything."""
    head = ("received", "error", "message")
    row = ("2026-01-31 12:00:00", "something went wrong at length", "01a1fd43-be29-85ea-87dd-6fe0a6c1b970")
    shrink = (("error", 10), ("message", 18), ("received", 8))
    common.print_table(head, [row], shrink=shrink)
    wide = capsys.readouterr().out
    assert all(cell in wide for cell in row)
    monkeypatch.setattr(common, "get_terminal_size", lambda: terminal_size((40, 20)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    common.print_table(head, [row], shrink=shrink)
    assert click.unstyle(capsys.readouterr().out).splitlines()[1] == "12:00:00  something…  01a1fd43-be29-85ea"


def test_json_is_stable(esb: Run, ran: Path) -> None:
    """Each read gives JSON that another decoder reads, too."""
    lines = (
        "messages",
        "trace O-1001",
        "failed list",
        "ledger",
        "endpoints",
        "flows",
        "doctor",
        "db status",
        "jobs list",
    )
    for line in lines:
        assert msgspec.json.decode(esb(*line.split(), "-C", ran, "--json").stdout)


def test_contracts_and_mappings(esb: Run, ran: Path, tmp_path: Path) -> None:
    """Listed with who uses them, shown as a tree, tried on a document; a typo is not found."""
    assert "mapping row-to-order (to)" in esb("contracts", "-C", ran).stdout
    assert "orderId" in esb("contracts", "show", "-C", ran, "order/v1").stdout
    (tmp_path / "empty.json").write_text("{}")
    result = esb("contracts", "validate", "-C", ran, "order/v1", tmp_path / "empty.json")
    assert (result.exit_code, '"orderId" is a required property' in result.stderr) == (1, True)
    assert data(esb("mappings", "-C", ran, "--json"))[0]["mapping"] == "row-to-order"
    result = esb("map", "-C", ran, "row-to-order", tmp_path / "empty.json")
    assert (result.exit_code, "order.row/v1" in result.stderr) == (1, True)
    assert esb("contracts", "show", "-C", ran, "ordr/v1").exit_code == 3


def test_the_map_in_words_as_json_and_as_a_picture(esb: Run, ran: Path) -> None:
    """The whole bus, one flow, and a file that a viewer opens."""
    assert "orders-in → orders → orders-out.order" in esb("landscape", "-C", ran).stdout
    assert "map:row-to-order" in esb("landscape", "-C", ran, "orders").stdout
    boxes = {box["id"]: box for box in data(esb("landscape", "-C", ran, "--json"))["boxes"]}
    assert boxes["flow:orders"]["numbers"]["count"] == 3
    assert esb("landscape", "-C", ran, "--svg", "-").stdout.startswith("<svg")
    assert esb("landscape", "-C", ran, "order").exit_code == 3
