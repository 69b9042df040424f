"""What holds for a directory as a whole, and what a definition holds."""

from __future__ import annotations

import pytest
from parts import components
from shops import Shop, place

from esb.config import load, sources_of_flows
from esb.config.findings import Report
from esb.config.tree import Place
from esb.errors import ConfigError

EVENT = '{"type": "object", "properties": {"total": {"type": "number"}}}'


def test_cycle_through_several_flows_is_one_finding(shop: Shop) -> None:
    """a → b → a, told once, at the first publish on the way."""
    shop.write("contracts/a/v1.json", EVENT)
    shop.write("contracts/b/v1.json", EVENT)
    shop.write("flows/x.yaml", "flow: x\nfrom: a/v1\nsteps:\n  - publish: b/v1\n")
    shop.write("flows/y.yaml", "flow: y\nfrom: b/v1\nsteps:\n  - publish: a/v1\n")
    found = shop.only()
    assert place(found) == "flows/x.yaml:4:14 loop"
    assert "b/v1 → a/v1" in found.text


def test_flow_that_can_never_start(shop: Shop) -> None:
    """Its endpoint takes nothing in."""
    shop.edit("flows/sales.yaml", "from: pos", "from: warehouse")
    errors = [f for f in shop.findings() if f.level == "error"]
    assert [place(f) for f in errors] == ["flows/sales.yaml:2:7 unreachable-flow"]


def test_event_that_no_flow_publishes_is_a_warning(shop: Shop) -> None:
    """Another program may publish it."""
    shop.edit("flows/sales.yaml", "  - publish: order.placed/v1\n", "")
    found = shop.only()
    assert place(found) == "flows/archive.yaml:2:7 unreachable-flow"
    assert found.level == "warning"
    assert shop.inspect().definition is not None


def test_endpoint_at_which_nothing_starts_is_a_warning(shop: Shop) -> None:
    """What comes in there would be taken and go nowhere. A saga is a start as well as a flow; a flow of another
    endpoint is none."""
    shop.write("endpoints/tills.yaml", "endpoint: tills\nadapter: files\nsettings: {directory: x}\nreceive: {}\n")
    found = shop.only()
    assert place(found) == "endpoints/tills.yaml:4:1 unused"
    assert found.level == "warning"
    assert "add 'from: tills' to a flow" in found.text
    shop.write("flows/tills.yaml", "flow: tills\nfrom: tills\nsteps:\n  - send: archive.write\n")
    assert shop.findings() == []
    (shop.root / "flows/tills.yaml").unlink()
    shop.write("sagas/tills.yaml", "saga: tills\nfrom: tills\nkey: id\nsteps: [{name: keep, call: archive.write}]\n")
    assert shop.findings() == []


def test_what_nothing_refers_to_is_a_warning(shop: Shop) -> None:
    """A mapping, a contract and a lookup that are left over."""
    shop.write("mappings/old.yaml", "mapping: old\nset: {a: 1}\n")
    shop.write("contracts/old/v1.json", EVENT)
    shop.write("lookups/old.csv", "key,value\n")
    found = shop.findings()
    assert [place(f) for f in found] == [
        "contracts/old/v1.json:1:1 unused",
        "lookups/old.csv:1:1 unused",
        "mappings/old.yaml:1:10 unused",
    ]
    assert {f.level for f in found} == {"warning"}


def test_inbox_that_forgets_too_soon(shop: Shop) -> None:
    """A message that comes again after the inbox forgot it would act twice."""
    shop.write("esb.yaml", "retention: {messages: 30d, inbox: 30d}\n")
    assert place(shop.only()) == "esb.yaml:1:35 retention"


def test_two_endpoints_of_one_name(shop: Shop) -> None:
    """The second one is pointed at, the first one named."""
    shop.write("endpoints/twin.yaml", "endpoint: pos\nadapter: files\nsettings: {directory: x}\n")
    found = shop.only()
    assert place(found) == "endpoints/twin.yaml:1:11 duplicate-name"
    assert "endpoints/pos.yaml:1" in found.text


@pytest.mark.parametrize(
    ("receive", "where", "said"),
    [
        ("{path: /sale}", "3:17", "belongs to the endpoint 'desk' (endpoints/desk.yaml:3): give it another path"),
        ("{path: /desk}", "", ""),
        ("{path: /healthz}", "3:17", "'stall' listens at /healthz, which belongs to the bus itself: give"),
        ("{path: /readyz}", "3:17", "belongs to the bus itself"),
        ("{}", "", ""),
    ],
)  # fmt: skip
def test_two_endpoints_at_one_path(shop: Shop, receive: str, where: str, said: str) -> None:
    """One of them would never be called; the second is pointed at, the first one named."""
    shop.write("endpoints/desk.yaml", "endpoint: desk\nadapter: served\nreceive: {path: /sale}\n")
    shop.write("endpoints/stall.yaml", f"endpoint: stall\nadapter: served\nreceive: {receive}\n")
    found = [f for f in shop.findings() if f.level == "error"]
    assert [place(f) for f in found] == ([f"endpoints/stall.yaml:{where} duplicate-path"] if where else [])
    assert said in "".join(f.text for f in found)


def test_a_path_that_another_endpoint_has_by_its_name(shop: Shop) -> None:
    """An endpoint that names no path listens at its name; an overlay's path is pointed at in the overlay."""
    shop.write("endpoints/desk.yaml", "endpoint: desk\nadapter: served\nreceive: {}\n")
    shop.write("endpoints/alley.yaml", "endpoint: alley\nadapter: served\nreceive: {path: /desk}\n")
    (found,) = [f for f in shop.findings() if f.level == "error"]
    assert place(found) == "endpoints/desk.yaml:3:10 duplicate-path"
    assert "the endpoint 'alley' (endpoints/alley.yaml:3): give it a path of its own under 'receive'" in found.text
    shop.edit("endpoints/alley.yaml", "/desk", "/alley")
    shop.edit("esb.prod.yaml", "  warehouse:\n", "  desk: {receive: {path: /alley}}\n  warehouse:\n")
    assert not [f for f in shop.findings() if f.level == "error"]
    (found,) = [f for f in shop.findings("prod") if f.level == "error"]
    assert place(found) == "esb.prod.yaml:4:26 duplicate-path"


@pytest.mark.parametrize(
    ("file", "old", "new", "where", "hint"),
    [
        ("endpoints/pos.yaml", "adapter: files", "adapter: fils", "3:10 unknown-adapter", "files"),
        ("endpoints/pos.yaml", "{table:", "{tabel:", "6:10 unknown-format", "table"),
        ("endpoints/pos.yaml", '{table: {delimiter: ";"}}', "jason", "6:9 unknown-format", "json"),
        ("endpoints/pos.yaml", "delimiter:", "delimter:", "6:18 unknown-key", "delimiter"),
        ("endpoints/pos.yaml", "directory:", "dir:", "5:12 unknown-key", "directory"),
        ("endpoints/pos.yaml", "pattern:", "patern:", "8:44 unknown-key", "pattern"),
        ("endpoints/pos.yaml", "poll: 5s", "pol: 5s", "8:34 unknown-key", "poll"),
        ("endpoints/pos.yaml", "poll: 5s", "poll: 5 parsecs", "8:40 bad-value", ""),
        ("endpoints/pos.yaml", "endpoint: pos", "endpoint: POS", "1:11 bad-value", ""),
        ("endpoints/warehouse.yaml", "effect: keyed", "effect: keyd", "6:54 bad-value", "keyed"),
        ("endpoints/warehouse.yaml", "{contract: order.placed/v1}", "{effect: keyed}", "13:19 unsupported", ""),
        ("endpoints/warehouse.yaml", "adapter: web", "adapter: web\nreceive: {}", "3:1 unsupported", ""),
        ("endpoints/warehouse.yaml", "failures: 3", "failures: three", "4:32 wrong-type", ""),
        ("flows/archive.yaml", "archive.write", "archive.wrote", "5:11 unknown-operation", "archive.write"),
        ("flows/archive.yaml", "archive.write", "warehouse", "5:11 unknown-operation", ""),
        ("flows/archive.yaml", "archive.write", "pos", "5:11 unknown-operation", ""),
        ("flows/archive.yaml", "- send: archive.write", "- {}", "5:5 missing-key", ""),
        ("flows/archive.yaml", "- send: archive.write", "- send archive.write", "5:5 wrong-type", ""),
        ("flows/archive.yaml", "send: archive.write", "send: archive.write\n    publish: x/v1", "6:5 unknown-key", ""),
        ("flows/archive.yaml", "send: archive.write", "send: archive.write\n    nam: x", "6:5 unknown-key", "name"),
        ("flows/archive.yaml", "send: archive.write", "send: {too: archive.write}", "5:12 unknown-key", "to"),
        ("flows/archive.yaml", "filter: total > 10\n  -", "name: a\n    set: {note: total}\n  - name: a\n   ", "6:11 duplicate-name", ""),  # noqa: E501
        ("flows/sales.yaml", "- otherwise:", "- otherwize:", "7:9 unknown-key", "otherwise"),
        ("mappings/pos-sale-to-order.yaml", "from: pos.sale/v1", "source: pos.sale/v1", "2:1 unknown-key", ""),
        ("contracts/order/v1.json", '"type": "array"', '"type": "aray"', "10:15 bad-contract", ""),
        ("contracts/order/v1.json", '"#/$defs/customer"', '"#/$defs/customers"', "8:26 bad-contract", ""),
        ("contracts/order/v1.json", '"number"},\n    "note"', '"number"}\n    "note"', "17:5 bad-contract", ""),
        ("contracts/order/v1.json", '"note":', '"total":', "17:5 duplicate-key", ""),
        ("contracts/pos.sale/v1.json", '"x-subject": "ticket"', '"x-subject": "ticket +"', "4:16 bad-expression", ""),
        ("contracts/order.placed/v1.json", "order/v1", "order/v2", "1:10 unknown-contract", "order/v1"),
        ("lookups/countries.csv", "DE,DE", "UK,DE", "3:1 bad-lookup", ""),
        ("lookups/countries.csv", "DE,DE", "DE", "3:1 bad-lookup", ""),
    ],
)  # fmt: skip
def test_each_mistake_is_one_error_at_its_place(
    shop: Shop, file: str, old: str, new: str, where: str, hint: str
) -> None:
    """A correct directory with one thing wrong has one error, there, with the nearest valid word."""
    shop.edit(file, old, new)
    errors = [f for f in shop.findings() if f.level == "error"]
    assert [place(f) for f in errors] == [f"{file}:{where}"], "\n".join(map(str, errors))
    assert errors[0].hint == hint


def test_missing_key_beside_another_mistake(shop: Shop) -> None:
    """Neither hides the other: all findings at once."""
    shop.edit("endpoints/pos.yaml", "adapter: files\n", "")
    shop.edit("endpoints/pos.yaml", "owner: retail-ops", "concurrency: four")
    errors = [place(f) for f in shop.findings() if f.level == "error"]
    assert errors == ["endpoints/pos.yaml:1:1 missing-key", "endpoints/pos.yaml:3:14 wrong-type"]


def test_second_error_at_one_place_is_its_consequence() -> None:
    """A value that is known to be wrong is not found wrong again; a warning there still counts."""
    report = Report()
    for kind, level in (("missing-secret", "error"), ("bad-value", "error"), ("yaml-trap", "warning")):
        report.add(Place("x.yaml", 2, 3), kind, "Something.", level=level)
    assert [f.kind for f in report.findings] == ["missing-secret", "yaml-trap"]


def test_recovery_of_an_endpoint_changes_only_what_it_says(shop: Shop) -> None:
    """Also within the breaker: the bus's reset stays when the endpoint only counts failures."""
    shop.write("esb.yaml", "recovery: {retries: 1, breaker: {failures: 9, reset: 7s}}\n")
    recovery = shop.definition().endpoints["warehouse"].recovery
    assert (recovery.retries, recovery.breaker.failures, recovery.breaker.reset) == (1, 3, 7.0)


def test_load_raises_all_errors_with_their_lines(shop: Shop) -> None:
    """The error carries the findings, and its text shows line and caret."""
    shop.edit("endpoints/pos.yaml", "adapter: files", "adapter: fils")
    shop.edit("flows/archive.yaml", "archive.write", "archiv.write")
    with pytest.raises(ConfigError) as caught:
        load(shop.root, components(), environ=shop.environ)
    assert [f.kind for f in caught.value.findings] == ["unknown-adapter", "unknown-endpoint"]
    assert "    3 | adapter: fils\n      |          ^" in str(caught.value)


def test_steps_are_named_by_kind_and_target(shop: Shop) -> None:
    """Numbered from the second on, nested ones too, in the order of the file; a name given goes first."""
    shop.edit(
        "flows/archive.yaml", "- send: archive.write", "- send: archive.write\n    name: keep\n  - send: archive.write"
    )
    definition = shop.definition()
    assert [s.name for s in definition.flows["archive"].steps] == ["filter", "keep", "send:archive.write"]
    choose = definition.flows["sales"].steps[1]
    inner = [s.name for branch in choose.settings.root for s in branch.steps]
    assert (choose.name, inner) == ("choose", ["send:warehouse.order", "set", "send:warehouse.order:2"])
    assert (choose.file, choose.line, choose.column) == ("flows/sales.yaml", 5, 5)


def test_definition_of_the_correct_directory(shop: Shop) -> None:
    """Every open key is resolved against its adapter and format, every default in its place."""
    definition = shop.definition()
    pos = definition.endpoints["pos"]
    assert (pos.settings.directory, pos.receive.settings.pattern, pos.receive.common.poll) == (
        "inbox/pos",
        "*.csv",
        5.0,
    )
    assert (pos.format, pos.format_settings.delimiter, pos.records.lines) == ("table", ";", "items")
    assert pos.recovery.delays == (5.0, 60.0)
    effects = {name: o.effect for e in definition.endpoints.values() for name, o in e.operations.items()}
    assert effects == {"order": "keyed", "cancel": "keyed", "write": "unkeyed"}
    mapping = definition.mappings["pos-sale-to-order"]
    assert mapping.lines[("lines", "set", "sku")] == 11
    assert type(mapping.set["lines"]) is dict
    assert definition.lookups == {"lookups/countries.csv": {"UK": "GB", "DE": "DE"}}
    assert sources_of_flows(definition.files) == [("archive", "order.placed/v1", False), ("sales", "pos", False)]


def test_lookup_with_more_columns_gives_rows(shop: Shop) -> None:
    """Two columns give a text, more give the row; a semicolon in the first row makes it the separator."""
    shop.write("lookups/countries.csv", "code;name;vat\nUK;GB;20\n")
    assert shop.definition().lookups["lookups/countries.csv"] == {"UK": {"code": "UK", "name": "GB", "vat": "20"}}
