"""The Flask application."""

from __future__ import annotations

import flask


def create_app() -> flask.Flask:
    """The admin interface as a WSGI application."""
    return flask.Flask(__name__)
