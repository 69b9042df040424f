"""The overview: does it run, how much passes, what is stuck."""

from __future__ import annotations

from typing import Any

import flask

from esb.admin.services import Services


def blueprint(services: Services) -> flask.Blueprint:
    """``/``."""
    area = flask.Blueprint("overview", __name__)

    @area.get("/")
    def index() -> Any:
        return flask.render_template("overview/index.html")

    return area
