"""Test messages: what a flow says of its own, and what endpoints answer in place of the systems behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from esb.config.definition import LoadedFlow
from esb.config.findings import nearest
from esb.config.mappings import plain
from esb.config.schedules import check_schedule
from esb.config.scope import World
from esb.config.steps import ParsedFlow
from esb.config.tree import Map, Spot, root
from esb.contract import Contract
from esb.errors import ContractError


def check_test_messages(flows: Iterable[ParsedFlow], world: World) -> None:
    """Of each flow that has one: when, what, and where to."""
    for parsed in flows:
        if parsed.flow is not None and parsed.flow.test_message is not None:
            _check_flow(parsed.flow, parsed.spot.at("test_message"), world)


def check_test_replies(documents: Iterable[Map], world: World) -> None:
    """What stands in for an answer meets the contract of the answer."""
    for document in documents:
        spot = root(document, document.place.file).at("operations")
        for name, written in spot.value.items() if isinstance(spot.value, Map) else ():
            if isinstance(written, Map) and "test_reply" in written:
                _check_document(written.get("reply"), written["test_reply"], spot.at(name, "test_reply"), world)


def _check_flow(flow: LoadedFlow, spot: Spot, world: World) -> None:
    test = flow.test_message
    assert test is not None
    if test.schedule is not None or test.every is not None:
        check_schedule(spot, test, world.report)
    _check_document(_received(flow, world), test.document, spot.at("document"), world)
    for number, name in enumerate(test.reaches):
        if name not in world.endpoints and name not in world.broken["endpoint"]:
            text = f"There is no endpoint {name!r}."
            here = spot.at("reaches", number)
            world.report.at(here, "unknown-endpoint", text, value=name, hint=nearest(name, world.endpoints))


def _received(flow: LoadedFlow, world: World) -> str | None:
    """What comes in at the source of a flow."""
    endpoint = world.endpoints.get(flow.source)
    if endpoint is not None and endpoint.receive is not None:
        return endpoint.receive.common.contract
    return flow.source if flow.is_event else None


def _check_document(ref: object, document: Any, spot: Spot, world: World) -> None:
    if not isinstance(ref, str) or not world.schemas.get(ref):
        return  # none is in force, or it has its finding already
    try:
        Contract(ref, world.schemas[ref], world.schemas).check(plain(document))
    except ContractError as error:
        world.report.at(spot, "bad-value", f"A test message that is refused tests nothing: {error}")
