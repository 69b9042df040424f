"""Pictures as boxes and arrows, and how a flow becomes one. Pure: an outline in, coordinates out.

A flow reads from top to bottom. Ways of a choice stand side by side below it and meet again; where a step lets a
message out stands to its right, and so does the body of a split, in a frame. So boxes never overlap, and no arrow
crosses one. The layout is by hand because a flow is a tree already: general graph layouts know less about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count as counter

import msgspec

from esb.config.definition import LoadedFlow
from esb.flow.outline import Branch, Node, failing, outline
from esb.flow.step import Link

WIDTH, HEIGHT = 216.0, 50.0  # of a box, in the picture's units
PILL = 26.0  # height of a way's condition
GAP, SIDE = 30.0, 52.0  # between boxes: downwards, sideways
STACK = 12.0  # between the targets of one step
FRAME, FRAME_HEAD = 16.0, 34.0  # inside a frame
MARGIN = 12.0
WHEN_FAILING = "when a step fails"

Point = tuple[float, float]


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """One box. ``key`` is where its figures are found: ``source``, ``step:<name>``, ``endpoint:<name>`` …

    ``word`` stands small above ``text``; ``title`` is all of it, for who points at it or hears it read.
    """

    id: str
    kind: str  # endpoint, event, schedule, flow, saga, end, way, or step
    text: str
    word: str = ""
    title: str = ""
    key: str = ""
    link: str = ""  # name of the endpoint, flow or event that it leads to
    x: float = 0.0
    y: float = 0.0
    width: float = WIDTH
    height: float = HEIGHT

    def moved(self, x: float, y: float) -> Box:
        """The same elsewhere."""
        return msgspec.structs.replace(self, x=self.x + x, y=self.y + y)


class Arrow(msgspec.Struct, frozen=True):
    """From one box to another, along points. ``kind``: plain, event (dashed) or call (something comes back)."""

    source: str
    target: str
    points: tuple[Point, ...]
    kind: str = "plain"
    curved: bool = False

    def moved(self, x: float, y: float) -> Arrow:
        """The same elsewhere."""
        return msgspec.structs.replace(self, points=tuple((px + x, py + y) for px, py in self.points))

    @property
    def path(self) -> str:
        """For the ``d`` of an SVG path."""
        (x, y), *rest = self.points
        parts = [f"M{x:g} {y:g}"]
        for number, (nx, ny) in enumerate(rest):
            middle = (x + nx) / 2
            bend = self.curved and number % 2 == 0
            parts.append(f"C{middle:g} {y:g} {middle:g} {ny:g} {nx:g} {ny:g}" if bend else f"L{nx:g} {ny:g}")
            x, y = nx, ny
        return " ".join(parts)


class Frame(msgspec.Struct, frozen=True):
    """Drawn around what belongs together."""

    text: str
    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Frame:
        """The same elsewhere."""
        return msgspec.structs.replace(self, x=self.x + x, y=self.y + y)


class Picture(msgspec.Struct, frozen=True):
    """All of it, and its size."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[Frame, ...]
    width: float
    height: float


class _Part(msgspec.Struct):
    """Boxes laid out from (0, 0); ``exits`` are the lower ends from which it goes on."""

    boxes: list[Box] = []
    arrows: list[Arrow] = []
    frames: list[Frame] = []
    width: float = 0.0
    height: float = 0.0
    exits: list[tuple[str, Point]] = []

    def take(self, other: _Part, x: float, y: float) -> None:
        """Put another part in, at a place; its exits stay its own."""
        self.boxes += [box.moved(x, y) for box in other.boxes]
        self.arrows += [arrow.moved(x, y) for arrow in other.arrows]
        self.frames += [frame.moved(x, y) for frame in other.frames]
        self.width = max(self.width, x + other.width)
        self.height = max(self.height, y + other.height)

    def add(self, box: Box) -> None:
        """One box more."""
        self.boxes.append(box)
        self.width = max(self.width, box.x + box.width)
        self.height = max(self.height, box.y + box.height)


def part_of(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> _Part:
    """Boxes and arrows that have their places already."""
    part = _Part(arrows=list(arrows))
    for box in boxes:
        part.add(box)
    return part


def picture_of(flow: LoadedFlow) -> Picture:
    """The picture of one flow."""
    kind = "event" if flow.is_event else "schedule" if flow.schedule else "endpoint"
    text, link = flow.origin, "" if flow.schedule else flow.source
    source = Box(
        id="source",
        kind=kind,
        word="at" if flow.schedule else "from event" if flow.is_event else "from",
        text=text,
        title=text,
        key="source",
        link=link,
    )
    return draw(flow.title, source, outline(flow), failing(flow))


def draw(title: str, source: Box, nodes: Sequence[Node], failing: Sequence[Node] = ()) -> Picture:
    """A source, steps below it, and apart from them those for failures."""
    drawing = _Drawing()
    part = drawing.row([_leaf(source), *(drawing.node(node) for node in nodes)])
    if failing:
        part.take(drawing.boxed(Branch(WHEN_FAILING, tuple(failing))), 0.0, part.height + GAP)
    return framed(title, part)


def framed(title: str, part: _Part) -> Picture:
    """A part with a margin around it."""
    whole = _Part()
    whole.take(part, MARGIN, MARGIN)
    return Picture(
        title, tuple(whole.boxes), tuple(whole.arrows), tuple(whole.frames), whole.width + MARGIN, whole.height + MARGIN
    )


def lines_of(nodes: Iterable[Node], depth: int = 0) -> Iterable[tuple[int, str]]:
    """The same in words: (depth, line), for a terminal and for who cannot see the picture."""
    for node in nodes:
        yield depth, told(node)
        for branch in node.branches:
            yield depth + 1, f"{branch.title}:"
            yield from lines_of(branch.nodes, depth + 2)


def told_lines(flow: LoadedFlow) -> Iterable[tuple[int, str]]:
    """A flow in words."""
    yield from lines_of(outline(flow))
    if flow.on_error:
        yield 0, f"{WHEN_FAILING}:"
        yield from lines_of(failing(flow), 1)


def told(node: Node) -> str:
    """One step in a line."""
    named = node.name if node.name.partition(":")[0] == node.kind else f"{node.name} ({node.kind})"
    more = "" if not node.text or node.text in node.name else f" {node.text}"
    return named + more


def shown(node: Node) -> str:
    """What stands in a step's box: its own name where somebody gave one, else what it does."""
    given = node.name.partition(":")[0] != node.kind
    if given:
        return node.name
    return node.text or (f"{len(node.ways)} ways" if node.ways else node.kind)


class _Drawing:
    def __init__(self) -> None:
        self._ids = (f"box-{number}" for number in counter(1))

    def row(self, parts: Sequence[_Part]) -> _Part:
        """Parts below each other, each entered from all the exits above it."""
        whole = _Part()
        for part in parts:
            top = whole.height + GAP if whole.boxes else 0.0
            if part.boxes:
                whole.arrows += [_down(id, exit, part.boxes[0], top) for id, exit in whole.exits]
                whole.take(part, 0.0, top)
                whole.exits = [(id, (x, y + top)) for id, (x, y) in part.exits]
        return whole

    def node(self, node: Node) -> _Part:
        """A step with all that belongs to it."""
        box = Box(
            id=next(self._ids), kind="step", word=node.kind, text=shown(node), title=told(node), key=f"step:{node.name}"
        )
        part = _leaf(box)
        self._links(node, box, part)
        if node.body:
            self._body(node.body, box, part)
        if node.ways:
            self._ways(node, box, part)
        return part

    def _links(self, node: Node, box: Box, part: _Part) -> None:
        for number, link in enumerate(node.links):
            target = self._target(link, node).moved(WIDTH + SIDE, number * (HEIGHT + STACK))
            part.add(target)
            kind = "call" if link.answers else "plain" if link.kind == "endpoint" else "event"
            part.arrows.append(_across(box, target, kind))

    def _target(self, link: Link, node: Node) -> Box:
        id = next(self._ids)
        if link.kind == "end":
            title = "the message goes no further"
            return Box(id=id, kind="end", word="else", text="ends here", title=title, key=f"end:{node.name}")
        text = f"{link.name}.{link.operation}" if link.operation else link.name
        word = "asks" if link.answers else {"endpoint": "to", "event": "event"}[link.kind]
        key = f"{link.kind}:{link.name}"
        return Box(id=id, kind=link.kind, word=word, text=text, title=text, key=key, link=link.name)

    def _body(self, body: Branch, box: Box, part: _Part) -> None:
        frame, left = self.boxed(body), WIDTH + SIDE
        part.take(frame, left, 0.0)
        if frame.boxes:
            part.arrows.append(_across(box, frame.boxes[0].moved(left, 0.0), "plain"))

    def boxed(self, body: Branch) -> _Part:
        """Steps in a frame."""
        inner = self.row([self.node(node) for node in body.nodes])
        frame = _Part(width=inner.width + 2 * FRAME, height=inner.height + FRAME + FRAME_HEAD)
        frame.frames.append(Frame(body.title, 0.0, 0.0, frame.width, frame.height))
        frame.take(inner, FRAME, FRAME_HEAD)
        return frame

    def _ways(self, node: Node, box: Box, part: _Part) -> None:
        top, left, exits = part.height + GAP, 0.0, []
        for way in node.ways:
            key = f"way:{node.name}:{way.title}"
            pill = Box(id=next(self._ids), kind="way", text=way.title, title=way.title, key=key, height=PILL)
            inside = self.row([_leaf(pill), *(self.node(node) for node in way.nodes)])
            part.take(inside, left, top)
            part.arrows.append(_down(box.id, (WIDTH / 2, HEIGHT), pill.moved(left, top), 0.0))
            exits += [(id, (x + left, y + top)) for id, (x, y) in inside.exits]
            left += inside.width + SIDE
        part.exits = exits


def _leaf(box: Box) -> _Part:
    part = _Part(exits=[(box.id, (box.x + box.width / 2, box.y + box.height))])
    part.add(box)
    return part


def _down(source: str, start: Point, target: Box, top: float) -> Arrow:
    """From a lower end to the top of a box: straight, or with two bends right above the box."""
    x, y = target.x + target.width / 2, target.y + top
    points = (start, (x, y)) if start[0] == x else (start, (start[0], y - GAP / 2), (x, y - GAP / 2), (x, y))
    return Arrow(source, target.id, points)


def _across(source: Box, target: Box, kind: str) -> Arrow:
    """From the right of a box to the left of another."""
    start = (source.x + source.width, source.y + source.height / 2)
    end = (target.x, target.y + target.height / 2)
    bend = start[0] + SIDE / 2
    points = (start, end) if start[1] == end[1] else (start, (bend, start[1]), (bend, end[1]), end)
    return Arrow(source.id, target.id, points, kind)
