"""The map of the whole bus: systems that messages come from, flows and events, systems that they go to.

Columns from left to right, after Sugiyama, Tagawa and Toda (1981): each node one column right of what leads to it,
long arrows held apart from boxes by empty slots, the order within a column by the mean of the neighbours. Hand-written:
layout libraries for Python draw on Graphviz or bring numpy, and this is what a map needs of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from esb.admin.picture import HEIGHT, STACK, Arrow, Box, Picture, framed, part_of
from esb.config.definition import Definition, LoadedFlow, LoadedSaga
from esb.flow.outline import whole

SWEEPS = 6  # there and back; more changes nothing on maps that were looked at
SLOT = 14.0  # height of the empty slot that a long arrow passes through
WIDTH = 168.0  # of a box: five columns fit on a common screen
SPACE = 54.0  # between columns: room for curves

Edge = tuple[str, str]


class Node(msgspec.Struct, frozen=True):
    """Something on the map."""

    id: str
    kind: str
    word: str
    text: str
    link: str
    key: str


class Landscape(msgspec.Struct):
    """What is on the map, and what leads to what. ``last`` are the nodes of the rightmost column."""

    nodes: dict[str, Node] = {}
    edges: dict[Edge, str] = {}  # -> kind of the arrow
    last: set[str] = set()


def landscape(definition: Definition) -> Landscape:
    """Everything that a definition joins."""
    found = Landscape()
    for flow in definition.flows.values():
        me = _add(found, Node(f"flow:{flow.name}", "flow", "flow", flow.name, flow.name, f"flow:{flow.name}"))
        found.edges[_origin(found, flow), me] = "event" if flow.is_event else "plain"
        for node in whole(flow):
            for link in node.links:
                if link.kind == "event":
                    found.edges[me, _event(found, link.name)] = "event"
                elif link.kind == "endpoint":
                    _leads_out(found, me, link.name, link.answers)
    for saga in definition.sagas.values():
        _saga(found, saga)
    _unused(found, definition)
    return found


def map_of(definition: Definition) -> Picture:
    """The picture of the whole bus."""
    return drawn(f"The bus {definition.config.bus}", landscape(definition))


def drawn(title: str, found: Landscape) -> Picture:
    """Nodes in columns, arrows between them."""
    columns, paths = _columns(found)
    _order(columns, paths)
    places = _placed(columns)
    boxes = [_box(found.nodes[name], *place) for name, place in places.items() if name in found.nodes]
    arrows = [_arrow(path, places, found.edges[path[0], path[-1]]) for path in paths]
    return framed(title, part_of(boxes, arrows))


def _add(found: Landscape, node: Node) -> str:
    found.nodes[node.id] = node
    return node.id


def _event(found: Landscape, ref: str) -> str:
    return _add(found, Node(f"event:{ref}", "event", "event", ref, ref, f"event:{ref}"))


def _origin(found: Landscape, flow: LoadedFlow) -> str:
    if flow.is_event:
        return _event(found, flow.source)
    if flow.schedule:
        return _add(found, Node(f"schedule:{flow.name}", "schedule", "schedule", flow.origin, "", ""))
    return _entry(found, flow.source)


def _saga(found: Landscape, saga: LoadedSaga) -> None:
    me = _add(found, Node(f"saga:{saga.name}", "saga", "saga", saga.name, saga.name, f"saga:{saga.name}"))
    origin = _event(found, saga.source) if saga.is_event else _entry(found, saga.source)
    found.edges[origin, me] = "event" if saga.is_event else "plain"
    for step in saga.steps:
        for call in (step.call, step.compensate.call if step.compensate else ""):
            if call:
                _leads_out(found, me, call.partition(".")[0], answers=True)
    for event in filter(None, (saga.completed, saga.compensated)):
        found.edges[me, _event(found, event.publish)] = "event"


def _entry(found: Landscape, name: str) -> str:
    return _add(found, Node(f"in:{name}", "endpoint", "from", name, name, f"in:{name}"))


def _leads_out(found: Landscape, source: str, name: str, answers: bool) -> None:
    target = _add(found, Node(f"out:{name}", "endpoint", "to", name, name, f"out:{name}"))
    found.last.add(target)
    if found.edges.get((source, target)) != "call":
        found.edges[source, target] = "call" if answers else "plain"


def _unused(found: Landscape, definition: Definition) -> None:
    """Endpoints that no flow mentions are on the map, too: somebody registered them."""
    for name, endpoint in definition.endpoints.items():
        if endpoint.receive and f"in:{name}" not in found.nodes:
            _entry(found, name)
        if endpoint.operations and f"out:{name}" not in found.nodes:
            found.last.add(_add(found, Node(f"out:{name}", "endpoint", "to", name, name, f"out:{name}")))


# --- columns -------------------------------------------------------------------------------------------------------


def _columns(found: Landscape) -> tuple[list[list[str]], list[list[str]]]:
    """The nodes of each column with their slots, and each edge as the way through them."""
    depth = _depths(found)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in sorted(found.nodes):
        columns[depth[name]].append(name)
    paths = []
    for source, target in sorted(found.edges):
        step = 1 if depth[target] >= depth[source] else -1
        slots = {at: f"slot {source} {target} {at}" for at in range(depth[source] + step, depth[target], step)}
        for at, slot in slots.items():
            columns[at].append(slot)
        paths.append([source, *slots.values(), target])
    return columns, paths


def _depths(found: Landscape) -> dict[str, int]:
    """The longest way that leads to each node; an edge that would close a circle does not count."""
    before: dict[str, list[str]] = {name: [] for name in found.nodes}
    for source, target in found.edges:
        before[target].append(source)
    depth: dict[str, int] = {}

    def measure(name: str, above: frozenset[str]) -> int:
        if name not in depth:
            inner = above | {name}
            depth[name] = max((measure(one, inner) + 1 for one in before[name] if one not in inner), default=0)
        return depth[name]

    for name in sorted(found.nodes):
        measure(name, frozenset())
    deepest = max((depth[name] for name in found.nodes if name not in found.last), default=-1)
    return depth | dict.fromkeys(found.last, deepest + 1)


def _order(columns: list[list[str]], paths: Sequence[Sequence[str]]) -> None:
    """Fewer crossings: each column in the order of its neighbours' means, from both sides in turn."""
    links = [(one, other) for path in paths for one, other in pairwise(path)]
    after: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    for one, other in links:
        after.setdefault(one, []).append(other)
        before.setdefault(other, []).append(one)
    for sweep in range(SWEEPS):
        neighbours, order = (before, columns) if sweep % 2 == 0 else (after, columns[::-1])
        for column in order:
            _sort(column, neighbours, {name: n for line in columns for n, name in enumerate(line)})


def _sort(column: list[str], neighbours: Mapping[str, Sequence[str]], rank: Mapping[str, int]) -> None:
    def mean(name: str) -> float:
        places = [rank[other] for other in neighbours.get(name, ())]
        return sum(places) / len(places) if places else rank[name]

    means = {name: mean(name) for name in column}
    column.sort(key=means.__getitem__)


def _placed(columns: Sequence[Sequence[str]]) -> dict[str, tuple[float, float, float]]:
    """(x, y, height) of each node and slot; columns are centred on each other."""
    heights = [_height(column) for column in columns]
    tallest = max(heights, default=0.0)
    places: dict[str, tuple[float, float, float]] = {}
    for number, column in enumerate(columns):
        y = (tallest - heights[number]) / 2
        for name in column:
            height = _tall(name)
            places[name] = (number * (WIDTH + SPACE), y, height)
            y += height + STACK * 1.5
    return places


def _height(column: Sequence[str]) -> float:
    return sum(map(_tall, column)) + STACK * 1.5 * max(len(column) - 1, 0)


def _tall(name: str) -> float:
    return SLOT if name.startswith("slot ") else HEIGHT


def _box(node: Node, x: float, y: float, height: float) -> Box:
    title = f"{node.word} {node.text}"
    return Box(
        id=node.id, kind=node.kind, word=node.word, text=node.text, title=title, key=node.key, link=node.link,
        x=x, y=y, width=WIDTH, height=height,
    )  # fmt: skip


def _arrow(path: Sequence[str], places: Mapping[str, tuple[float, float, float]], kind: str) -> Arrow:
    """From the right of the first box to the left of the last, straight through the slots between."""
    return Arrow(path[0], path[-1], tuple(_points(path, places)), kind, curved=True)


def _points(path: Sequence[str], places: Mapping[str, tuple[float, float, float]]) -> Iterator[tuple[float, float]]:
    back = places[path[-1]][0] <= places[path[0]][0]  # it leads to the left, and enters each box from its right
    for number, name in enumerate(path):
        x, y, height = places[name]
        sides = (x + WIDTH, x) if back else (x, x + WIDTH)
        for side in sides[1:] if number == 0 else sides[:1] if number == len(path) - 1 else sides:
            yield side, y + height / 2
