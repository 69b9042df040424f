"""The audit: who did what to what, when and why."""

from __future__ import annotations

from typing import Any

import flask

from esb.admin import pages
from esb.admin.access import requires
from esb.admin.services import Services

PAGE = 50


def blueprint(services: Services) -> flask.Blueprint:
    """``/audit``."""
    area = flask.Blueprint("audit", __name__, url_prefix="/audit")

    @area.get("")
    @requires("operator")
    def index() -> Any:
        asked = {name: pages.arg(name) for name in ("who", "act", "target")}
        since, until = pages.when("from"), pages.when("to")
        before = pages.number("before", 0, 0, 2**62)
        with services.store.reading() as t:
            entries = t.audit.find(**asked, since=since, until=until, before=before or None, limit=PAGE + 1)
            acts = t.audit.acts()
        older = pages.here(before=entries[PAGE - 1].id) if len(entries) > PAGE else ""
        newest = pages.here(before=None) if before else ""
        return flask.render_template(
            "audit/index.html", entries=entries[:PAGE], acts=acts, older=older, newest=newest,
            asked=asked | {"from": pages.arg("from"), "to": pages.arg("to")},
        )  # fmt: skip

    return area
