"""A journey as a tree: places, below them their steps, below those what came of each.

The command line prints it and the pages show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from esb.flow import StepTrace
from esb.store import Hop

Key = tuple[str, str]  # message id, place

_STEPS = msgspec.msgpack.Decoder(list[StepTrace])
_HEADERS = msgspec.msgpack.Decoder(dict[str, str])
_ORDER = ("in:", "test:", "flow:", "saga:", "event:", "out:")  # of the places of one message


class Node(msgspec.Struct):
    """One line of the tree, and what lies below it: a hop, a step of one, or a part of a split (neither)."""

    label: str
    status: str = ""
    note: str = ""
    error: str = ""
    body: str = ""
    below: list[Node] = []
    hop: Hop | None = None
    step: StepTrace | None = None


def steps_of(hop: Hop) -> list[StepTrace]:
    """What a flow noted at this hop; nothing where it is no flow."""
    return _STEPS.decode(hop.steps) if hop.steps else []


def headers_of(hop: Hop) -> dict[str, str]:
    """The message's headers, as far as they were stored."""
    return _HEADERS.decode(hop.headers) if hop.headers else {}


def tree(
    hops: Sequence[Hop],
    wanted: Iterable[str] = (),
    bodies: bool = False,
    ids: bool = False,
    answers: Mapping[Key, str] = MappingProxyType({}),
) -> list[Node]:
    """The messages that nothing else is known to have led to, each with all that came of it.

    Args:
        hops: of one journey.
        wanted: only the trees in which one of these message ids is; all when empty.
        bodies, ids: whether nodes carry bodies and message ids.
        answers: what endpoints said to the commands of hops, as text; each becomes a node below its hop.
    """
    grower = _Grower(hops, bodies, ids, answers)
    roots = [id for id in grower.messages if grower.is_root(id)]
    chosen = set(wanted)
    return [node for id in roots if not chosen or chosen & grower.family(id) for node in grower.grow(id)]


def pretty(body: bytes) -> str:
    """A body for people: JSON indented, anything else as text; so is JSON that is too deep to indent."""
    try:
        return msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")


class _Grower:
    """Turns hops into nodes; each message is grown once, at the step it came from."""

    def __init__(self, hops: Sequence[Hop], bodies: bool, ids: bool, answers: Mapping[Key, str]) -> None:
        self.messages: dict[str, list[Hop]] = {}
        for hop in hops:
            self.messages.setdefault(hop.message_id, []).append(hop)
        self._bodies = bodies
        self._ids = ids
        self._answers = answers
        self._children: dict[str, list[str]] = {}
        for id, places in self.messages.items():
            places.sort(key=lambda hop: (_rank(hop.place), hop.received_at))
            self._children.setdefault(places[0].causation_id or "", []).append(id)
        self._grown: set[str] = set()

    def is_root(self, id: str) -> bool:
        cause = self.messages[id][0].causation_id
        return cause not in self.messages or cause == id

    def family(self, id: str) -> set[str]:
        """A message and all its descendants."""
        found, open_ = {id}, [id]
        while open_:
            more = [child for child in self._children.get(open_.pop(), ()) if child not in found]
            found.update(more)
            open_ += more
        return found

    def grow(self, id: str) -> list[Node]:
        """A message: where it entered, below that the flows that took it, below those their steps."""
        if id in self._grown or id not in self.messages:
            return []
        self._grown.add(id)
        hops = self.messages[id]
        nodes = [self._hop(hop, first=hop is hops[0]) for hop in hops]
        if hops[0].place.startswith(("in:", "test:")):
            nodes[0].below = [*nodes[0].below, *nodes[1:]]
            nodes = nodes[:1]
        # Children that no step names: parts that failed, and whatever came while steps were not stored.
        for child in self._children.get(id, ()):
            nodes[0].below.extend(self.grow(child))
        return nodes

    def _hop(self, hop: Hop, first: bool) -> Node:
        steps = steps_of(hop)
        parts: dict[str, list[StepTrace]] = {}
        for step in steps:
            parts.setdefault(step.part, []).append(step)
        return Node(
            label=f"{hop.place}.{hop.operation}" if hop.operation else hop.place,
            status=hop.status.label,
            note=self._note(hop),
            error=f"{hop.error_kind}: {hop.error}" if hop.error else "",
            body=pretty(hop.body) if self._bodies and hop.body and first else "",
            below=[*self._answer(hop), *(self._step(step, parts) for step in parts.get("", ()))],
            hop=hop,
        )

    def _answer(self, hop: Hop) -> list[Node]:
        said = self._answers.get((hop.message_id, hop.place))
        return [Node("answer", body=said)] if said is not None else []

    def _note(self, hop: Hop) -> str:
        kind = f"{hop.type}/v{hop.version}" if hop.version else hop.type
        said = [kind, hop.detail or "", f"attempt {hop.attempts}" if hop.attempts > 1 else ""]
        if hop.ended_at and hop.ended_at > hop.received_at:
            said.append(took(hop.ended_at - hop.received_at))
        return ", ".join(filter(None, [*said, hop.message_id if self._ids else ""]))

    def _step(self, step: StepTrace, parts: Mapping[str, list[StepTrace]]) -> Node:
        below: list[Node] = []
        for n, child in enumerate(step.children, 1):
            if child in parts and step.kind == "split":
                inner = [self._step(one, parts) for one in parts[child]]
                below.append(Node(f"part {n}", below=[*inner, *self.grow(child)]))
            else:
                below += self.grow(child)
        return Node(step.step, note=_words(step), below=below, step=step)


def _rank(place: str) -> int:
    return next((n for n, sort in enumerate(_ORDER) if place.startswith(sort)), len(_ORDER))


def _words(step: StepTrace) -> str:
    """The outcome, unless the step's name says it already."""
    named = step.step == step.outcome or step.step.startswith(f"{step.kind}:{step.outcome}")
    return "" if named else step.outcome


def took(seconds: float) -> str:
    """``8 ms``, ``2.5 s``, ``3 min``."""
    if seconds < 1:
        return f"{max(1000 * seconds, 1):.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
