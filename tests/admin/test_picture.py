"""Pictures of flows and of the bus: whatever the flow, boxes stay apart and arrows go from box to box."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esb.admin.drawing import svg_file
from esb.admin.landscape import Landscape, drawn
from esb.admin.landscape import Node as Place
from esb.admin.live import Numbers, step_numbers
from esb.admin.picture import Arrow, Box, Picture, draw, lines_of, picture_of
from esb.cli.scaffold import write
from esb.config import load
from esb.discovery import discover
from esb.flow import StepTrace
from esb.flow.outline import Branch, Node, outline
from esb.flow.step import Link

SOURCE = Box(id="source", kind="endpoint", text="pos", key="source")
LINKS = st.builds(Link, st.sampled_from(["endpoint", "event", "end"]), st.just("there"), st.just(""), st.booleans())


PLAIN = st.builds(lambda links: Node("n", "send", "", 1, tuple(links)), st.lists(LINKS, max_size=3))


def deeper(inner: Any) -> Any:
    """Steps with ways, or with a body, of steps."""
    branch = st.builds(lambda inside: Branch("when", tuple(inside)), st.lists(inner, max_size=3))
    choice = st.builds(
        lambda ways: Node("c", "choose", "", 1, ways=tuple(ways)), st.lists(branch, min_size=1, max_size=3)
    )
    return choice | st.builds(lambda body: Node("s", "split", "", 1, body=body), branch)


TREES = st.lists(st.recursive(PLAIN, deeper, max_leaves=8), max_size=4)


def apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y
        or other.y + other.height <= one.y
    )


def on_edge(point: tuple[float, float], box: Box) -> bool:
    x, y = point
    within = box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
    inside = box.x < x < box.x + box.width and box.y < y < box.y + box.height
    return within and not inside


def crosses(arrow: Arrow, box: Box) -> bool:
    """Whether a straight part of the arrow runs through the inside of a box."""
    for (x1, y1), (x2, y2) in pairwise(arrow.points):
        left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        if left < box.x + box.width and right > box.x and top < box.y + box.height and bottom > box.y:
            return True
    return False


def assert_sound(picture: Picture) -> None:
    boxes = {box.id: box for box in picture.boxes}
    assert len(boxes) == len(picture.boxes)
    for one, other in combinations(picture.boxes, 2):
        assert apart(one, other), (one, other)
    for arrow in picture.arrows:
        assert on_edge(arrow.points[0], boxes[arrow.source])
        assert on_edge(arrow.points[-1], boxes[arrow.target])
    for box in picture.boxes:
        assert box.x >= 0 and box.x + box.width <= picture.width
        assert box.y >= 0 and box.y + box.height <= picture.height


@settings(max_examples=60)
@given(TREES)
def test_boxes_of_a_flow_stay_apart_and_no_arrow_runs_through_one(tree):
    """However steps are nested, nothing lies on anything else, and every arrow ends at a box."""
    picture = draw("any", SOURCE, tree)
    assert_sound(picture)
    for arrow in picture.arrows:
        assert not any(crosses(arrow, box) for box in picture.boxes), arrow


@settings(max_examples=60)
@given(TREES)
def test_every_step_is_reached(tree):
    """Each box but the source has an arrow that leads to it."""
    picture = draw("any", SOURCE, tree)
    reached = {arrow.target for arrow in picture.arrows}
    assert {box.id for box in picture.boxes} - reached == {"source"}


@settings(max_examples=60)
@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda edge: edge[0] != edge[1]), max_size=16))
def test_a_map_is_sound_even_with_circles(edges):
    """Whatever leads to whatever, boxes stay apart, arrows end at boxes and pass the columns between in slots."""
    names = {name for edge in edges for name in edge} | {0}
    found = Landscape(
        nodes={f"n{name}": Place(f"n{name}", "flow", "flow", "x", "x", "x") for name in names},
        edges={(f"n{one}", f"n{other}"): "plain" for one, other in edges},
    )
    picture = drawn("any", found)
    assert_sound(picture)
    for arrow in picture.arrows:
        between = [(a, b) for a, b in pairwise(arrow.points[1:-1])][::2]
        straight = Arrow(arrow.source, arrow.target, tuple(point for pair in between for point in pair))
        assert not any(crosses(straight, box) for box in picture.boxes)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The scaffold's definition."""
    place = tmp_path_factory.mktemp("picture") / "shop"
    write(place)
    return load(place, discover())


def test_a_picture_is_a_well_formed_drawing_with_its_words(shop):
    """A file that viewers open, with title and description for who hears it read; nothing of a name is markup."""
    flow = shop.flows["orders"]
    text = svg_file(picture_of(flow), {"source": Numbers(1204, 3, 12, 0.05)})
    root = ElementTree.fromstring(text)
    words = " ".join(root.itertext())
    assert root.tag.endswith("svg")
    assert {"orders-in", "row-to-order", "■ 3", "◷ 12"} <= {text.strip() for text in root.itertext()}, words
    assert flow.title in words


def test_a_hostile_name_stays_text():
    """What stands in a file cannot become markup of the picture."""
    evil = Node("</text><script>alert(1)</script>", "map", "x", 1)
    assert "<script" not in svg_file(draw("<b>", SOURCE, [evil]))


def test_an_outline_tells_what_a_flow_does(shop):
    """The same in words, for a terminal and for who cannot see the picture."""
    lines = [line for _, line in lines_of(outline(shop.flows["orders"]))]
    assert "map:row-to-order" in lines
    assert "publish:order.received/v1" in lines


def test_a_split_without_a_body_takes_the_steps_behind_it(tmp_path: Path):
    """As the engine does: they stand in its frame."""
    write(tmp_path / "shop")
    file = tmp_path / "shop" / "flows" / "orders.yaml"
    head = file.read_text().partition("steps:")[0]
    file.write_text(head + 'steps:\n  - split: "[1, 2]"\n  - set: {a: 1}\n  - set: {b: 1}\n')
    (tmp_path / "shop" / "flows" / "orders.test.yaml").unlink()
    (node,) = outline(load(tmp_path / "shop", discover()).flows["orders"])
    assert [inner.name for inner in node.body.nodes] == ["set", "set:2"]


def test_figures_tell_ways_and_what_was_filtered():
    """A choice's ways are counted by what the journey noted, a filter's end by what it left out."""
    traces = [
        StepTrace("filter", "filter", "passed"),
        StepTrace("filter", "filter", "filtered"),
        StepTrace("choose", "choose", "a = 1"),
        StepTrace("send:x", "send", "failed: contract"),
    ]
    numbers = step_numbers(traces)
    assert numbers["step:filter"].count == 2
    assert numbers["end:filter"].count == 1
    assert numbers["way:choose:a = 1"].count == 1
    assert numbers["step:send:x"].failed == 1
