"""Replays: parked messages sent on again in steps; how far each has come, and what can be done about it then."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import BadRequest

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.parked import meant
from esb.admin.services import Services
from esb.worker import repair, replays

SHOWN = 50
TONES = {"running": "info", "done": "ok", "stopped": "bad", "paused": "warn", "cancelled": "idle"}
ACTS: dict[str, replays.Act] = {"pause": "pause", "resume": "resume", "next": "next", "cancel": "cancel"}


def blueprint(services: Services) -> flask.Blueprint:
    """``/parked/replays``."""
    area = flask.Blueprint("replays", __name__, url_prefix="/parked/replays")

    @area.get("")
    def index() -> Any:
        with services.store.reading() as t:
            rows = t.replays.list(SHOWN)
        return flask.render_template("parked/replays.html", replays=rows, tones=TONES)

    @area.post("")
    @requires("operator")
    def start() -> Any:
        """Messages by key, or everything of a group that was parked when the page was made."""
        chosen = meant()
        if not chosen:
            raise BadRequest("Nothing is selected.")
        try:
            plan = replays.plan_of(pages.field("steps"), _number("rate", float), _number("tolerate", int))
        except ValueError as error:
            raise BadRequest(f"{error}.") from error
        begun = repair.replay(services.store, chosen, plan, pages.who(), pages.reason())
        said = f"{begun.count} {'message' if begun.count == 1 else 'messages'}"
        pages.notice(f"{said} will be sent on in steps.")
        return pages.back(flask.url_for("replays.index"))

    @area.post("/<id>/<act>")
    @requires("operator")
    def act(id: str, act: str) -> Any:
        if act not in ACTS:
            raise BadRequest("There is no such act.")
        why = pages.reason()
        try:
            with services.store.transaction() as t:
                one = replays.act_on(t, id, ACTS[act], services.clock(), pages.who(), why)
        except replays.NotPossible as error:
            pages.notice(f"{error}.", "warn")
        else:
            pages.notice(f"The replay is {one.state}.")
        return pages.back(flask.url_for("replays.index"))

    return area


def _number(name: str, kind: Any) -> Any:
    """A number of the form; nothing is 0."""
    try:
        return kind(pages.field(name) or 0)
    except ValueError:
        raise BadRequest(f"{name} is a number.") from None
