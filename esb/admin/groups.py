"""Groups: messages that wait for each other at a step, what for, and letting them go."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.exceptions import NotFound

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services
from esb.store import GroupRow
from esb.worker.groups import NoGroup, release, stays

PAGE = 50
SHOWN = 200  # messages of one group


def blueprint(services: Services) -> flask.Blueprint:
    """``/groups``."""
    area = flask.Blueprint("groups", __name__, url_prefix="/groups")

    @area.get("")
    def index() -> Any:
        return _list(services)

    @area.get("/<id>")
    def show(id: str) -> Any:
        return _page(services, id)

    @area.post("/<id>/release")
    @requires("operator")
    def let_go(id: str) -> Any:
        reason = pages.reason()
        try:
            row = release(services.context, id, pages.who(), reason)
        except NoGroup as refused:
            pages.notice(str(refused), "bad")
        else:
            pages.notice(f"What was there of {row.key} goes on.")
        return pages.back(flask.url_for("groups.show", id=id))

    return area


def _list(services: Services) -> str:
    asked = {word: pages.arg(word) for word in ("flow", "key", "ended")}
    before = _cursor(pages.arg("before"))
    with services.store.reading() as t:
        rows = t.groups.search(
            flow=asked["flow"], key=asked["key"], waiting=not asked["ended"], before=before, limit=PAGE + 1
        )
    older = pages.here(before=_text(rows[PAGE - 1])) if len(rows) > PAGE else ""
    return flask.render_template(
        "groups/index.html", rows=rows[:PAGE], flows=sorted(services.definition.flows), asked=asked,
        filled=any(asked.values()), older=older, newest=pages.here(before=None) if before else "",
    )  # fmt: skip


def _text(row: GroupRow) -> str:
    return f"{row.opened_at!r}~{row.id}"


def _cursor(text: str) -> tuple[float, str] | None:
    at, _, id = text.partition("~")
    try:
        return (float(at), id) if id else None
    except ValueError:
        return None


def _page(services: Services, id: str) -> str:
    with services.store.reading() as t:
        row = t.groups.get(id)
        if row is None:
            raise NotFound(f"There is no group {id}.")
        held = stays(t, id, SHOWN)
    return flask.render_template(
        "groups/show.html", row=row, held=held, most=SHOWN, active=services.definition.hash,
        known=row.flow in services.definition.flows,
    )  # fmt: skip
