"""Who uses what: mappings, contracts and endpoints, with the steps that refer to them."""

from __future__ import annotations

from esb.config import Definition, load
from esb.flow.usage import contract_uses, flows_at, mapping_uses
from tests.flow.conftest import Bench


def loaded(bench: Bench, steps: str) -> Definition:
    bench.steps(steps)
    return load(bench.root, bench.components, environ={})


def told(uses: dict[str, list], name: str) -> list[str]:
    return [str(use) for use in uses[name]]


def test_a_mapping_is_used_by_the_steps_that_name_it(bench: Bench) -> None:
    """Wherever they stand; what nobody names is used by nobody."""
    definition = loaded(
        bench, "- choose: [{when: country = 'GB', do: [{map: to-order}, {send: {to: search, map: to-warehouse}}]}]"
    )
    uses = mapping_uses(definition)
    assert told(uses, "to-order") == ["flow sales (step map:to-order)"]
    assert told(uses, "to-warehouse") == ["flow sales (step send:search)"]
    assert mapping_uses(loaded(bench, "- send: search"))["to-order"] == []


def test_a_contract_is_used_by_mappings_endpoints_and_steps(bench: Bench) -> None:
    """A mapping that is written in place names its own."""
    definition = loaded(bench, "- map: {to: order/v1, set: {orderId: ticket, country: country}}\n- publish: order/v1")
    uses = contract_uses(definition)
    assert told(uses, "order/v1") == [
        "flow sales (step map)", "flow sales (step publish:order/v1)", "mapping to-order (to)"
    ]  # fmt: skip
    assert told(uses, "sale/v1") == ["endpoint pos (receives)", "mapping to-order (from)"]
    plain = contract_uses(loaded(bench, "- map: {set: {orderId: ticket}}"))
    assert told(plain, "order/v1") == ["mapping to-order (to)"]


def test_flows_at_an_endpoint(bench: Bench) -> None:
    """Those that start there, and those that send to it."""
    definition = loaded(bench, "- split: {each: items, do: {send: search}}")
    assert [flows_at(definition, name) for name in ("pos", "search", "warehouse")] == [
        (["sales"], []), ([], ["sales"]), ([], [])
    ]  # fmt: skip
