from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from esb.cases.run import run_cases
from esb.config import Definition, check
from esb.discovery import discover
from esb.examples.retail.systems import tills
from esb.flow import Result, build_parts, compile_flow
from esb.formats.records import group
from esb.message import Message, create


def arrivals(definition: Definition) -> Iterator[tuple[str, Message | None]]:
    """Each ticket of the tills as the bus reads it: its bytes, and its message unless it cannot be read."""
    pos = definition.endpoints["pos"]
    csv = discover().formats[pos.format](pos.format_settings)
    assert pos.records is not None
    for name, content in tills.plan(300).files:
        if "again" not in name:
            records = csv.read(io.BytesIO(content))
            for record in group(records, pos.records.group_by, pos.records.lines, pos.records.head, csv.join):
                body = msgspec.json.encode(record.document)
                raw = record.raw.decode("cp1252", "replace")
                yield raw, None if record.error else create(body, type="pos.sale", version=1, source="pos")


def test_the_bus_has_no_findings(directory: Path) -> None:
    """Neither errors nor warnings, also without any environment."""
    assert check(directory, discover(), environ={}) == ()


def test_its_test_cases_pass(definition: Definition) -> None:
    """Mappings, flows and sagas have cases beside them, and they hold."""
    results = list(run_cases(definition, build_parts(definition)))
    assert [result for result in results if not result.passed] == []
    tested = {*definition.flows, *definition.mappings, *definition.sagas}
    assert {result.tested for result in results} == tested


def test_every_ticket_meets_its_fate(definition: Definition) -> None:
    """On the real engine, what the tills dropped is filtered, completed and parked exactly as they say it must be."""
    expected = tills.plan(300).expected
    sales = compile_flow(definition.flows["sales"], definition, build_parts(definition))
    fates: Counter[str] = Counter()
    parked: dict[str, set[str]] = defaultdict(set)
    sent: dict[str, list[str | None]] = defaultdict(list)
    for raw, message in arrivals(definition):
        result = sales.run(message) if message else Result(status="failed")
        fates[result.status] += 1
        if result.status == "failed":
            parked[result.error.kind if result.error else "decode"].add(raw.splitlines()[1].partition(";")[0])
        for send in result.sends:
            sent[f"{send.endpoint}.{send.operation}"].append(send.message.subject)
        sent["order.placed"] += [event.message.subject for event in result.events]
    why: dict[str, set[str]] = defaultdict(set)
    for trouble, numbers in expected.parked_why.items():
        why[tills.PARKED_AS[trouble]] |= set(numbers)
    assert parked == why
    assert (fates["completed"], fates["filtered"]) == (expected.completed, expected.filtered)
    assert sorted(map(str, sent["warehouse.order"])) == sorted(expected.ship)
    assert sorted(map(str, sent["warehouse.collect"])) == sorted(expected.collect)
    assert sorted(map(str, sent["order.placed"])) == expected.orders


def test_each_subscriber_gets_one_send_out_of_an_order(definition: Definition) -> None:
    """The event passes the contracts of the search service and of the archive."""
    parts = build_parts(definition)
    flows = {name: compile_flow(flow, definition, parts) for name, flow in definition.flows.items()}
    results = [flows["sales"].run(message) for _, message in arrivals(definition) if message]
    events = [event.message for result in results for event in result.events]
    for name, target in (("search", "search.index"), ("archive", "archive.keep")):
        sends = [flows[name].run(event).sends for event in events]
        assert {f"{send.endpoint}.{send.operation}" for batch in sends for send in batch} == {target}
        assert [len(batch) for batch in sends] == [1] * len(events)
