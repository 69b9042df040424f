"""The Flask application."""

from __future__ import annotations

import flask

from esb.admin import access, areas, headers, presentation, problems
from esb.admin.services import Services


def create_app(services: Services, max_body: int = 4 * 1024**2) -> flask.Flask:
    """The admin interface as a WSGI application. ``max_body``: bytes of the largest form."""
    app = flask.Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=max_body,
        MAX_FORM_MEMORY_SIZE=max_body,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SESSION_COOKIE_SECURE=services.settings.url.startswith("https:"),
        SEND_FILE_MAX_AGE_DEFAULT=headers.A_YEAR,
    )
    headers.install(app, services)
    access.install(app, services)
    problems.install(app)
    placed = [(area, area.blueprint(services)) for area in areas.AREAS]
    for _, blueprint in placed:
        app.register_blueprint(blueprint)
    presentation.install(app, services, [(area, blueprint.name) for area, blueprint in placed])
    return app
