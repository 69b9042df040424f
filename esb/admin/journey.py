"""The journey of one message: its family as a tree, and what happened at one place of it, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import NotFound
from werkzeug.utils import secure_filename

from esb.admin import pages
from esb.admin.excerpts import excerpts
from esb.admin.services import Services
from esb.store import Hop, Status
from esb.worker.differences import lines
from esb.worker.journey import Node, headers_of, pretty, steps_of, tree
from esb.worker.recompute import Recomputed, Recomputer, StepView

MOST = 500  # hops of one journey that a page shows
SHOWN = 64 * 1024  # bytes of a body that a page shows
_OPEN = (Status.PARKED, Status.IN_DOUBT)


class Line(msgspec.Struct, frozen=True):
    """One line of the tree: how deep it stands, and the node."""

    depth: int
    node: Node


def blueprint(services: Services) -> flask.Blueprint:
    """``/journey?id=…`` with ``place=…`` for the place that is looked at."""
    area = flask.Blueprint("journey", __name__, url_prefix="/journey")
    recomputer = Recomputer(services.context, services.parts)

    @area.get("")
    def index() -> Any:
        id, place = pages.arg("id"), pages.arg("place")
        with services.store.reading() as t:
            family = t.tracking.family(id, MOST + 1)
            at = _chosen(family, id, place)
            hop = t.tracking.get(at.message_id, at.place)
            parked = t.parked.get(at.message_id, at.place) if at.status in _OPEN else None
            stored = t.definitions.get(at.definition or "")
        if hop is None:
            raise NotFound
        return flask.render_template(
            "journey/index.html", hop=hop, parked=parked, family=family, rows=_rows(family[:MOST], id), most=MOST,
            started=family[0].received_at, body=_body(hop.body), headers=headers_of(hop),
            steps=_steps(recomputer, hop, family), lines=lines, marks=_marks,
            excerpts=excerpts(hop.error or "", stored.files if stored else {}, services.definition.secrets),
        )  # fmt: skip

    @area.get("/body")
    def body() -> Any:
        return _download(services, pages.arg("id"), pages.arg("place"))

    return area


def _chosen(family: Sequence[Hop], id: str, place: str) -> Hop:
    """The place that is looked at: the one asked for, else where it is stuck, else its flow, else its first."""
    own = [hop for hop in family if hop.message_id == id]
    if not own:
        raise NotFound
    tries = (
        lambda hop: hop.place == place,
        lambda hop: hop.status in _OPEN,
        lambda hop: hop.place.startswith("flow:"),
        lambda hop: True,
    )
    return next(hop for fits in tries for hop in own if fits(hop))


def _rows(family: Sequence[Hop], id: str) -> list[Line]:
    """The tree in which the message is, line by line."""
    found: list[Line] = []
    waiting = [Line(0, node) for node in reversed(tree(family, [id]))]
    while waiting:
        line = waiting.pop()
        found.append(line)
        waiting += [Line(line.depth + 1, node) for node in reversed(line.node.below)]
    return found


def _steps(recomputer: Recomputer, hop: Hop, family: Sequence[Hop]) -> Recomputed | None:
    if not hop.place.startswith("flow:"):
        return None
    return recomputer.steps(hop, _split(hop, family))


def _split(hop: Hop, family: Sequence[Hop]) -> str:
    """The split step whose part the message is, as the flow noted it at the message it comes from."""
    parents = (one for one in family if one.message_id == hop.causation_id and one.place == hop.place)
    steps = (step for one in parents for step in steps_of(one))
    return next((step.step for step in steps if step.kind == "split" and hop.message_id in step.children), "")


def _marks(step: StepView) -> dict[str, str]:
    return {change.path: change.sort for change in step.changes}


def _body(body: bytes | None) -> str:
    """The beginning of a body, for people."""
    if body is None:
        return ""
    if len(body) <= SHOWN:
        return pretty(body)
    return body[:SHOWN].decode("utf-8", "replace")


def _download(services: Services, id: str, place: str) -> Any:
    """A body as a file: never shown by the browser itself, whatever is in it."""
    with services.store.reading() as t:
        hop = t.tracking.get(id, place)
    if hop is None or hop.body is None:
        raise NotFound
    json = "json" in (hop.content_type or "")
    response = flask.make_response(hop.body)
    response.headers["Content-Type"] = "application/octet-stream"
    name = secure_filename(f"{hop.subject or id}-{place}") or "message"
    response.headers["Content-Disposition"] = f"attachment; filename={name}.{'json' if json else 'bin'}"
    return response
