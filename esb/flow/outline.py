"""A flow as a tree of what its steps are: for pictures, listings, and what is used where. Nothing is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from esb.config.components import Step
from esb.config.definition import LoadedFlow
from esb.flow.step import Link, Sketch
from esb.flow.steps import STEPS

if TYPE_CHECKING:
    from esb.flow.step import Kind


class Branch(msgspec.Struct, frozen=True):
    """Nodes inside a node, and when they are taken."""

    title: str
    nodes: tuple[Node, ...]


class Node(msgspec.Struct, frozen=True):
    """One step: see :class:`~esb.flow.step.Sketch` for the fields that come from there."""

    name: str
    kind: str
    text: str
    line: int
    links: tuple[Link, ...] = ()
    ways: tuple[Branch, ...] = ()
    body: Branch | None = None
    mappings: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All that lies inside."""
        return (*self.ways, self.body) if self.body else self.ways


def outline(flow: LoadedFlow, kinds: Mapping[str, type[Kind]] = STEPS) -> tuple[Node, ...]:
    """The steps of a flow, nested ones inside theirs."""
    return _nodes(flow.steps, kinds)


def failing(flow: LoadedFlow, kinds: Mapping[str, type[Kind]] = STEPS) -> tuple[Node, ...]:
    """The steps that a flow takes when one of the others fails."""
    return _nodes(flow.on_error, kinds)


def whole(flow: LoadedFlow) -> Iterator[Node]:
    """Every node of a flow, those for failures at the end."""
    return every((*outline(flow), *failing(flow)))


def every(nodes: Iterable[Node]) -> Iterator[Node]:
    """All nodes, in the order in which they stand in the file."""
    for node in nodes:
        yield node
        for branch in node.branches:
            yield from every(branch.nodes)


def _nodes(steps: Sequence[Step], kinds: Mapping[str, type[Kind]]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for number, step in enumerate(steps):
        kind = kinds[step.kind]
        whole = kind.absorb(step, steps[number + 1 :])
        nodes.append(_node(step, kind.sketch((whole or step).settings), kinds))
        if whole:
            break
    return tuple(nodes)


def _node(step: Step, sketch: Sketch, kinds: Mapping[str, type[Kind]]) -> Node:
    ways = tuple(Branch(way.title, _nodes(way.steps, kinds)) for way in sketch.ways)
    if step.on_error:
        ways = (*(ways or (Branch("goes well", ()),)), Branch("on error", _nodes(step.on_error, kinds)))
    body = Branch(sketch.body.title, _nodes(sketch.body.steps, kinds)) if sketch.body else None
    return Node(
        step.name, step.kind, sketch.text, step.line, sketch.links, ways, body, sketch.mappings, sketch.contracts
    )
