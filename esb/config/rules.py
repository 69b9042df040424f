"""What holds for the bus as a whole: references, loops, reach, retention, nothing forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from esb.config.definition import LoadedEndpoint
from esb.config.expressions import Context
from esb.config.fields import Node, View, view_of
from esb.config.findings import Report, nearest
from esb.config.models import BusConfig
from esb.config.schedules import SCHEDULED, check_schedule
from esb.config.scope import FlowScope, World
from esb.config.steps import ParsedFlow
from esb.config.tree import Map, Place, Spot, root
from esb.contract import references
from esb.units import duration_text


def check_mappings(documents: Iterable[Map], world: World) -> None:
    """Every mapping: its contracts, its expressions, its target fields."""
    for document in documents:
        spot = root(document, document.place.file)
        for key in ("from", "to"):
            if key in document:
                world.needs_contract(document[key], spot.at(key))
        lookups = document.get("lookups")
        functions = tuple(lookups) if isinstance(lookups, Map) else ()
        if isinstance(lookups, Map):
            world.used.update(("lookup", str(file)) for file in lookups.values())
        source = view_of(_text(document, "from"), world.schemas)
        target = view_of(_text(document, "to"), world.schemas)
        world.leaves.check(spot.at("set"), Context(source, {"message": None}, functions), target)


def _text(document: Map, key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) else None


def check_endpoints(documents: Iterable[Map], world: World) -> None:
    """The contracts that endpoints name."""
    for document in documents:
        spot = root(document, document.place.file)
        operations = document.get("operations")
        names = list(operations) if isinstance(operations, Map) else []
        for here in (spot.at("receive"), *(spot.at("operations", name) for name in names)):
            for key in ("contract", "reply"):
                if isinstance(here.value, Map) and key in here.value and here.path:
                    world.needs_contract(here.value[key], here.at(key))


def check_flows(flows: Iterable[ParsedFlow], world: World) -> None:
    """Every flow: where it starts, then its steps with the contract in force."""
    for parsed in flows:
        view = source_view(parsed, world)
        scope = FlowScope(world, parsed, parsed.spot, view)
        scope.run(parsed.sequence)
        if parsed.flow is None or parsed.flow.on_error:
            scope.unknown().handler(tuple(step for step in parsed.on_error if step))


def source_view(parsed: ParsedFlow, world: World) -> View | None:
    """What a flow or saga starts from, which must exist; the shape of what comes from there."""
    name = parsed.spot.value.get("from")
    spot = parsed.spot.at("from")
    if isinstance(name, Map):
        check_schedule(spot, parsed.flow.schedule if parsed.flow else None, world.report)
        return View((Node(SCHEDULED, "the schedule"),), world.schemas, "the schedule")
    if not isinstance(name, str):
        return None
    if "/" in name:
        world.needs_contract(name, spot)
        return view_of(name, world.schemas)
    endpoint = world.endpoints.get(name)
    if endpoint is None:
        if name not in world.broken["endpoint"]:
            text = f"There is no endpoint {name!r}; an event is written with its version: order.placed/v1."
            world.report.at(spot, "unknown-endpoint", text, hint=nearest(name, world.endpoints))
        return None
    if endpoint.receive is None:
        never = f"so this {parsed.kind} never starts"
        text = f"The endpoint {name!r} has no 'receive', {never}: add 'receive' to the endpoint."
        world.report.at(spot, "unreachable-flow", text)
        return None
    return view_of(endpoint.receive.common.contract, world.schemas)


def check_controls(flows: Iterable[ParsedFlow], world: World) -> None:
    """Flows, their steps and tables that a message switches must exist."""
    steps = {parsed.title: parsed.steps for parsed in flows if parsed.kind == "flow"}
    tables = {step.settings.table for found in steps.values() for step in found if step.kind == "route"}
    for one in world.controlled:
        named = [step.name for step in steps.get(one.name, ()) if step.kind == one.kind]
        if one.kind == "table":
            _needs(one.name, tables, f"There is no routing table {one.name!r}.", one.spot.at("table"), world)
        elif one.name not in steps:
            _needs(one.name, steps, f"There is no flow {one.name!r}.", one.spot.at("flow"), world)
        elif one.kind != "flow":
            text = f"The flow {one.name!r} has no {one.kind} of the name {one.key!r}."
            _needs(one.key, named, text, one.spot.at("step"), world)


def _needs(word: str, known: Collection[str], text: str, spot: Spot, world: World) -> None:
    if word not in known:
        world.report.at(spot, "bad-value", text, value=word, hint=nearest(word, known))


def check_loops(flows: Iterable[ParsedFlow], world: World) -> None:
    """A flow that starts itself through its own events never ends: one finding a cycle."""
    starts = {p.title: p.spot.value.get("from") for p in flows}
    told: set[frozenset[str]] = set()
    for use in sorted(world.published, key=lambda use: use.spot.place):
        cycle = _way(use.ref, starts.get(use.flow), world, starts)
        members = frozenset((use.ref, *cycle)) if cycle is not None else None
        if cycle is not None and members is not None and members not in told:
            told.add(members)
            way = " → ".join((use.ref, *cycle))
            what = "flow" if not use.flow.startswith("saga ") else "saga"
            advice = "Publish another event, or remove the step."
            text = f"This event starts its own {what} again, without end: {way}. {advice}"
            world.report.at(use.spot, "loop", text)


def _way(event: str, goal: object, world: World, starts: Mapping[str, object]) -> list[str] | None:
    """The shortest way from one event to another along flows: the events on it, or None."""
    ways: dict[str, list[str]] = {event: []}
    waiting = [event]
    while waiting:
        current = waiting.pop(0)
        if current == goal:
            return ways[current] + ([] if ways[current] else [event])
        for use in world.published:
            if starts.get(use.flow) == current and use.ref not in ways:
                ways[use.ref] = [*ways[current], use.ref]
                waiting.append(use.ref)
    return None


def check_retention(
    config: BusConfig, document: Map | None, endpoints: Iterable[LoadedEndpoint], report: Report
) -> None:
    """The inbox must remember longer than a message can come again."""
    longest = max((wait for e in endpoints for wait in e.recovery.delays), default=0.0)
    needed = config.retention.messages + longest
    if config.retention.inbox >= needed:
        return
    spot = root(document, "esb.yaml")
    for path in (("retention", "inbox"), ("retention", "messages"), ("recovery", "delays")):
        here = spot.at(*path)
        if len(here.path) == len(path):
            break
    text = (
        f"The inbox forgets after {duration_text(config.retention.inbox)}, but a message may come again for "
        f"{duration_text(needed)} (retention.messages and the longest delay): raise retention.inbox."
    )
    report.at(here, "retention", text)


def check_reach(flows: Iterable[ParsedFlow], world: World) -> None:
    """A flow on an event that no flow of this bus publishes: perhaps another program does, so a warning."""
    published = {use.ref for use in world.published}
    for parsed in flows:
        name = parsed.spot.value.get("from")
        if isinstance(name, str) and "/" in name and name not in published:
            text = f"No flow publishes {name}, so this one starts only if another program does."
            hint = nearest(name, published)
            world.report.at(parsed.spot.at("from"), "unreachable-flow", text, level="warning", hint=hint)


def check_sources(documents: Iterable[Map], flows: Iterable[ParsedFlow], world: World) -> None:
    """An endpoint at which nothing starts takes in what nobody gets: a file is gone from its directory, for nothing."""
    starts = {parsed.spot.value.get("from") for parsed in flows if isinstance(parsed.spot.value.get("from"), str)}
    for document in documents:
        name = document.get("endpoint")
        if isinstance(name, str) and "receive" in document and name not in starts:
            text = (
                "Nothing starts at this endpoint, so what comes in there is taken and goes nowhere: "
                f"add 'from: {name}' to a flow, or remove 'receive'."
            )
            spot = root(document, document.place.file).at("receive")
            world.report.at_key(spot, "unused", text, level="warning", value=name)


def check_unused(world: World, contract_files: Iterable[str]) -> None:
    """Mappings, contracts and lookups that nothing refers to."""
    used = {name for kind, name in world.used if kind == "contract"}
    for schema in world.schemas.values():
        for _, reference in references(schema):
            used.add(reference.removeprefix("esb:").partition("#")[0])
    for name, document in world.mappings.items():
        if ("mapping", name) not in world.used:
            _unused(root(document, document.place.file).at("mapping"), f"The mapping {name!r}", world.report)
    for file in contract_files:
        if file.removeprefix("contracts/").removesuffix(".json") not in used:
            _unused(root(None, file), "This contract", world.report)
    for file in world.lookups:
        if ("lookup", file) not in world.used:
            _unused(Spot(None, Place(file), Place(file)), "This lookup", world.report)


def _unused(spot: Spot, what: str, report: Report) -> None:
    report.at(spot, "unused", f"{what} is used nowhere: remove it, or refer to it.", level="warning")
